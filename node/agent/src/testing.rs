//! Maps and peers for the tests of several modules.

use std::collections::BTreeMap;

use twinmesh_control::{
    Endpoint, EndpointKind, Generation, IdentityKey, NatReport, Network, NetworkMap, NodeId, OwnNode, Peer,
    PeerKind, Protocol, Revision, WireguardKey,
};

/// An agent with addresses and a key made from its number.
pub(crate) fn peer(number: u8) -> Peer {
    Peer {
        id: NodeId(number.into()),
        name: format!("node-{number}"),
        kind: PeerKind::Agent,
        wireguard_key: WireguardKey([number; 32]),
        identity: Some(IdentityKey([number; 32])),
        protocol: Protocol::Wireguard,
        compliance: false,
        reasons: Vec::new(),
        generation: Generation(0),
        addresses: vec![
            format!("100.64.0.{number}").parse().unwrap(),
            format!("fd00:64::{number}").parse().unwrap(),
        ],
        allowed_ips: vec![
            format!("100.64.0.{number}/32").parse().unwrap(),
            format!("fd00:64::{number}/128").parse().unwrap(),
        ],
        endpoints: vec![Endpoint {
            address: format!("192.0.2.{number}:4500").parse().unwrap(),
            kind: EndpointKind::Host,
        }],
        nat: NatReport::default(),
        tags: Vec::new(),
    }
}

/// The map of node 1.
pub(crate) fn map(revision: u64, peers: impl IntoIterator<Item = Peer>) -> NetworkMap {
    NetworkMap {
        revision: Revision(revision),
        network: Network {
            name: "default".to_owned(),
            ipv4: "100.64.0.0/10".parse().unwrap(),
            ipv6: "fd00:64::/48".parse().unwrap(),
        },
        own: OwnNode {
            id: NodeId(1),
            name: "node-1".to_owned(),
            addresses: vec!["100.64.0.1".parse().unwrap(), "fd00:64::1".parse().unwrap()],
            tags: Vec::new(),
        },
        peers: peers.into_iter().map(|peer| (peer.id, peer)).collect::<BTreeMap<_, _>>(),
    }
}
