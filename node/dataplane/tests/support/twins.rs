//! Two data planes that have both engines for each other.

use twinmesh_dataplane::esp::{
    KeyMaterial, Lifetime, Mode, OuterPolicy, SaParameters, Selectors, Spi, TrafficSelector,
};
use twinmesh_dataplane::{Encapsulation, EspConfig, EspPath, Offload, PeerConfig, ProbeAddresses, PublicKey};

use super::{Node, endpoint, pair_with};

/// `other` as the node `own` knows it.
pub fn known(own: u8, other: &Node) -> PeerConfig {
    let number = other.number;
    PeerConfig {
        probe: Some(ProbeAddresses {
            own: format!("100.64.0.{own}").parse().unwrap(),
            peer: format!("100.64.0.{number}").parse().unwrap(),
        }),
        partial_checksums: true,
        ..other.as_peer(&[&format!("192.0.2.{number}:4500")])
    }
}

/// The node `own`'s half of a pair of SAs, of the `round`th keys, where there are two nodes.
pub fn tunnel(own: u8, peer: PublicKey, round: u8) -> EspConfig {
    tunnel_to(own, 3 - own, peer, round)
}

/// As [`tunnel`], with the node of any number; a round is one pair's.
pub fn tunnel_to(own: u8, other: u8, peer: PublicKey, round: u8) -> EspConfig {
    let any = |number: u8| -> Vec<TrafficSelector> {
        vec![
            format!("100.64.0.{number}/32").parse().unwrap(),
            format!("fd00:64::{number}/128").parse().unwrap(),
        ]
    };
    let parameters = |owner: u8| SaParameters {
        spi: Spi::new(0xc000_0000 + u32::from(round) * 16 + u32::from(owner)).unwrap(),
        suite: "aes128gcm16".parse().unwrap(),
        mode: Mode::Tunnel,
        esn: false,
        selectors: Selectors { local: any(own), remote: any(other) },
        lifetime: Lifetime::default(),
        replay_window: 4096,
        tfc_multiple: 0,
        tfc_limit: 0,
        align_8: false,
    };
    let key = |owner: u8| KeyMaterial::new(vec![owner + 16 * round; 20]);
    EspConfig {
        name: format!("@peer#{round}"),
        inbound: parameters(own),
        inbound_key: key(own),
        outbound: parameters(other),
        outbound_key: key(other),
        path: EspPath {
            local: None,
            remote: endpoint(&format!("192.0.2.{other}:4500")),
            encapsulation: Encapsulation::Udp,
        },
        follow_remote: true,
        original: None,
        follows: None,
        guard: None,
        peer: Some(peer),
        outer: OuterPolicy::default(),
        path_mtu: 1500,
        partial_checksums: false,
    }
}

/// Two agents that know each other, without ESP yet.
pub fn agents() -> (Node, Node) {
    agents_with([Offload::ALL; 2])
}

/// As [`agents`], with what the kernel may do for each.
pub fn agents_with(offload: [Offload; 2]) -> (Node, Node) {
    let (a, b) = pair_with(offload);
    a.dataplane.set_peer(known(1, &b)).unwrap();
    b.dataplane.set_peer(known(2, &a)).unwrap();
    (a, b)
}

/// Two agents with both engines.
pub fn twins() -> (Node, Node) {
    twins_with([Offload::ALL; 2])
}

/// As [`twins`], with what the kernel may do for each.
pub fn twins_with(offload: [Offload; 2]) -> (Node, Node) {
    let (a, b) = agents_with(offload);
    a.dataplane.add_esp(tunnel(1, b.key, 1)).unwrap();
    b.dataplane.add_esp(tunnel(2, a.key, 1)).unwrap();
    (a, b)
}
