//! Sites: the IKE engine, and what it does to the data plane.
//!
//! ```text
//!   site add ─► Site ─► ConnectionConfig ─┐
//!   UDP 4500 (behind the marker), 500 ────┼─► Engine ─┬─ Transmit ─► the same ports
//!   timers ───────────────────────────────┘           └─ Event ─► ESP tunnels, routes
//! ```
//!
//! They live as long as the data plane, and no longer.

mod children;
mod drive;
mod events;
mod moves;
mod requests;
mod status;
mod trace_text;
mod traces;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use twinmesh_ike::trace::Tracing;
use twinmesh_ike::{ChildSaId, Engine, EngineConfig, IkeSaEstablished, IkeSaId};

use self::children::Child;
use self::traces::Traces;
use crate::network::{PlainIke, PlainMessage};
use crate::site::Site;

/// After a loss or a failure it is tried again, each time after twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// All sites of this node.
pub(super) struct Sites {
    engine: Engine,
    entries: BTreeMap<Arc<str>, Entry>,
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
    /// The data plane runs for the sites alone.
    pub(super) alone: bool,
}

/// A site and how it stands.
struct Entry {
    site: Site,
    ike_sa: Option<Standing>,
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
    since: Instant,
    link: IkeSaEstablished,
}

/// When to try again.
#[derive(Default)]
struct Retry {
    due: Option<Instant>,
    after: Option<Duration>,
}

impl Retry {
    fn later(&mut self, now: Instant) {
        let after = self.after.map_or(FIRST_RETRY, |after| (after * 2).min(LONGEST_RETRY));
        self.after = Some(after);
        self.due = Some(now + after);
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
            children: BTreeMap::new(),
            lingering: Vec::new(),
            plain: None,
            plain_in,
            watch_due: None,
            reroute: false,
            alone: false,
        }
    }

    /// No sites, and none that is being taken leave of.
    fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.engine.poll_timeout().is_none()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let retries =
            self.entries.values().flat_map(|entry| [entry.retry.due, entry.child_retry.due]).flatten();
        let lingering = self.lingering.iter().map(|(until, _)| *until);
        retries.chain(lingering).chain(self.watch_due).chain(self.engine.poll_timeout()).min()
    }
}
