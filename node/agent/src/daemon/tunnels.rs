//! From the network map to the data plane's WireGuard peers: what each should be, and what has to change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use twinmesh_control::{Endpoint, EndpointKind, IdentityKey, NetworkMap, NodeId, Peer, PeerKind, Protocol};
use twinmesh_dataplane::{EndpointPolicy, PeerConfig, ProbeAddresses, PublicKey};

/// Shorter than the life of a mapping in any NAT that people use (RFC 4787 asks for 2 minutes, many have 30 s).
const KEEPALIVE: Duration = Duration::from_secs(20);

/// What of this machine matters to every tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// Own addresses outside the overlay.
    pub(super) hosts: BTreeSet<IpAddr>,
    /// The data port.
    pub(super) port: u16,
    /// `None`: not known.
    pub(super) behind_nat: Option<bool>,
    /// How often something must be sent to keep a mapping; `None`: not measured.
    pub(super) keepalive: Option<Duration>,
}

/// One tunnel as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tunnel {
    pub(super) key: PublicKey,
    pub(super) endpoints: Vec<SocketAddr>,
    pub(super) allowed_ips: Vec<IpNet>,
    pub(super) keepalive: Option<Duration>,
    /// Whether WireGuard is spoken with it.
    pub(super) wireguard: bool,
    pub(super) probe: Option<ProbeAddresses>,
    /// Whether this node decides which way its packets take.
    pub(super) managed: bool,
}

impl Tunnel {
    pub(super) fn new(peer: &Peer, map: &NetworkMap, here: &Surroundings) -> Self {
        Self {
            key: PublicKey(peer.wireguard_key.0),
            endpoints: usable_endpoints(peer, map, here),
            allowed_ips: peer.allowed_ips.clone(),
            // A keepalive also starts the handshake. Who is behind a NAT must speak first to be reached. Who
            // does not know yet has just started, and its peers may still hold its former sessions.
            keepalive: (here.behind_nat != Some(false) && in_wireguard(peer))
                .then_some(here.keepalive.unwrap_or(KEEPALIVE)),
            wireguard: !peer.compliance,
            probe: (peer.kind == PeerKind::Agent).then(|| probe_addresses(peer, map)).flatten(),
            managed: peer.kind == PeerKind::Agent,
        }
    }

    pub(super) fn to_peer_config(&self) -> PeerConfig {
        PeerConfig {
            public_key: self.key,
            preshared_key: None,
            endpoints: self.endpoints.clone(),
            endpoint: if self.managed { EndpointPolicy::Managed } else { EndpointPolicy::Follow },
            allowed_ips: self.allowed_ips.clone(),
            keepalive: self.keepalive,
            wireguard: self.wireguard,
            probe: self.probe,
            // Agents agree on it among themselves, inside the tunnel.
            partial_checksums: self.probe.is_some(),
        }
    }
}

/// Between the first addresses of one family.
fn probe_addresses(peer: &Peer, map: &NetworkMap) -> Option<ProbeAddresses> {
    let own = map.own.addresses.iter();
    own.flat_map(|own| peer.addresses.iter().map(|peer| ProbeAddresses { own: *own, peer: *peer }))
        .find(|ends| ends.own.is_ipv4() == ends.peer.is_ipv4())
}

/// Where a peer may be, the likeliest first.
pub(super) fn usable_endpoints(peer: &Peer, map: &NetworkMap, here: &Surroundings) -> Vec<SocketAddr> {
    let rank = |kind: &EndpointKind| match kind {
        EndpointKind::Configured => 0,
        EndpointKind::Reflexive | EndpointKind::Mapped => 1,
        EndpointKind::Host | EndpointKind::Other(_) => 2,
        EndpointKind::Relayed => 3,
    };
    let usable = |endpoint: &&Endpoint| endpoint_problem(endpoint.address, map, here).is_none();
    let mut endpoints: Vec<_> = peer.endpoints.iter().filter(usable).collect();
    endpoints.sort_by_key(|endpoint| rank(&endpoint.kind));
    endpoints.into_iter().map(|endpoint| endpoint.address).collect()
}

/// Of one peer: it has one home relay, and for a moment two.
const MOST_RELAYED: usize = 4;

/// Where a peer may be reached at its relay.
pub(super) fn relayed_endpoints(peer: &Peer, map: &NetworkMap, here: &Surroundings) -> Vec<SocketAddr> {
    let relayed = peer.endpoints.iter().filter(|endpoint| endpoint.kind == EndpointKind::Relayed);
    let usable = relayed.filter(|endpoint| endpoint_problem(endpoint.address, map, here).is_none());
    usable.map(|endpoint| endpoint.address).take(MOST_RELAYED).collect()
}

/// Why an address that a peer has reported is never tried.
pub(super) fn endpoint_problem(
    address: SocketAddr,
    map: &NetworkMap,
    here: &Surroundings,
) -> Option<&'static str> {
    let overlay = [IpNet::V4(map.network.ipv4), IpNet::V6(map.network.ipv6)];
    if address.port() == 0 {
        Some("it has no port")
    } else if overlay.iter().any(|prefix| prefix.contains(&address.ip())) {
        Some("it lies in the mesh itself")
    } else if here.hosts.contains(&address.ip()) && address.port() == here.port {
        // Another node's bridge may have the address that one of ours has.
        Some("it is this node's own, too")
    } else {
        None
    }
}

/// What a peer proves itself with in IKE, where ESP carries its traffic.
pub(super) fn in_esp(peer: &Peer) -> Option<IdentityKey> {
    peer.identity.filter(|_| peer.protocol == Protocol::Esp)
}

/// Whether WireGuard carries a peer's traffic: also where a later coordinator chose what this version does not know,
/// but never where only approved algorithms are allowed.
pub(super) fn in_wireguard(peer: &Peer) -> bool {
    in_esp(peer).is_none() && peer.protocol != Protocol::None && !peer.compliance
}

/// What the data plane has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Remove(PublicKey),
    Set(Tunnel),
}

/// The tunnels that the data plane has.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    present: BTreeMap<NodeId, Tunnel>,
    owners: HashMap<PublicKey, NodeId>,
}

impl Tunnels {
    /// Whose key it is.
    pub(super) fn owner(&self, key: &PublicKey) -> Option<NodeId> {
        self.owners.get(key).copied()
    }

    /// The steps to the tunnels of the whole map.
    pub(super) fn update_all(&mut self, map: &NetworkMap, here: &Surroundings) -> Vec<Step> {
        let ids: BTreeSet<NodeId> = self.present.keys().chain(map.peers.keys()).copied().collect();
        self.update(ids, map, here)
    }

    /// The steps for these peers alone: removals first, so that a key or prefix is free before another
    /// peer takes it.
    pub(super) fn update(
        &mut self,
        ids: impl IntoIterator<Item = NodeId>,
        map: &NetworkMap,
        here: &Surroundings,
    ) -> Vec<Step> {
        let (mut removals, mut settings) = (Vec::new(), Vec::new());
        for id in ids {
            let peer = map.peers.get(&id).filter(|peer| in_esp(peer).is_some() || in_wireguard(peer));
            let wanted = peer.map(|peer| Tunnel::new(peer, map, here));
            let present = self.present.get(&id);
            if present == wanted.as_ref() {
                continue;
            }
            if let Some(present) = present
                && wanted.as_ref().is_none_or(|wanted| wanted.key != present.key)
            {
                self.owners.remove(&present.key);
                removals.push(Step::Remove(present.key));
            }
            match wanted {
                Some(wanted) => {
                    self.owners.insert(wanted.key, id);
                    self.present.insert(id, wanted.clone());
                    settings.push(Step::Set(wanted));
                }
                None => {
                    self.present.remove(&id);
                }
            }
        }
        removals.extend(settings);
        removals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{map, peer};

    fn here(behind_nat: Option<bool>) -> Surroundings {
        Surroundings {
            hosts: BTreeSet::from(["192.0.2.1".parse().unwrap()]),
            port: 4500,
            behind_nat,
            keepalive: None,
        }
    }

    #[test]
    fn only_a_node_that_is_surely_not_behind_a_nat_stays_silent() {
        let map = map(1, [peer(2)]);
        for (behind_nat, keeps_alive) in [(None, true), (Some(true), true), (Some(false), false)] {
            let tunnel = Tunnel::new(&map.peers[&NodeId(2)], &map, &here(behind_nat));
            assert_eq!(tunnel.keepalive.is_some(), keeps_alive, "{behind_nat:?}");
        }
    }

    #[test]
    fn endpoints_inside_the_overlay_or_our_own_are_never_tried() {
        let mut other = peer(2);
        let endpoint = |address: &str, kind| Endpoint { address: address.parse().unwrap(), kind };
        other.endpoints = vec![
            endpoint("192.0.2.1:4500", EndpointKind::Host),
            endpoint("100.64.0.9:4500", EndpointKind::Host),
            endpoint("192.0.2.2:4500", EndpointKind::Host),
            endpoint("203.0.113.2:61000", EndpointKind::Reflexive),
        ];
        let tunnel = Tunnel::new(&other, &map(1, []), &here(None));
        let tried: Vec<_> = tunnel.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(tried, ["203.0.113.2:61000", "192.0.2.2:4500"]);
    }

    #[test]
    fn a_peer_in_esp_keeps_wireguard_at_rest_unless_only_approved_algorithms_are_allowed() {
        let mut tunnels = Tunnels::default();
        tunnels.update_all(&map(1, [peer(2), peer(3)]), &here(None));
        let esp = Peer { protocol: Protocol::Esp, ..peer(2) };
        let steps = tunnels.update_all(&map(2, [esp.clone(), peer(3)]), &here(None));
        let [Step::Set(tunnel)] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!((tunnel.wireguard, tunnel.keepalive), (true, None));
        let compliant = Peer { compliance: true, ..esp.clone() };
        let steps = tunnels.update_all(&map(3, [compliant, peer(3)]), &here(None));
        let [Step::Set(tunnel)] = steps.as_slice() else { panic!("{steps:?}") };
        assert!(!tunnel.wireguard);
        // Without a key to prove itself with, it could not be spoken to.
        let nameless = Peer { identity: None, ..esp };
        assert_eq!(tunnels.update_all(&map(4, [nameless, peer(3)]), &here(None)).len(), 1);
    }

    #[test]
    fn a_peer_for_which_no_protocol_is_allowed_has_no_tunnel_at_all() {
        let mut tunnels = Tunnels::default();
        tunnels.update_all(&map(1, [peer(2)]), &here(None));
        let none = Peer { protocol: Protocol::None, compliance: true, ..peer(2) };
        let gone = [Step::Remove(PublicKey(none.wireguard_key.0))];
        assert_eq!(tunnels.update_all(&map(2, [none.clone()]), &here(None)), gone);
        // Whatever a later coordinator means: WireGuard is nothing that compliance allows.
        for protocol in [Protocol::Wireguard, Protocol::Other("quic".to_owned())] {
            let odd = Peer { protocol, ..none.clone() };
            assert_eq!(tunnels.update_all(&map(3, [odd]), &here(None)), []);
        }
        let nameless = Peer { protocol: Protocol::Esp, identity: None, ..none };
        assert_eq!(tunnels.update_all(&map(4, [nameless]), &here(None)), []);
    }

    #[test]
    fn only_what_differs_is_done_and_removals_come_first() {
        let mut tunnels = Tunnels::default();
        let first = map(1, [peer(2), peer(3)]);
        assert_eq!(tunnels.update_all(&first, &here(None)).len(), 2);
        assert_eq!(tunnels.update_all(&first, &here(None)), []);

        let mut changed = peer(2);
        let old_key = PublicKey(changed.wireguard_key.0);
        changed.wireguard_key.0[0] ^= 1;
        let second = map(2, [changed]);
        let steps = tunnels.update_all(&second, &here(None));
        let gone = PublicKey(peer(3).wireguard_key.0);
        assert_eq!(steps[..2], [Step::Remove(old_key), Step::Remove(gone)]);
        assert!(matches!(&steps[2..], [Step::Set(_)]));
        let owners = [old_key, gone, PublicKey(second.peers[&NodeId(2)].wireguard_key.0)];
        assert_eq!(owners.map(|key| tunnels.owner(&key)), [None, None, Some(NodeId(2))]);
    }
}
