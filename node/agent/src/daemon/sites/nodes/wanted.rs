//! From the network map: which peers' traffic ESP carries, with whom IKE is to be spoken, and who begins.

use std::net::SocketAddr;

use ipnet::IpNet;
use twinmesh_control::{EndpointKind, IdentityKey, NetworkMap, NodeId, Peer};
use twinmesh_dataplane::PublicKey;
use twinmesh_ike::config::{SelectorPair, TrafficSelector};

use super::super::super::tunnels::{Surroundings, usable_endpoints};

/// A peer as IKE has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) id: NodeId,
    pub(super) name: String,
    /// By which the data plane knows it.
    pub(super) wireguard_key: PublicKey,
    /// What it proves itself with.
    pub(super) key: IdentityKey,
    /// Where it may be, the likeliest first.
    pub(super) endpoints: Vec<SocketAddr>,
    pub(super) selectors: SelectorPair,
    /// Whether only algorithms that FIPS approves may protect the traffic.
    pub(super) compliance: bool,
    /// Whether this node is the one to begin; the other does so too if nothing comes of it.
    pub(super) begins: bool,
}

impl Wanted {
    /// `None` where the peer has nothing to prove itself with.
    pub(super) fn of(peer: &Peer, map: &NetworkMap, here: &Surroundings, own: IdentityKey) -> Option<Self> {
        let key = peer.identity?;
        Some(Self {
            id: peer.id,
            name: peer.name.clone(),
            wireguard_key: PublicKey(peer.wireguard_key.0),
            key,
            endpoints: usable_endpoints(peer, map, here),
            selectors: SelectorPair {
                local: map.own.addresses.iter().map(|address| TrafficSelector::host(*address)).collect(),
                remote: peer.allowed_ips.iter().filter_map(prefix).collect(),
            },
            compliance: peer.compliance,
            begins: begins(own < key, here.behind_nat != Some(true), is_reachable(peer)),
        })
    }

    /// Whether what stands between the two may stay.
    pub(super) fn is_as_before(&self, before: &Self) -> bool {
        let what =
            |wanted: &Self| (wanted.key, wanted.wireguard_key, wanted.compliance, wanted.selectors.clone());
        self.name == before.name && what(self) == what(before)
    }
}

/// One of the two, if both know the same: whoever can reach the other alone, else the one with the smaller key.
fn begins(own_key_is_smaller: bool, here_reachable: bool, peer_reachable: bool) -> bool {
    if here_reachable == peer_reachable { own_key_is_smaller } else { peer_reachable }
}

/// STUN saw it at an address of its own: no NAT.
fn is_reachable(peer: &Peer) -> bool {
    peer.endpoints.iter().all(|endpoint| endpoint.kind != EndpointKind::Reflexive)
}

fn prefix(prefix: &IpNet) -> Option<TrafficSelector> {
    TrafficSelector::new(prefix.network(), prefix.broadcast())
}

#[cfg(test)]
mod tests {
    use twinmesh_control::{Endpoint, Protocol};

    use super::*;
    use crate::testing::{map, peer};

    fn here(behind_nat: Option<bool>) -> Surroundings {
        Surroundings { port: 4500, behind_nat, ..Surroundings::default() }
    }

    /// As the nodes `one` and `other`, each behind a NAT or not, see each other.
    fn both_begin(one: (u8, bool), other: (u8, bool)) -> [bool; 2] {
        let seen = |(number, nat): (u8, bool)| {
            let mut seen = Peer { protocol: Protocol::Esp, ..peer(number) };
            if nat {
                let address = "203.0.113.1:61000".parse().unwrap();
                seen.endpoints.push(Endpoint { address, kind: EndpointKind::Reflexive });
            }
            seen
        };
        [(one, other), (other, one)].map(|((own, nat), of)| {
            Wanted::of(&seen(of), &map(1, []), &here(Some(nat)), IdentityKey([own; 32])).unwrap().begins
        })
    }

    #[test]
    fn exactly_one_begins_and_it_can_reach_the_other() {
        for (one, other, expected) in [
            ((1, false), (2, false), [true, false]),
            ((2, false), (1, false), [false, true]),
            ((1, false), (2, true), [false, true]),
            ((1, true), (2, false), [true, false]),
            ((2, true), (1, false), [true, false]),
            ((1, true), (2, true), [true, false]),
        ] {
            assert_eq!(both_begin(one, other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn only_peers_with_a_key_are_spoken_to() {
        let of = |peer: &Peer| Wanted::of(peer, &map(1, []), &here(None), IdentityKey([1; 32]));
        let esp = Peer { protocol: Protocol::Esp, ..peer(2) };
        assert!(of(&esp).is_some());
        assert_eq!(of(&Peer { identity: None, ..esp }), None);
    }

    #[test]
    fn one_child_is_for_both_families_and_nobody_elses_addresses() {
        let esp = Peer { protocol: Protocol::Esp, ..peer(2) };
        let wanted = Wanted::of(&esp, &map(1, []), &here(None), IdentityKey([1; 32])).unwrap();
        let shown = |side: &[TrafficSelector]| side.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&wanted.selectors.local), ["100.64.0.1/32", "fd00:64::1/128"]);
        assert_eq!(shown(&wanted.selectors.remote), ["100.64.0.2/32", "fd00:64::2/128"]);
    }
}
