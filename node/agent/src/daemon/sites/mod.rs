//! Sites: the IKE engine, and what it does to the data plane.
//!
//! ```text
//!   site add ─► Site ─► ConnectionConfig ─┐
//!   UDP 4500 (behind the marker), 500 ────┼─► Engine ─┬─ Transmit ─► the same ports
//!   timers ───────────────────────────────┘           └─ Event ─► ESP tunnels, routes
//! ```
//!
//! They are kept in the state folder, and run while the data plane does; it runs for their sake alone if need be. From
//! `site add` to `site remove` a guard stands for each child: its traffic is routed into the TUN device, and goes
//! nowhere while there is no SA for it.

mod attempts;
mod children;
mod drive;
mod events;
mod guards;
mod life;
mod moves;
mod nodes;
mod requests;
mod standing;
pub(super) mod status;
mod trace_text;
mod traces;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use twinmesh_ike::config::{Remote, StartAction};
use twinmesh_ike::trace::Tracing;
use twinmesh_ike::{ChildSaId, Engine, EngineConfig, IkeSaEstablished, IkeSaId};

use self::children::Child;
pub(super) use self::guards::Guards;
use self::nodes::Nodes;
pub(super) use self::nodes::{NodeTunnel, Traffic, is_of_node};
use self::traces::Traces;
use crate::network::{PlainIke, PlainMessage};
use crate::site::{AfterLoss, Site, SiteChild};
use crate::state::StoredSite;

/// After a loss or a failure it is tried again, each time after twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// All sites of this node.
pub(super) struct Sites {
    engine: Engine,
    entries: BTreeMap<Arc<str>, Entry>,
    /// Other nodes of the mesh, in the same engine.
    nodes: Nodes,
    children: BTreeMap<ChildSaId, Child>,
    traces: Traces,
    /// Tunnels that only receive, and when they go.
    lingering: Vec<(Instant, String)>,
    /// While there are sites.
    plain: Option<PlainIke>,
    plain_in: mpsc::Sender<PlainMessage>,
    watch_due: Option<Instant>,
    /// The SAs have changed, and routes with them.
    reroute: bool,
    /// What guards have to do may have changed.
    reguard: bool,
    /// `twinmesh down`: none runs until one is wanted.
    stopped: bool,
    added: u64,
    /// Of the state folder, but not readable as sites; kept for a program that can.
    unread: Vec<StoredSite>,
}

/// A site and how it stands.
struct Entry {
    site: Site,
    stored: StoredSite,
    /// Place in the order in which sites were added.
    added: u64,
    /// Whether the engine knows the connection.
    prepared: bool,
    ike_sa: Option<Standing>,
    /// Others of which it takes the place, the oldest first: one of them goes on if it does not last.
    beside: Vec<Standing>,
    /// After a loss, until there is an IKE SA again.
    after_loss: Option<AfterLoss>,
    /// Whether an attempt of this side's is under way.
    connecting: bool,
    last_error: Option<String>,
    retry: Retry,
    /// Of children that have none of the SAs that they should have.
    child_retry: Retry,
    /// How often each child got new keys.
    rekeyed: BTreeMap<Arc<str>, u64>,
}

/// An IKE SA.
struct Standing {
    id: IkeSaId,
    /// Since when it has these keys.
    since: Instant,
    established: Instant,
    rekeyed: u64,
    link: IkeSaEstablished,
}

/// When to try again.
#[derive(Default)]
struct Retry {
    due: Option<Instant>,
    after: Option<Duration>,
}

impl Entry {
    fn new(site: Site, stored: StoredSite, added: u64) -> Self {
        Self {
            site,
            stored,
            added,
            prepared: false,
            ike_sa: None,
            beside: Vec::new(),
            after_loss: None,
            connecting: false,
            last_error: None,
            retry: Retry::default(),
            child_retry: Retry::default(),
            rekeyed: BTreeMap::new(),
        }
    }

    /// Whether this node sees to it that there is an IKE SA.
    fn begins(&self) -> bool {
        !self.stored.down
            && match self.after_loss {
                None => self.site.starts(),
                Some(AfterLoss::Restart) => true,
                Some(AfterLoss::Trap | AfterLoss::Clear) => false,
            }
    }

    /// Whether traffic brings a child up.
    fn calls(&self, child: &SiteChild) -> bool {
        let trap = child.start() == StartAction::Trap || self.after_loss == Some(AfterLoss::Trap);
        trap && !self.stored.down && self.site.remote != Remote::Anywhere
    }

    /// As it is without a data plane.
    fn rest(&mut self) {
        self.prepared = false;
        self.ike_sa = None;
        self.beside.clear();
        self.after_loss = None;
        self.connecting = false;
        self.retry = Retry::default();
        self.child_retry = Retry::default();
    }
}

impl Retry {
    fn later(&mut self, now: Instant) {
        let after = self.after.map_or(FIRST_RETRY, |after| (after * 2).min(LONGEST_RETRY));
        self.after = Some(after);
        self.due = Some(now + after);
    }

    /// Whether something has failed, and is not to be tried now.
    const fn waits(&self) -> bool {
        self.after.is_some() && self.due.is_some()
    }

    fn is_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }
}

impl Sites {
    pub(super) fn new(plain_in: mpsc::Sender<PlainMessage>) -> Self {
        let mut engine = Engine::new(EngineConfig::default());
        engine.set_tracing(Tracing { messages: true, keys: false });
        Self {
            engine,
            traces: Traces::default(),
            entries: BTreeMap::new(),
            nodes: Nodes::default(),
            children: BTreeMap::new(),
            lingering: Vec::new(),
            plain: None,
            plain_in,
            watch_due: None,
            reroute: false,
            reguard: false,
            stopped: false,
            added: 0,
            unread: Vec::new(),
        }
    }

    /// Whether the data plane has to run for them.
    pub(super) fn need_plane(&self) -> bool {
        !self.stopped && !self.entries.is_empty()
    }

    fn in_order(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_by_key(|entry| entry.added);
        entries
    }

    /// No sites, and none that is being taken leave of.
    fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.nodes.is_empty() && self.engine.poll_timeout().is_none()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let retries =
            self.entries.values().flat_map(|entry| [entry.retry.due, entry.child_retry.due]).flatten();
        let lingering = self.lingering.iter().map(|(until, _)| *until);
        let timers = [self.watch_due, self.engine.poll_timeout(), self.nodes.poll_timeout()];
        retries.chain(lingering).chain(timers.into_iter().flatten()).min()
    }
}
