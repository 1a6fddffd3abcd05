//! Short ways to peers that packets go to (RFC 8656 §12).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// RFC 8656 §12: the numbers that a channel may have.
const FIRST: u16 = 0x4000;
const LAST: u16 = 0x4fff;
/// A binding ends after ten minutes, and the permission that it makes after five.
const RENEWAL: Duration = Duration::from_mins(4);
const LIFETIME: Duration = Duration::from_mins(10);
/// It is used no longer than this: the relay may count from an earlier moment.
const USE: Duration = Duration::from_mins(9);
/// RFC 8656 §12: so long after its end a number is no other peer's.
const REST: Duration = Duration::from_mins(5);
/// After a refusal.
const RETRY: Duration = Duration::from_mins(1);
/// Numbers of one allocation at a time: our relay has 256.
const MOST: usize = 250;

/// Channels of one allocation.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_peer: BTreeMap<SocketAddr, Channel>,
    in_use: BTreeSet<SocketAddr>,
    ipv6: bool,
    last: u16,
}

#[derive(Debug)]
struct Channel {
    number: u16,
    state: State,
    /// Until when the number is this peer's alone.
    reserved: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Bound {
        at: Instant,
        asked_again: bool,
    },
    /// Not to be asked for before.
    Unbound {
        until: Instant,
    },
}

impl Channels {
    /// Peers that packets go to; those beyond the numbers that there are go without.
    pub(super) fn set(&mut self, peers: &BTreeSet<SocketAddr>, now: Instant) {
        self.in_use.clone_from(peers);
        self.by_peer.retain(|peer, channel| peers.contains(peer) || channel.reserved > now);
        let ipv6 = self.ipv6;
        for peer in peers.iter().filter(|peer| peer.is_ipv6() == ipv6) {
            if self.by_peer.contains_key(peer) {
                continue;
            }
            if self.by_peer.len() >= MOST {
                break;
            }
            let number = self.free_number();
            let channel = Channel { number, state: State::Unbound { until: now }, reserved: now };
            self.by_peer.insert(*peer, channel);
        }
    }

    /// The allocation is a new one, seen by that IP version.
    pub(super) fn restart(&mut self, ipv6: bool, now: Instant) {
        self.ipv6 = ipv6;
        self.by_peer.clear();
        self.set(&self.in_use.clone(), now);
    }

    pub(super) fn bound(&self, peer: SocketAddr) -> Option<u16> {
        let channel = self.by_peer.get(&peer)?;
        matches!(channel.state, State::Bound { .. }).then_some(channel.number)
    }

    /// The next channel to ask for, or to ask for again.
    pub(super) fn poll_ask(&mut self, now: Instant) -> Option<(SocketAddr, u16)> {
        let in_use = &self.in_use;
        let mut wanted = self.by_peer.iter_mut().filter(|(peer, _)| in_use.contains(peer));
        let (peer, channel) = wanted.find(|(_, channel)| channel.asks_at().is_some_and(|at| at <= now))?;
        channel.state = match channel.state {
            State::Bound { at, .. } => State::Bound { at, asked_again: true },
            State::Asked | State::Unbound { .. } => State::Asked,
        };
        // From now on the relay may have it.
        channel.reserved = now + LIFETIME + REST;
        Some((*peer, channel.number))
    }

    /// True if it was not bound before.
    pub(super) fn granted(&mut self, peer: SocketAddr, now: Instant) -> bool {
        let Some(channel) = self.by_peer.get_mut(&peer) else { return false };
        let before = std::mem::replace(&mut channel.state, State::Bound { at: now, asked_again: false });
        !matches!(before, State::Bound { .. })
    }

    /// True if it was bound before.
    pub(super) fn refused(&mut self, peer: SocketAddr, now: Instant) -> bool {
        let Some(channel) = self.by_peer.get_mut(&peer) else { return false };
        let before = std::mem::replace(&mut channel.state, State::Unbound { until: now + RETRY });
        matches!(before, State::Bound { .. })
    }

    /// The next peer whose channel has ended, as nothing went there.
    pub(super) fn poll_ended(&mut self, now: Instant) -> Option<SocketAddr> {
        let mut channels = self.by_peer.iter_mut();
        let (peer, channel) = channels.find(|(_, channel)| channel.ends_at().is_some_and(|at| at <= now))?;
        channel.state = State::Unbound { until: now };
        Some(*peer)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let asks = self.by_peer.iter().filter(|(peer, _)| self.in_use.contains(peer));
        let asks = asks.filter_map(|(_, channel)| channel.asks_at());
        asks.chain(self.by_peer.values().filter_map(Channel::ends_at)).min()
    }

    /// There is one: there are more than channels.
    fn free_number(&mut self) -> u16 {
        loop {
            self.last = if (FIRST..LAST).contains(&self.last) { self.last + 1 } else { FIRST };
            if self.by_peer.values().all(|channel| channel.number != self.last) {
                return self.last;
            }
        }
    }
}

impl Channel {
    fn asks_at(&self) -> Option<Instant> {
        match self.state {
            State::Bound { at, asked_again: false } => Some(at + RENEWAL),
            State::Unbound { until } => Some(until),
            State::Asked | State::Bound { .. } => None,
        }
    }

    fn ends_at(&self) -> Option<Instant> {
        match self.state {
            State::Bound { at, .. } => Some(at + USE),
            State::Asked | State::Unbound { .. } => None,
        }
    }
}
