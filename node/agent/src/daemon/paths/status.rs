//! The paths as users and the coordinator see them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use twinmesh_control::{EndpointKind, PathKind, PathReport, Peer};
use twinmesh_dataplane::PeerPath;
use twinmesh_path::pair::{Checked, PairStatus};

use super::super::agent::Agent;
use super::why::{Checks, End, why_relayed};
use crate::api::{CheckState, CheckStatus, PathStatus, RelayReason};

/// How the peer has reported that address, if it has.
pub(in crate::daemon) fn reported_as(peer: &Peer, address: SocketAddr) -> Option<EndpointKind> {
    let reported = peer.endpoints.iter().find(|endpoint| endpoint.address == address);
    reported.map(|endpoint| endpoint.kind.clone())
}

/// How the far address of a path was learnt.
fn kind_of(peer: &Peer, remote: SocketAddr, relayed: bool) -> PathKind {
    match reported_as(peer, remote) {
        _ if relayed => PathKind::Relayed,
        Some(EndpointKind::Host) => PathKind::Host,
        Some(EndpointKind::Reflexive) => PathKind::Reflexive,
        Some(EndpointKind::Mapped) => PathKind::Mapped,
        Some(EndpointKind::Configured) => PathKind::Configured,
        Some(EndpointKind::Relayed) => PathKind::Relayed,
        Some(EndpointKind::Other(kind)) => PathKind::Other(kind),
        None => PathKind::PeerReflexive,
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Agent {
    /// The way to the peer: `remote` is where it is sent to, or was heard; `chosen` if checks have led there.
    pub(in crate::daemon) fn path_status(
        &self,
        peer: &Peer,
        remote: SocketAddr,
        chosen: Option<PeerPath>,
    ) -> PathStatus {
        let pair = self.paths.pairs.status(peer.id, Instant::now());
        let measured = pair.as_ref().and_then(|pair| pair.path).filter(|path| path.remote == remote);
        let since = pair.as_ref().filter(|_| measured.is_some()).and_then(|pair| pair.since);
        let reported_relayed = reported_as(peer, remote) == Some(EndpointKind::Relayed);
        let relayed = chosen.map_or(reported_relayed, |path| path.relayed);
        PathStatus {
            relayed,
            remote,
            kind: kind_of(peer, remote, relayed),
            proven: chosen.is_some(),
            rtt_us: measured.and_then(|path| path.rtt).map(microseconds),
            mtu: chosen.map(|path| path.mtu),
            since_s: since.map(|since| since.elapsed().as_secs()),
            why_relayed: if relayed { self.why_relayed(peer, pair.as_ref()) } else { Vec::new() },
        }
    }

    fn why_relayed(&self, peer: &Peer, pair: Option<&PairStatus>) -> Vec<RelayReason> {
        let own = self.endpoints();
        let here = End { name: "this node", nat: &self.netcheck.nat, endpoints: &own };
        let there = End { name: &peer.name, nat: &peer.nat, endpoints: &peer.endpoints };
        why_relayed(here, there, &pair.map(Checks::of).unwrap_or_default())
    }

    /// What the checks of one address of the peer's have come to.
    pub(in crate::daemon) fn check_of(&self, peer: &Peer, address: SocketAddr) -> Option<CheckStatus> {
        let pair = self.paths.pairs.status(peer.id, Instant::now())?;
        let candidate = pair.candidates.iter().find(|candidate| candidate.candidate.address == address)?;
        Some(match candidate.state {
            Checked::Never => CheckStatus { state: CheckState::Never, rtt_us: None },
            Checked::Waiting { .. } => CheckStatus { state: CheckState::Waiting, rtt_us: None },
            Checked::Answered { rtt, .. } => {
                CheckStatus { state: CheckState::Answered, rtt_us: Some(microseconds(rtt)) }
            }
            Checked::Silent { .. } => CheckStatus { state: CheckState::Silent, rtt_us: None },
        })
    }

    /// The same for the coordinator.
    pub(in crate::daemon) fn path_report(&self, peer: &Peer, path: PeerPath) -> PathReport {
        let PathStatus { relayed, remote, kind, rtt_us, mtu, .. } =
            self.path_status(peer, path.remote, Some(path));
        PathReport { relayed, remote, kind, rtt_us, mtu }
    }
}
