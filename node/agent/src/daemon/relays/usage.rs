//! Which addresses at relays packets go to now: those get channels, and the relay is watched closely.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often traffic is looked at, while any peer has an address at a relay.
const INTERVAL: Duration = Duration::from_secs(1);
/// After the last packet.
const QUIET: Duration = Duration::from_secs(10);

/// What is known of traffic by relay.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Packets of each peer, both ways, and when they were more than before.
    counted: BTreeMap<SocketAddr, (u64, Option<Instant>)>,
    in_use: BTreeSet<SocketAddr>,
    due: Option<Instant>,
}

impl Usage {
    /// Whether it is time to look; `wanted`: there is something to look at.
    pub(super) fn is_due(&mut self, wanted: bool, now: Instant) -> bool {
        if !wanted {
            *self = Self::default();
            return false;
        }
        let due = *self.due.get_or_insert(now) <= now;
        if due {
            self.due = Some(now + INTERVAL);
        }
        due
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// As it was seen last.
    pub(super) fn in_use(&self) -> &BTreeSet<SocketAddr> {
        &self.in_use
    }

    /// The addresses in use, from those that peers are sent to and the packets of each peer until now.
    pub(super) fn look(
        &mut self,
        counts: impl IntoIterator<Item = (SocketAddr, u64)>,
        now: Instant,
    ) -> BTreeSet<SocketAddr> {
        let before = std::mem::take(&mut self.counted);
        for (address, packets) in counts {
            let moved = match before.get(&address) {
                Some((counted, moved)) if *counted == packets => *moved,
                // One that has just come here does so because it is used.
                Some(_) | None => Some(now),
            };
            self.counted.insert(address, (packets, moved));
        }
        let in_use = |moved: &Option<Instant>| moved.is_some_and(|moved| moved + QUIET > now);
        let used = self.counted.iter().filter(|(_, (_, moved))| in_use(moved));
        self.in_use = used.map(|(address, _)| *address).collect();
        self.in_use.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_use_until_ten_seconds_after_its_last_packet() {
        let (start, mut usage) = (Instant::now(), Usage::default());
        let (a, b): (SocketAddr, SocketAddr) =
            ("192.0.2.1:50000".parse().unwrap(), "192.0.2.1:50001".parse().unwrap());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(usage.look([(a, 1), (b, 0)], at(0)), [a, b].into());
        assert_eq!(usage.look([(a, 1), (b, 0)], at(9)), [a, b].into());
        assert_eq!(usage.look([(a, 2), (b, 0)], at(10)), [a].into());
        assert_eq!(usage.look([(a, 2)], at(20)), [].into());
    }

    #[test]
    fn nothing_is_looked_at_where_no_peer_is_at_a_relay() {
        let (start, mut usage) = (Instant::now(), Usage::default());
        assert!(!usage.is_due(false, start));
        assert_eq!(usage.poll_timeout(), None);
        assert!(usage.is_due(true, start) && !usage.is_due(true, start));
        assert_eq!(usage.poll_timeout(), Some(start + INTERVAL));
    }
}
