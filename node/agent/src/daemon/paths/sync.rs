//! What the engine has to know of this node and its peers.

use std::collections::BTreeSet;
use std::time::Instant;

use twinmesh_control::{EndpointKind, NatClass, NatReport, NetworkMap, NodeId, Peer, PeerKind};
use twinmesh_dataplane::{PrivateKey, PublicKey};
use twinmesh_path::Mapping;
use twinmesh_path::pair::{Candidate, DEFAULT_KEEPALIVE, Kind, LocalSettings, PairSecret, PeerSettings};

use super::super::agent::Agent;
use super::super::tunnels::{Surroundings, endpoint_problem};
use super::drive::TRAFFIC_INTERVAL;
use crate::control::MapChange;

/// Of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    key: PublicKey,
    candidates: Vec<Candidate>,
    mapping: Option<Mapping>,
}

impl Known {
    fn of(peer: &Peer, map: &NetworkMap, here: &Surroundings) -> Self {
        Self {
            key: PublicKey(peer.wireguard_key.0),
            candidates: candidates(peer, map, here),
            mapping: mapping(&peer.nat),
        }
    }

    /// By which the data plane knows the peer.
    pub(super) const fn key(&self) -> PublicKey {
        self.key
    }

    fn settings(&self, own: &PrivateKey) -> PeerSettings {
        let agreement = own.agree(&self.key);
        PeerSettings {
            secret: PairSecret::new(&agreement, &own.public_key().0, &self.key.0),
            candidates: self.candidates.clone(),
            mapping: self.mapping,
        }
    }
}

impl Agent {
    /// Brings the pairs to the map; the peers are in the data plane already.
    pub(in crate::daemon) fn sync_paths(&mut self, change: &MapChange, now: Instant) {
        let (Some(plane), Some(map)) = (&self.plane, &self.stored.map) else { return };
        let ids: BTreeSet<NodeId> = match change {
            MapChange::Whole => self.paths.known.keys().chain(map.peers.keys()).copied().collect(),
            MapChange::Peers { changed, removed, .. } => removed.iter().chain(changed).copied().collect(),
        };
        for id in ids {
            let peer = map.peers.get(&id).filter(|peer| peer.kind == PeerKind::Agent);
            let peer = peer.filter(|peer| plane.tunnels.owner(&PublicKey(peer.wireguard_key.0)) == Some(id));
            let Some(peer) = peer else {
                self.paths.known.remove(&id);
                self.paths.pairs.remove_peer(id);
                continue;
            };
            let known = Known::of(peer, map, &self.here);
            if self.paths.known.get(&id) != Some(&known) {
                self.paths.pairs.set_peer(id, known.settings(&self.stored.wireguard), now);
                self.paths.known.insert(id, known);
            }
        }
        self.paths.traffic_due = match self.paths.traffic_due {
            _ if self.paths.known.is_empty() => None,
            due => due.or(Some(now + TRAFFIC_INTERVAL)),
        };
        self.sync_surroundings(now);
    }

    /// What of this node matters to all pairs.
    pub(in crate::daemon) fn sync_surroundings(&mut self, now: Instant) {
        let local = LocalSettings {
            has_relay: self.has_relay(),
            relays: self.relays.hosts(),
            mapping: mapping(&self.netcheck.nat),
            keepalive: self.here.keepalive.unwrap_or(DEFAULT_KEEPALIVE),
            ..LocalSettings::default()
        };
        self.paths.pairs.set_local(local, now);
    }

    /// Addresses or routes of this machine are others.
    pub(in crate::daemon) fn paths_see_new_network(&mut self, now: Instant) {
        // Which of a peer's addresses are of use depends on this node's own.
        self.sync_paths(&MapChange::Whole, now);
        self.paths.pairs.network_changed(now);
    }
}

/// Where the peer may be, in the order of its report: what it names first is what it wants tried. Not what this
/// machine has no IP version for.
fn candidates(peer: &Peer, map: &NetworkMap, here: &Surroundings) -> Vec<Candidate> {
    let has_version = |ipv4: bool| here.hosts.iter().any(|host| host.is_ipv4() == ipv4);
    let usable = peer.endpoints.iter().filter(|endpoint| {
        let version = endpoint.kind == EndpointKind::Relayed || has_version(endpoint.address.is_ipv4());
        version && endpoint_problem(endpoint.address, map, here).is_none()
    });
    usable.map(|endpoint| Candidate { address: endpoint.address, kind: kind(&endpoint.kind) }).collect()
}

const fn kind(kind: &EndpointKind) -> Kind {
    match kind {
        EndpointKind::Host | EndpointKind::Other(_) => Kind::Host,
        EndpointKind::Reflexive => Kind::Reflexive,
        EndpointKind::Mapped => Kind::Mapped,
        EndpointKind::Configured => Kind::Configured,
        EndpointKind::Relayed => Kind::Relayed,
    }
}

/// By IPv4.
fn mapping(nat: &NatReport) -> Option<Mapping> {
    match &nat.ipv4.as_ref()?.class {
        NatClass::None => Some(Mapping::None),
        NatClass::EndpointIndependent => Some(Mapping::EndpointIndependent),
        NatClass::PortIndependent => Some(Mapping::PortIndependent),
        NatClass::AddressDependent => Some(Mapping::AddressDependent),
        NatClass::AddressAndPortDependent => Some(Mapping::AddressAndPortDependent),
        NatClass::UdpBlocked | NatClass::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use twinmesh_control::Endpoint;

    use super::*;
    use crate::testing::{map, peer};

    #[test]
    fn only_what_this_machine_can_send_to_is_a_candidate_and_a_relay_reaches_all() {
        let endpoint = |address: &str, kind| Endpoint { address: address.parse().unwrap(), kind };
        let mut other = peer(2);
        other.endpoints = vec![
            endpoint("[2001:db8::9]:50000", EndpointKind::Relayed),
            endpoint("203.0.113.2:61000", EndpointKind::Reflexive),
            endpoint("[2001:db8::2]:4500", EndpointKind::Host),
            endpoint("100.64.0.9:4500", EndpointKind::Host),
            endpoint("192.0.2.1:4500", EndpointKind::Host),
        ];
        let mut here = Surroundings {
            hosts: BTreeSet::from(["192.0.2.1".parse().unwrap()]),
            port: 4500,
            ..Surroundings::default()
        };
        let tried = |here: &Surroundings| -> Vec<String> {
            let found = candidates(&other, &map(1, []), here);
            found.iter().map(|found| format!("{} {}", found.kind.as_str(), found.address)).collect()
        };
        let relayed = "relayed [2001:db8::9]:50000";
        assert_eq!(tried(&here), [relayed, "reflexive 203.0.113.2:61000"]);
        here.hosts.insert("2001:db8::1".parse().unwrap());
        assert_eq!(tried(&here), [relayed, "reflexive 203.0.113.2:61000", "host [2001:db8::2]:4500"]);
    }
}
