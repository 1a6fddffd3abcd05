//! Failures that a node reports, until they have lasted: while a peer starts anew one protocol is back before the other,
//! and neither is to blame.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use twinmesh_control::{NodeId, TunnelReport};

/// How long a failure has to last. Both protocols of a peer that was restarted are back by then.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one node's last report said of failures.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// By peer: since when a report has told of failures, and the last such.
    tunnels: BTreeMap<NodeId, (Instant, TunnelReport)>,
}

impl Doubts {
    /// A report: what is in it holds, what is in it no more has ended.
    pub(super) fn hear(&mut self, tunnels: &[TunnelReport], now: Instant) {
        let failing = tunnels.iter().filter(|tunnel| !tunnel.failed.is_empty());
        let before = std::mem::take(&mut self.tunnels);
        for tunnel in failing {
            let same = |(_, known): &&(Instant, TunnelReport)| {
                known.protocol == tunnel.protocol && known.failed == tunnel.failed
            };
            let since = before.get(&tunnel.peer).filter(same).map_or(now, |(since, _)| *since);
            self.tunnels.insert(tunnel.peer, (since, tunnel.clone()));
        }
    }

    /// When [`Self::lasting`] has something to give.
    pub(super) fn next(&self) -> Option<Instant> {
        self.tunnels.values().map(|(since, _)| *since + PATIENCE).min()
    }

    /// The failures that have lasted, each once.
    pub(super) fn lasting(&mut self, now: Instant) -> Vec<TunnelReport> {
        let lasting = self.tunnels.extract_if(.., |_, (since, _)| *since + PATIENCE <= now);
        lasting.map(|(_, (_, tunnel))| tunnel).collect()
    }
}

#[cfg(test)]
mod tests {
    use twinmesh_control::{FailedProtocol, FailureCode, Generation, Protocol};

    use super::*;

    fn tunnel(peer: u64, failed: bool) -> TunnelReport {
        let failure = FailedProtocol {
            protocol: Protocol::Wireguard,
            generation: Generation(1),
            code: FailureCode::NoAnswer,
            text: String::new(),
        };
        TunnelReport {
            peer: NodeId(peer),
            protocol: Protocol::Esp,
            generation: Generation(1),
            endpoint: None,
            path: None,
            failed: Vec::from_iter(failed.then_some(failure)),
            handshake_age: None,
            received: 0,
            sent: 0,
        }
    }

    #[test]
    fn only_what_lasts_is_told_and_what_is_repeated_counts_from_its_first_report() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut doubts = Doubts::default();
        doubts.hear(&[tunnel(1, true), tunnel(2, true), tunnel(3, false)], at(0));
        doubts.hear(&[tunnel(1, true), tunnel(2, false), tunnel(4, true)], at(6));
        assert!(doubts.lasting(at(9)).is_empty());
        assert_eq!(doubts.next(), Some(at(10)));
        assert_eq!(doubts.lasting(at(10)), [tunnel(1, true)]);
        assert_eq!(doubts.next(), Some(at(16)));
        doubts.hear(&[], at(12));
        assert_eq!(doubts.next(), None);
    }
}
