//! Where a peer may be reached, and when to look for it elsewhere.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::message::is_older_session;

/// Candidates beyond these are not tried.
pub const MAX_CANDIDATES: usize = 8;

/// Sent data without an authentic answer for this long, soon after a change, means the path is gone.
const ANSWER_TIME: Duration = Duration::from_millis(1500);
/// How long after a change the path stays under suspicion: the life of a session. A new one is looked for
/// everywhere anyway.
const SUSPICION_TIME: Duration = Duration::from_mins(3);

/// Candidates and the confirmed endpoint of one peer.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    candidates: Vec<SocketAddr>,
    /// Source of the newest authentic datagram.
    endpoint: Option<SocketAddr>,
    /// Receiver index and counter of that datagram, if it carried data.
    newest: Option<(u32, u64)>,
    suspicion: Option<Suspicion>,
}

#[derive(Debug)]
struct Suspicion {
    since: Instant,
    /// When the first data went out that nothing has answered yet.
    unanswered: Option<Instant>,
}

impl Paths {
    pub(crate) const fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// The endpoint, then the candidates, each once.
    pub(crate) fn targets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let others = self.candidates.iter().copied().filter(|candidate| Some(*candidate) != self.endpoint);
        self.endpoint.into_iter().chain(others)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.targets().next().is_none()
    }

    /// Takes the candidates, best first; true if they differ from the present ones.
    pub(crate) fn set_candidates(&mut self, candidates: &[SocketAddr], now: Instant) -> bool {
        let mut new = Vec::with_capacity(candidates.len().min(MAX_CANDIDATES));
        for candidate in candidates {
            if new.len() < MAX_CANDIDATES && !new.contains(candidate) {
                new.push(*candidate);
            }
        }
        let changed = new != self.candidates;
        if changed {
            self.candidates = new;
            if self.endpoint.is_some() {
                self.suspect(now);
            }
        }
        changed
    }

    /// The path may have changed: watch it.
    pub(crate) fn suspect(&mut self, now: Instant) {
        self.suspicion = Some(Suspicion { since: now, unanswered: None });
    }

    pub(crate) fn sent_data(&mut self, now: Instant) {
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.unanswered.get_or_insert(now);
        }
    }

    /// An authentic datagram came from `from`; true if the endpoint moved there. Data older than the newest
    /// moves nothing: it left before the peer did.
    pub(crate) fn heard(&mut self, from: SocketAddr, data: Option<(u32, u64)>) -> bool {
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.unanswered = None;
        }
        if let (Some((receiver, counter)), Some((newest_receiver, newest_counter))) = (data, self.newest)
            && (is_older_session(receiver, newest_receiver)
                || (receiver == newest_receiver && counter < newest_counter))
        {
            return false;
        }
        if data.is_some() {
            self.newest = data;
        }
        self.endpoint.replace(from) != Some(from)
    }

    /// The tunnel begins anew, and its counters with it.
    pub(crate) fn forget_order(&mut self) {
        self.newest = None;
    }

    /// True once if the path is found dead; the peer must then be looked for everywhere.
    pub(crate) fn is_lost(&mut self, now: Instant) -> bool {
        let Some(suspicion) = &self.suspicion else { return false };
        let lost = suspicion.unanswered.is_some_and(|since| now.duration_since(since) >= ANSWER_TIME);
        if lost || now.duration_since(suspicion.since) >= SUSPICION_TIME {
            self.suspicion = None;
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 4500))
    }

    #[test]
    fn targets_begin_with_the_endpoint_and_hold_each_address_once() {
        let now = Instant::now();
        let mut paths = Paths::default();
        assert!(paths.is_empty());
        assert!(paths.set_candidates(&[address(1), address(2), address(1)], now));
        assert!(!paths.set_candidates(&[address(1), address(2)], now));
        assert!(paths.heard(address(2), None));
        assert!(!paths.heard(address(2), None));
        assert_eq!(paths.targets().collect::<Vec<_>>(), [address(2), address(1)]);
        let many: Vec<_> = (1..100).map(address).collect();
        paths.set_candidates(&many, now);
        assert_eq!(paths.targets().count(), MAX_CANDIDATES);
    }

    #[test]
    fn a_late_packet_does_not_move_the_endpoint_back() {
        let mut paths = Paths::default();
        assert!(paths.heard(address(1), Some((7, 10))));
        assert!(paths.heard(address(2), Some((7, 12))));
        assert!(!paths.heard(address(1), Some((7, 11))));
        assert_eq!(paths.endpoint(), Some(address(2)));
        assert!(paths.heard(address(3), Some((8, 0))));
        assert!(!paths.heard(address(2), Some((7, 13))));
    }

    #[test]
    fn silence_after_a_change_loses_the_path_and_an_answer_keeps_it() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut paths = Paths::default();
        paths.heard(address(1), None);
        paths.sent_data(start);
        assert!(!paths.is_lost(after(2000)), "nothing had changed");

        paths.set_candidates(&[address(2)], start);
        assert!(!paths.is_lost(after(1000)), "nothing was sent");
        paths.sent_data(after(1000));
        paths.heard(address(1), None);
        paths.sent_data(after(1200));
        paths.sent_data(after(2600));
        assert!(!paths.is_lost(after(2600)));
        assert!(paths.is_lost(after(2700)));
        assert!(!paths.is_lost(after(2800)), "it is said once");
    }
}
