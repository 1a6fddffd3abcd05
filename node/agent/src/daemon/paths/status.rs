//! The paths as users and the coordinator see them.

use std::net::SocketAddr;

use twinmesh_control::{EndpointKind, PathKind, PathReport, Peer};
use twinmesh_dataplane::PeerPath;

use super::super::agent::Agent;
use super::why::{End, why_relayed};
use crate::api::{PathStatus, RelayReason};

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

impl Agent {
    /// The way to the peer: `remote` is where it is sent to, or was heard; `chosen` if checks have led there.
    pub(in crate::daemon) fn path_status(
        &self,
        peer: &Peer,
        remote: SocketAddr,
        chosen: Option<PeerPath>,
    ) -> PathStatus {
        let reported_relayed = reported_as(peer, remote) == Some(EndpointKind::Relayed);
        let relayed = chosen.map_or(reported_relayed, |path| path.relayed);
        PathStatus {
            relayed,
            remote,
            kind: kind_of(peer, remote, relayed),
            proven: chosen.is_some(),
            rtt_us: None,
            mtu: chosen.map(|path| path.mtu),
            since_s: None,
            why_relayed: if relayed { self.why_relayed(peer) } else { Vec::new() },
        }
    }

    fn why_relayed(&self, peer: &Peer) -> Vec<RelayReason> {
        let own = self.endpoints();
        let here = End { name: "this node", nat: &self.netcheck.nat, endpoints: &own };
        let there = End { name: &peer.name, nat: &peer.nat, endpoints: &peer.endpoints };
        why_relayed(here, there, 0)
    }

    /// The same for the coordinator.
    pub(in crate::daemon) fn path_report(&self, peer: &Peer, path: PeerPath) -> PathReport {
        let PathStatus { relayed, remote, kind, rtt_us, mtu, .. } =
            self.path_status(peer, path.remote, Some(path));
        PathReport { relayed, remote, kind, rtt_us, mtu }
    }
}
