//! Where and when to try to set up the IKE SA with a peer that may be at several addresses.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Whoever is not the one to begin leaves the other so much time: two round trips of a slow path.
const HEAD_START: Duration = Duration::from_secs(2);
/// One address is given so long at first, and twice as long in each further round.
const FIRST_PATIENCE: Duration = Duration::from_millis(1500);
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);
/// After an address to which there is no way from here.
const NO_WAY: Duration = Duration::from_millis(50);

/// The attempts at one peer.
#[derive(Debug)]
pub(super) struct Attempts {
    due: Option<Instant>,
    patience: Duration,
    /// Which of the addresses is next.
    next: usize,
    /// Where the last IKE SA stood: tried first.
    proven: Option<SocketAddr>,
}

impl Attempts {
    /// From now on, at once if this node is the one to begin.
    pub(super) fn new(now: Instant, begins: bool) -> Self {
        let mut attempts = Self { due: None, patience: FIRST_PATIENCE, next: 0, proven: None };
        attempts.restart(now, begins);
        attempts
    }

    /// The IKE SA is gone, or this machine's network is another.
    pub(super) fn restart(&mut self, now: Instant, begins: bool) {
        self.due = Some(if begins { now } else { now + HEAD_START });
        self.patience = FIRST_PATIENCE;
        self.next = 0;
    }

    /// The peer is said to be elsewhere.
    pub(super) fn forget_proven(&mut self) {
        self.proven = None;
    }

    /// The IKE SA stands.
    pub(super) fn succeeded(&mut self, remote: SocketAddr) {
        self.due = None;
        self.proven = Some(remote);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Where to try now, if anywhere. What was tried before is given up.
    pub(super) fn next(&mut self, now: Instant, endpoints: &[SocketAddr]) -> Option<SocketAddr> {
        self.due.filter(|due| *due <= now)?;
        let others = endpoints.iter().copied().filter(|endpoint| Some(*endpoint) != self.proven);
        let candidates: Vec<SocketAddr> = self.proven.into_iter().chain(others).collect();
        let Some(candidate) = candidates.get(self.next) else {
            // Where nothing is known of it, the peer has to begin.
            self.due = (!candidates.is_empty()).then_some(now);
            self.next = 0;
            self.patience = (self.patience * 2).min(LONGEST_PATIENCE);
            return candidates.first().and_then(|_| self.next(now, endpoints));
        };
        self.next += 1;
        self.due = Some(now + self.patience);
        Some(*candidate)
    }

    /// There is no way to what [`Self::next`] gave.
    pub(super) fn no_way(&mut self, now: Instant) {
        self.due = Some(now + NO_WAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints() -> Vec<SocketAddr> {
        ["203.0.113.1:61000", "192.0.2.1:4500"].map(|text| text.parse().unwrap()).to_vec()
    }

    /// When, after the start in ms, which address was tried.
    fn tried(attempts: &mut Attempts, start: Instant, count: usize) -> Vec<(u128, String)> {
        let mut tried = Vec::new();
        while tried.len() < count {
            let now = attempts.due().unwrap().max(start);
            let to = attempts.next(now, &endpoints()).unwrap();
            tried.push(((now - start).as_millis(), to.to_string()));
        }
        tried
    }

    #[test]
    fn all_addresses_are_tried_in_turn_each_round_with_more_patience() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start, true);
        let (one, other) = ("203.0.113.1:61000".to_owned(), "192.0.2.1:4500".to_owned());
        assert_eq!(
            tried(&mut attempts, start, 5),
            [(0, one.clone()), (1500, other.clone()), (3000, one.clone()), (6000, other), (9000, one)]
        );
        let later = tried(&mut attempts, start, 40);
        let [.., (before, _), (last, _)] = later.as_slice() else { panic!() };
        assert_eq!(last - before, LONGEST_PATIENCE.as_millis());
    }

    #[test]
    fn the_one_that_is_not_to_begin_waits_first() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start, false);
        assert_eq!(attempts.next(start, &endpoints()), None);
        assert_eq!(tried(&mut attempts, start, 1)[0].0, HEAD_START.as_millis());
    }

    #[test]
    fn where_the_peer_was_last_is_tried_first_and_what_stands_is_left_alone() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start, true);
        let proven: SocketAddr = "198.51.100.9:4500".parse().unwrap();
        attempts.succeeded(proven);
        assert_eq!(attempts.due(), None);
        assert_eq!(attempts.next(start, &endpoints()), None);
        attempts.restart(start, true);
        let places: Vec<_> = tried(&mut attempts, start, 4).into_iter().map(|(_, to)| to).collect();
        assert_eq!(places, ["198.51.100.9:4500", "203.0.113.1:61000", "192.0.2.1:4500", "198.51.100.9:4500"]);
    }

    #[test]
    fn a_peer_of_which_no_address_is_known_has_to_begin() {
        let start = Instant::now();
        let mut attempts = Attempts::new(start, true);
        assert_eq!(attempts.next(start, &[]), None);
        assert_eq!(attempts.due(), None);
    }
}
