//! A peer's place in the table: its session, its engines, and the path that was chosen for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use twinmesh_wireguard::{EndpointPolicy, Peer, PeerIndex, PublicKey};

use crate::config::PeerPath;
use crate::engine::Engine;
use crate::engines::Engines;
use crate::event::Event;
use crate::path_mtu::Hop;
use crate::watch::{Watch, Watchlist};

/// The agent hears at most so often that a peer was heard from elsewhere…
const HEARD_INTERVAL: Duration = Duration::from_millis(200);
/// …and that packets lack a path or a session.
const NEEDED_INTERVAL: Duration = Duration::from_secs(1);

/// Snapshots that still hold a removed peer find its session gone: its traffic stops at once.
pub(crate) struct PeerSlot {
    pub(crate) key: PublicKey,
    pub(crate) index: PeerIndex,
    /// None where the peer was removed, and where WireGuard is not spoken with it.
    pub(crate) peer: Mutex<Option<Peer>>,
    pub(crate) engines: Engines,
    pub(crate) watch: Arc<Watch>,
    is_managed: AtomicBool,
    path: ArcSwapOption<PeerPath>,
    /// The longest inner packet that goes there whole by WireGuard.
    wireguard_mtu: AtomicU16,
    seen: Mutex<Seen>,
    told: Mutex<Told>,
}

/// The way to the peer as it was when its MTU was asked for.
#[derive(Default)]
struct Seen {
    hop: Option<Hop>,
    sent: u64,
}

/// What the agent was told last, and when.
#[derive(Default)]
struct Told {
    heard: Option<Instant>,
    needed: Option<Instant>,
}

impl PeerSlot {
    /// Of a peer with which no engine is spoken yet.
    pub(crate) fn new(
        (key, index): (PublicKey, PeerIndex),
        policy: EndpointPolicy,
        watchlist: &Arc<Watchlist>,
        now: Instant,
    ) -> Self {
        let watch = Arc::new(Watch::new(index, Arc::clone(watchlist)));
        Self {
            key,
            index,
            peer: Mutex::default(),
            engines: Engines::new(&watch, now),
            watch,
            is_managed: AtomicBool::new(policy == EndpointPolicy::Managed),
            path: ArcSwapOption::empty(),
            wireguard_mtu: AtomicU16::new(u16::MAX),
            seen: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// A peer that is not managed has no path.
    pub(crate) fn set_policy(&self, policy: EndpointPolicy) {
        let is_managed = policy == EndpointPolicy::Managed;
        self.is_managed.store(is_managed, Ordering::Relaxed);
        if !is_managed {
            self.path.store(None);
        }
    }

    pub(crate) fn is_managed(&self) -> bool {
        self.is_managed.load(Ordering::Relaxed)
    }

    pub(crate) fn path(&self) -> Option<PeerPath> {
        self.path.load().as_deref().copied()
    }

    /// Sends this way from now on, or with `None` to wherever the peer is heard from. False if others than the agent
    /// decide that.
    pub(crate) fn set_path(&self, path: Option<PeerPath>) -> bool {
        if !self.is_managed() {
            return false;
        }
        self.path.store(path.map(Arc::new));
        if let Some(peer) = self.peer.lock().as_mut() {
            peer.set_path(path.map(|path| path.remote));
        }
        true
    }

    /// Whether the timers have nothing to do until something happens to it.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.engines.are_quiet() && self.peer.lock().as_ref().is_none_or(Peer::is_at_rest)
    }

    pub(crate) fn wireguard_mtu(&self) -> u16 {
        self.wireguard_mtu.load(Ordering::Relaxed)
    }

    pub(crate) fn set_wireguard_mtu(&self, mtu: u16) {
        self.wireguard_mtu.store(mtu, Ordering::Relaxed);
    }

    /// The longest inner packet that goes there whole by the engine in use.
    pub(crate) fn mtu(&self) -> u16 {
        match (self.engines.present.get(), self.engines.tunnel().as_deref()) {
            (Engine::Esp, Some(tunnel)) => tunnel.mtu(),
            (Engine::WireGuard | Engine::Esp | Engine::Hold, _) => self.wireguard_mtu(),
        }
    }

    /// Whether the MTU is to be asked for again: at once when the way to the peer is another, and with `again` when
    /// `sent`, a number of packets, has grown.
    pub(crate) fn is_another_way(&self, hop: Option<Hop>, sent: u64, again: bool) -> bool {
        let mut seen = self.seen.lock();
        if seen.hop == hop && (!again || seen.sent == sent) {
            return false;
        }
        *seen = Seen { hop, sent };
        true
    }

    /// An authentic datagram, newer than all before, came from there: what the agent is to know of it.
    pub(crate) fn heard_from(&self, from: SocketAddr, now: Instant) -> Option<Event> {
        if !self.is_managed() || self.path().is_some_and(|path| path.remote == from) {
            return None;
        }
        is_due(&mut self.told.lock().heard, HEARD_INTERVAL, now)
            .then_some(Event::Heard { peer: self.key, from })
    }

    /// A packet is to go to the peer, `ready` tells whether there is a session or an SA for it: what the agent is to
    /// know of it.
    pub(crate) fn needed(&self, ready: bool, now: Instant) -> Option<Event> {
        if !self.is_managed() || (ready && self.path.load().is_some()) {
            return None;
        }
        is_due(&mut self.told.lock().needed, NEEDED_INTERVAL, now).then_some(Event::Needed { peer: self.key })
    }
}

fn is_due(last: &mut Option<Instant>, interval: Duration, now: Instant) -> bool {
    let due = last.is_none_or(|last| now.saturating_duration_since(last) >= interval);
    if due {
        *last = Some(now);
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(policy: EndpointPolicy, now: Instant) -> PeerSlot {
        PeerSlot::new((PublicKey([2; 32]), PeerIndex::of_receiver(0x100)), policy, &Arc::default(), now)
    }

    fn path(last: u8) -> PeerPath {
        PeerPath { remote: SocketAddr::from(([192, 0, 2, last], 4500)), mtu: 1500, relayed: false }
    }

    #[test]
    fn the_agent_hears_of_other_addresses_than_the_path_but_not_of_each_packet() {
        let start = Instant::now();
        let slot = slot(EndpointPolicy::Managed, start);
        assert!(slot.set_path(Some(path(1))));
        let heard = |last, after| slot.heard_from(path(last).remote, start + Duration::from_millis(after));
        assert_eq!(heard(1, 0), None);
        assert_eq!(heard(2, 0), Some(Event::Heard { peer: slot.key, from: path(2).remote }));
        assert_eq!(heard(3, 199), None);
        assert!(heard(3, 200).is_some());
    }

    #[test]
    fn the_agent_is_called_once_a_second_while_a_session_or_a_path_is_lacking() {
        let start = Instant::now();
        let slot = slot(EndpointPolicy::Managed, start);
        let needed = |ready, after| slot.needed(ready, start + Duration::from_millis(after));
        assert_eq!(needed(true, 0), Some(Event::Needed { peer: slot.key }), "no path");
        assert!(slot.set_path(Some(path(1))));
        assert_eq!(needed(false, 999), None);
        assert!(needed(false, 1000).is_some(), "no session");
        assert_eq!(needed(true, 2000), None);
    }

    #[test]
    fn the_mtu_is_asked_for_again_where_the_peer_moved_or_was_sent_to() {
        let slot = slot(EndpointPolicy::Follow, Instant::now());
        let direct = |last| Some(Hop::Direct(path(last).remote));
        assert!(slot.is_another_way(direct(1), 0, false));
        assert!(!slot.is_another_way(direct(1), 0, true), "idle");
        assert!(!slot.is_another_way(direct(1), 9, false), "not yet");
        assert!(slot.is_another_way(direct(1), 9, true));
        assert!(slot.is_another_way(direct(2), 9, false));
        assert!(slot.is_another_way(Some(Hop::Relay(path(2).remote)), 9, false));
    }

    #[test]
    fn a_peer_that_is_followed_has_no_path_and_calls_nobody() {
        let start = Instant::now();
        let slot = slot(EndpointPolicy::Follow, start);
        assert!(!slot.set_path(Some(path(1))));
        assert_eq!((slot.path(), slot.needed(false, start)), (None, None));
        assert_eq!(slot.heard_from(path(2).remote, start), None);
        slot.set_policy(EndpointPolicy::Managed);
        assert!(slot.set_path(Some(path(1))));
        slot.set_policy(EndpointPolicy::Follow);
        assert_eq!(slot.path(), None);
    }
}
