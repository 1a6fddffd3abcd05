//! By which way this node reaches each of its peers.
//!
//! ```text
//!   the map ── set_peer ──►┌───────┐── poll_event ──► path of each peer, for the data plane
//!   traffic ── needed, … ─►│ Pairs │
//!   data port ─ checks ───►└───────┘── poll_transmit ─► checks and answers, to the data port
//! ```
//!
//! A check is a STUN binding request that only the two ends of the pair can make. An answered check proves that both
//! directions of a path work, so each end chooses for itself and nothing is nominated: it sends by a direct path while
//! its own checks on it are answered, else by the relay. Both ends receive on all paths. A peer's address at a relay is an
//! address like others; the first check by it is what makes the other end look for direct paths as well, which opens
//! the NATs on both sides.
//!
//! A pair without traffic sends nothing but what keeps its direct path open, and with a relay not even that for long.

mod allowance;
mod candidates;
mod check;
mod choose;
mod outbox;
#[expect(clippy::module_inception, reason = "the one pair among all pairs")]
mod pair;
mod path;
mod secret;
mod settings;
mod sizes;
mod target;

pub use path::{CandidateStatus, Checked, Event, Handled, PairStatus, Path, Transmit, Why};
pub use secret::PairSecret;
pub use settings::{Candidate, DEFAULT_KEEPALIVE, Kind, LocalSettings, MAX_CANDIDATES, PeerSettings};

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use candidates::is_guessable;
use check::ReceivedKind;
use outbox::Outbox;
use pair::Pair;
use secret::Tag;
use settings::{LEAST_KEEPALIVE, MOST_KEEPALIVE};

use crate::message::{canonical, is_host};

/// All pairs of one node; `I` names a peer.
///
/// After each call that takes `now`, drain [`Self::poll_transmit`], then [`Self::poll_event`], each until `None`; then
/// wait for what comes next or for [`Self::poll_timeout`].
pub struct Pairs<I> {
    local: LocalSettings,
    entries: BTreeMap<I, Entry>,
    tags: BTreeMap<Tag, I>,
    deadlines: BTreeSet<(Instant, I)>,
    relayed_in_use: BTreeMap<I, SocketAddr>,
    /// Peers whose path is not what was told last.
    changed: BTreeMap<I, Why>,
    outbox: Outbox,
}

struct Entry {
    pair: Pair,
    deadline: Option<Instant>,
    told: Option<Path>,
}

impl<I: Copy + Ord> Pairs<I> {
    /// `random` makes transaction ids: it must not be foreseeable from outside.
    pub fn new(random: fastrand::Rng) -> Self {
        Self {
            local: LocalSettings::default(),
            entries: BTreeMap::new(),
            tags: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            relayed_in_use: BTreeMap::new(),
            changed: BTreeMap::new(),
            outbox: Outbox::new(random),
        }
    }

    /// What concerns all pairs is this from now on.
    pub fn set_local(&mut self, mut local: LocalSettings, now: Instant) {
        local.keepalive = local.keepalive.clamp(LEAST_KEEPALIVE, MOST_KEEPALIVE);
        if local == self.local {
            return;
        }
        let gained_relay = local.has_relay && !self.local.has_relay;
        self.local = local;
        for id in self.ids() {
            self.with(id, now, |pair, _, _| {
                if gained_relay && pair.in_use(now) {
                    pair.news(now);
                }
                None
            });
        }
    }

    /// The peer is exactly this from now on. A new key makes a new pair.
    pub fn set_peer(&mut self, id: I, peer: PeerSettings, now: Instant) {
        let same = |entry: &Entry| entry.pair.secret.peer_tag() == peer.secret.peer_tag();
        let told = self.entries.get(&id).filter(|entry| !same(entry)).map(|entry| entry.told);
        if let Some(told) = told {
            self.remove_peer(id);
            // Its former path ends, and that is to be told.
            self.insert(id, Pair::new(peer.secret), told);
        } else if !self.entries.contains_key(&id) {
            self.insert(id, Pair::new(peer.secret), None);
        }
        self.with(id, now, |pair, local, _| {
            pair.set(&peer.candidates, is_guessable(local.mapping, peer.mapping), now);
            None
        });
    }

    /// The peer is gone, and nothing is told of it any more.
    pub fn remove_peer(&mut self, id: I) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.tags.remove(entry.pair.secret.peer_tag());
        if let Some(at) = entry.deadline {
            self.deadlines.remove(&(at, id));
        }
        self.changed.remove(&id);
        self.relayed_in_use.remove(&id);
    }

    /// A STUN message arrived at the data port, or by a relay from a relayed address.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> Handled<I> {
        let Some(received) = check::read(datagram) else { return Handled::NotOurs };
        let Some(&id) = self.tags.get(&received.tag) else { return Handled::NotOurs };
        let Some(entry) = self.entries.get(&id) else { return Handled::NotOurs };
        // Nobody sends from such addresses, and an answer must not go there.
        let from = canonical(from);
        if !is_host(&from) || !check::is_authentic(&entry.pair.secret, datagram) {
            return Handled::Refused;
        }
        let mut handled = Handled::Refused;
        self.with(id, now, |pair, local, outbox| {
            handled = match received.kind {
                ReceivedKind::Request(purpose) => {
                    pair.checked(from, received.id, purpose, local, outbox, now);
                    Handled::Checked(id)
                }
                ReceivedKind::Answer if pair.answered(from, received.id, now) => Handled::Answered(id),
                ReceivedKind::Answer => Handled::Refused,
            };
            None
        });
        handled
    }

    /// There is something to send to the peer, or something went or came through the tunnel; about once a second is often
    /// enough.
    pub fn needed(&mut self, id: I, now: Instant) {
        self.with(id, now, |pair, _, _| {
            pair.used(now);
            None
        });
    }

    /// Authentic data of the peer's came from elsewhere than its path leads.
    pub fn heard(&mut self, id: I, from: SocketAddr, now: Instant) {
        self.with(id, now, |pair, local, _| {
            pair.heard(from, local, now);
            None
        });
    }

    /// The tunnel passes nothing: if the peer answers checks on a direct path all the same, the relay is taken.
    pub fn silent(&mut self, id: I, now: Instant) {
        self.with(id, now, |pair, local, _| pair.silent(local, now));
    }

    /// Addresses or routes of this node have changed: paths in use prove themselves again at once.
    pub fn network_changed(&mut self, now: Instant) {
        for id in self.ids() {
            self.with(id, now, |pair, _, _| {
                pair.network_changed(now);
                None
            });
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop()
    }

    /// What has changed: for each peer its latest path, once.
    pub fn poll_event(&mut self) -> Option<Event<I>> {
        while let Some((id, why)) = self.changed.pop_first() {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let path = entry.pair.path(&self.local);
            if path.map(essence) != entry.told.map(essence) {
                entry.told = path;
                return Some(Event::Path { id, path, why });
            }
        }
        None
    }

    /// When [`Self::handle_timeout`] is due: a check, or the end of a wait.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<I> = self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        for id in due {
            self.with(id, now, |_, _, _| None);
        }
    }

    /// The path that the peer has now.
    pub fn path(&self, id: I) -> Option<Path> {
        self.entries.get(&id)?.pair.path(&self.local)
    }

    /// Peers that are in use and go by relay, each with its address there.
    pub fn relayed_in_use(&self) -> impl Iterator<Item = (I, SocketAddr)> {
        self.relayed_in_use.iter().map(|(id, address)| (*id, *address))
    }

    /// Everything about a pair, for people. None: no such peer.
    pub fn status(&self, id: I, now: Instant) -> Option<PairStatus> {
        Some(self.entries.get(&id)?.pair.status(&self.local, now))
    }

    fn ids(&self) -> Vec<I> {
        self.entries.keys().copied().collect()
    }

    fn insert(&mut self, id: I, pair: Pair, told: Option<Path>) {
        self.tags.insert(*pair.secret.peer_tag(), id);
        self.entries.insert(id, Entry { pair, deadline: None, told });
    }

    /// Changes a pair, and sees to what follows from it. `change` tells why the path is another, if it made it so.
    fn with(
        &mut self,
        id: I,
        now: Instant,
        change: impl FnOnce(&mut Pair, &LocalSettings, &mut Outbox) -> Option<Why>,
    ) {
        let Some(Entry { pair, deadline, told }) = self.entries.get_mut(&id) else { return };
        let changed = change(pair, &self.local, &mut self.outbox);
        let moved = pair.advance(&self.local, &mut self.outbox, now).or(changed);
        let path = pair.path(&self.local);
        match path.filter(|path| path.is_relayed() && pair.in_use(now)) {
            Some(path) => self.relayed_in_use.insert(id, path.remote),
            None => self.relayed_in_use.remove(&id),
        };
        if path.map(essence) != told.map(essence) {
            let why = self.changed.entry(id).or_insert(Why::Size);
            *why = moved.unwrap_or(*why);
        }
        let due = pair.deadline(&self.local, now);
        if due != *deadline {
            deadline.take().map(|at| self.deadlines.remove(&(at, id)));
            self.deadlines.extend(due.map(|at| (at, id)));
            *deadline = due;
        }
    }
}

/// What the data plane has to know.
fn essence(path: Path) -> (SocketAddr, bool, u16) {
    (path.remote, path.is_relayed(), path.mtu)
}
