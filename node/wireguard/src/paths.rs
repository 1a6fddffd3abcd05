//! Where a peer may be reached, and when to look for it elsewhere.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::message::is_older_session;
use crate::output::Change;

/// Candidates beyond these are not tried.
pub const MAX_CANDIDATES: usize = 8;

/// Sent data without an authentic answer for this long, soon after a change, means the path is gone.
const ANSWER_TIME: Duration = Duration::from_millis(1500);
/// How long after a change the path stays under suspicion: the life of a session. A new one is looked for
/// everywhere anyway.
const SUSPICION_TIME: Duration = Duration::from_mins(3);

/// Who decides where a peer's datagrams go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EndpointPolicy {
    /// They go where the newest authentic datagram came from, as WireGuard roams (whitepaper §2.1).
    #[default]
    Follow,
    /// They go where [`crate::Peer::set_path`] says, and by the other rule only while it says nothing.
    Managed,
}

/// Candidates and the confirmed endpoint of one peer.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    policy: EndpointPolicy,
    candidates: Vec<SocketAddr>,
    /// Source of the newest authentic datagram, or what was chosen.
    endpoint: Option<SocketAddr>,
    /// The endpoint was chosen, and does not move by itself.
    is_chosen: bool,
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

    pub(crate) fn set_policy(&mut self, policy: EndpointPolicy) {
        self.policy = policy;
        self.is_chosen &= policy == EndpointPolicy::Managed;
    }

    /// Moves a managed peer's endpoint there, to stay; with `None` it stays where it is until the peer is heard.
    /// Whether there is a path now that was none before.
    pub(crate) fn choose(&mut self, path: Option<SocketAddr>) -> bool {
        if self.policy != EndpointPolicy::Managed {
            return false;
        }
        let is_new = path.is_some() && (!self.is_chosen || self.endpoint != path);
        self.is_chosen = path.is_some();
        self.endpoint = path.or(self.endpoint);
        self.suspicion = None;
        is_new
    }

    /// The path may have changed: watch it, unless somebody else does.
    pub(crate) fn suspect(&mut self, now: Instant) {
        if self.is_chosen {
            return;
        }
        self.suspicion = Some(Suspicion { since: now, unanswered: None });
    }

    /// Whether [`Self::is_lost`] has something to watch.
    pub(crate) const fn is_suspect(&self) -> bool {
        self.suspicion.is_some()
    }

    pub(crate) fn sent_data(&mut self, now: Instant) {
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.unanswered.get_or_insert(now);
        }
    }

    /// An authentic datagram came from `from`. Data older than the newest is no news: it left before the peer moved.
    pub(crate) fn heard(&mut self, from: SocketAddr, data: Option<(u32, u64)>) -> Option<Change> {
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.unanswered = None;
        }
        if let (Some((receiver, counter)), Some((newest_receiver, newest_counter))) = (data, self.newest)
            && (is_older_session(receiver, newest_receiver)
                || (receiver == newest_receiver && counter < newest_counter))
        {
            return None;
        }
        if data.is_some() {
            self.newest = data;
        }
        match self.policy {
            EndpointPolicy::Follow => {
                (self.endpoint.replace(from) != Some(from)).then_some(Change::Moved(from))
            }
            EndpointPolicy::Managed if self.is_chosen => {
                (self.endpoint != Some(from)).then_some(Change::Heard(from))
            }
            EndpointPolicy::Managed => {
                self.endpoint = Some(from);
                Some(Change::Heard(from))
            }
        }
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
        assert_eq!(paths.heard(address(2), None), Some(Change::Moved(address(2))));
        assert_eq!(paths.heard(address(2), None), None);
        assert_eq!(paths.targets().collect::<Vec<_>>(), [address(2), address(1)]);
        let many: Vec<_> = (1..100).map(address).collect();
        paths.set_candidates(&many, now);
        assert_eq!(paths.targets().count(), MAX_CANDIDATES);
    }

    #[test]
    fn a_late_packet_does_not_move_the_endpoint_back() {
        let mut paths = Paths::default();
        assert!(paths.heard(address(1), Some((7, 10))).is_some());
        assert!(paths.heard(address(2), Some((7, 12))).is_some());
        assert_eq!(paths.heard(address(1), Some((7, 11))), None);
        assert_eq!(paths.endpoint(), Some(address(2)));
        assert!(paths.heard(address(3), Some((8, 0))).is_some());
        assert_eq!(paths.heard(address(2), Some((7, 13))), None);
    }

    #[test]
    fn a_managed_peer_stays_where_it_was_put_and_is_only_told_of() {
        let now = Instant::now();
        let mut paths = Paths::default();
        paths.choose(Some(address(9)));
        assert_eq!(paths.endpoint(), None, "the one that follows is not put anywhere");
        paths.set_policy(EndpointPolicy::Managed);
        assert_eq!(paths.heard(address(1), None), Some(Change::Heard(address(1))));
        assert_eq!(paths.endpoint(), Some(address(1)), "the first packets must go somewhere");
        paths.choose(Some(address(2)));
        assert_eq!(paths.heard(address(1), Some((7, 10))), Some(Change::Heard(address(1))));
        assert_eq!(paths.heard(address(2), Some((7, 11))), None);
        assert_eq!(paths.heard(address(1), Some((7, 10))), None, "late");
        assert_eq!(paths.endpoint(), Some(address(2)));
        paths.set_candidates(&[address(3)], now);
        paths.sent_data(now);
        assert!(!paths.is_lost(now + SUSPICION_TIME), "whoever put it there watches it");
        paths.choose(None);
        assert_eq!(paths.endpoint(), Some(address(2)));
        assert_eq!(paths.heard(address(4), Some((7, 12))), Some(Change::Heard(address(4))));
        assert_eq!(paths.endpoint(), Some(address(4)));
        paths.choose(Some(address(2)));
        paths.set_policy(EndpointPolicy::Follow);
        assert_eq!(paths.heard(address(5), None), Some(Change::Moved(address(5))));
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
