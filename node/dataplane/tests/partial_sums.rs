//! Checksums that nobody completes on the way, and those that only look like that. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a failed step of a test is a panic; support is a module of which each test uses its part"
)]

mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use support::sums::{
    Listener, PORT, checksum, collision, errors, packet, partial, right, send, until_partial,
};
use support::transfer;
use support::twins::{agents, agents_with, known, tunnel, twins};
use support::{Namespace, Node, endpoint, pair, until};
use twinmesh_dataplane::esp::TrafficSelector;
use twinmesh_dataplane::{
    EndpointPolicy, Engine, EspConfig, Offload, PartialChecksums, PeerConfig, PeerPath,
};

const BOTH: PartialChecksums = PartialChecksums { sent: true, taken: true };
const NEITHER: PartialChecksums = PartialChecksums { sent: false, taken: false };
const FROM: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const BEHIND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

fn set_engines(a: &Node, b: &Node, engine: Engine) {
    for (here, there) in [(a, b), (b, a)] {
        assert!(here.dataplane.set_engine(&there.key, engine));
    }
}

fn agree(a: &Node, b: &Node) {
    until_partial(a, b, "100.64.0.2:9");
    until_partial(b, a, "100.64.0.1:9");
    assert_eq!([a.status_of(b.key), b.status_of(a.key)].map(|status| status.partial_checksums), [BOTH; 2]);
}

fn transfers_arrive(a: &Node, b: &Node, what: &str) {
    transfer::transfers_arrive(a, b, what);
    for node in [a, b] {
        assert_eq!(errors(&node.namespace), 0, "{what}");
    }
}

/// Agents with both engines, and a host behind the second one, over a link that carries checksums as a wire does.
fn with_host_behind() -> (Node, Node, Namespace) {
    let (a, b) = agents();
    let behind: TrafficSelector = "198.51.100.0/24".parse().unwrap();
    let (mut at_a, mut at_b) = (tunnel(1, b.key, 1), tunnel(2, a.key, 1));
    for (at_a, at_b) in [(&mut at_a.inbound, &mut at_b.inbound), (&mut at_a.outbound, &mut at_b.outbound)] {
        at_a.selectors.remote.push(behind);
        at_b.selectors.local.push(behind);
    }
    a.dataplane.add_esp(at_a).unwrap();
    b.dataplane.add_esp(at_b).unwrap();
    let host = Namespace::new("c");
    host.join(&b.namespace, "198.51.100.1/24", "198.51.100.2/24");
    let mut peer = known(1, &b);
    peer.allowed_ips.push("198.51.100.0/24".parse().unwrap());
    a.dataplane.set_peer(peer).unwrap();
    a.namespace.must("ip route add 198.51.100.0/24 dev mesh0");
    b.namespace.must("sysctl -qw net.ipv4.ip_forward=1 && ethtool -K veth1 tx off");
    host.must("ip route add default via 198.51.100.1 && ethtool -K veth1 tx off");
    (a, b, host)
}

#[test]
fn agents_agree_in_each_session_and_everything_arrives_by_either_engine() {
    let (a, b) = twins();
    for engine in [Engine::WireGuard, Engine::Esp] {
        set_engines(&a, &b, engine);
        agree(&a, &b);
        transfers_arrive(&a, &b, &format!("{engine:?}"));
    }
    // New keys, in which nothing is agreed on before they were asked.
    b.dataplane.add_esp(tunnel(2, a.key, 2)).unwrap();
    a.dataplane.add_esp(tunnel(1, b.key, 2)).unwrap();
    for node in [&a, &b] {
        assert!(node.dataplane.retire_esp("@peer#1"));
    }
    assert_eq!(a.status_of(b.key).partial_checksums, NEITHER);
    agree(&a, &b);
    transfers_arrive(&a, &b, "new keys");
}

#[test]
fn a_peer_that_started_again_and_takes_none_any_more_gets_none() {
    let (a, b) = agents();
    agree(&a, &b);
    // As after a restart, by a version that knows nothing of it: the same key, and no session.
    b.dataplane.remove_peer(&a.key);
    b.dataplane.set_peer(PeerConfig { partial_checksums: false, ..known(2, &a) }).unwrap();
    b.namespace.must("ping -c 1 -W 5 100.64.0.1");
    assert!(!a.status_of(b.key).partial_checksums.sent);
    transfers_arrive(&a, &b, "after the restart");
    assert!(!a.status_of(b.key).partial_checksums.sent);
    assert_eq!(b.status_of(a.key).partial_checksums, NEITHER);
}

#[test]
fn without_offload_at_either_end_checksums_are_whole() {
    for offload in [[Offload::NONE, Offload::ALL], [Offload::ALL, Offload::NONE]] {
        let (a, b) = agents_with(offload);
        transfers_arrive(&a, &b, "without offload");
        assert_eq!(
            [a.status_of(b.key), b.status_of(a.key)].map(|status| status.partial_checksums),
            [NEITHER; 2]
        );
    }
}

#[test]
fn what_is_answered_stays_true_in_its_session_whatever_the_agent_wants_later() {
    let (a, b) = agents();
    agree(&a, &b);
    b.dataplane.set_peer(PeerConfig { partial_checksums: false, ..known(2, &a) }).unwrap();
    assert_eq!(b.status_of(a.key).partial_checksums, PartialChecksums { sent: false, taken: true });
    transfers_arrive(&a, &b, "one end has changed its mind");
    assert!(a.status_of(b.key).partial_checksums.sent);
}

#[test]
fn a_host_behind_the_peer_gets_every_checksum_as_it_should_be() {
    let (a, b, host) = with_host_behind();
    let mut heard = Listener::new(&host);
    for (round, engine) in [Engine::WireGuard, Engine::Esp].into_iter().enumerate() {
        set_engines(&a, &b, engine);
        agree(&a, &b);
        // From a program, whose kernel leaves the checksum to whoever comes.
        let program = a.namespace.run(|| UdpSocket::bind("100.64.0.1:0").unwrap());
        program.send_to(b"what a program sends", (BEHIND, PORT)).unwrap();
        let arrived = heard.next();
        assert_eq!(checksum(&arrived), right(&arrived), "{engine:?}: completed");
        // Forwarded, as far as the node can tell: with whole checksums.
        let sent = collision(FROM, BEHIND);
        send(&a, &sent);
        assert_eq!(heard.next()[20..], sent[20..], "{engine:?}: right, although it looks partial");
        let wrong = packet(FROM, BEHIND, b"hurt by the one who sent it", Some(0x1234));
        send(&a, &wrong);
        assert_eq!(heard.next()[20..], wrong[20..], "{engine:?}: wrong as it was");
        let none = packet(FROM, BEHIND, b"without a checksum", Some(0));
        send(&a, &none);
        assert_eq!(heard.next()[20..], none[20..], "{engine:?}: no checksum");
        let mistakable = packet(FROM, BEHIND, b"hurt so that it looks partial", None);
        send(&a, &packet(FROM, BEHIND, b"hurt so that it looks partial", Some(partial(&mistakable))));
        send(&a, &none);
        assert_eq!(heard.next()[20..], none[20..], "{engine:?}: nothing came before it");
        assert_eq!(a.drops("wrong-checksum"), round as u64 + 1, "{engine:?}");
    }
}

#[test]
fn what_goes_in_pieces_has_a_whole_checksum() {
    let (a, b, host) = with_host_behind();
    agree(&a, &b);
    let mut peer = known(1, &b);
    peer.allowed_ips.push("198.51.100.0/24".parse().unwrap());
    a.dataplane.set_peer(PeerConfig { endpoint: EndpointPolicy::Managed, ..peer }).unwrap();
    let path = PeerPath { remote: endpoint("192.0.2.2:4500"), mtu: 1300, relayed: false };
    assert!(a.dataplane.set_path(&b.key, path));
    a.namespace.must("sysctl -qw net.ipv4.ip_no_pmtu_disc=1");
    let mut heard = Listener::new(&host);
    for engine in [Engine::WireGuard, Engine::Esp] {
        set_engines(&a, &b, engine);
        let program = a.namespace.run(|| UdpSocket::bind("100.64.0.1:0").unwrap());
        program.send_to(&[7; 1380], (BEHIND, PORT)).unwrap();
        let arrived = heard.next();
        assert_eq!((arrived.len(), checksum(&arrived)), (1408, right(&arrived)), "{engine:?}");
    }
    assert_eq!(a.adjusted("inner-fragmented"), 2);
}

/// SAs keyed by hand, which nobody agrees on anything in.
fn by_hand(own: u8, other: &Node, round: u8, partial_checksums: bool) -> EspConfig {
    EspConfig { peer: None, partial_checksums, ..tunnel(own, other.key, round) }
}

#[test]
fn by_hand_both_ends_are_told_and_who_was_not_leaves_partial_ones_as_they_are() {
    let (a, b) = pair();
    a.dataplane.add_esp(by_hand(1, &b, 1, true)).unwrap();
    b.dataplane.add_esp(by_hand(2, &a, 1, true)).unwrap();
    transfers_arrive(&a, &b, "by hand");
    assert_eq!(a.dataplane.esp_status()[0].partial_checksums, BOTH);

    let receiver = b.namespace.run(|| UdpSocket::bind("100.64.0.2:7001").unwrap());
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let sender = a.namespace.run(|| UdpSocket::bind("100.64.0.1:0").unwrap());
    let again = |round: u8, [at_a, at_b]: [bool; 2], text: &str| {
        let former = format!("@peer#{}", round - 1);
        assert!(a.dataplane.remove_esp(&former) && b.dataplane.remove_esp(&former));
        b.dataplane.add_esp(by_hand(2, &a, round, at_b)).unwrap();
        a.dataplane.add_esp(by_hand(1, &b, round, at_a)).unwrap();
        let before = b.dataplane.status().totals.rx_packets;
        sender.send_to(text.as_bytes(), "100.64.0.2:7001").unwrap();
        until(text, || b.dataplane.status().totals.rx_packets > before);
    };
    again(2, [true, false], "not completed by anybody");
    again(3, [false, true], "whole");
    let mut buffer = [0; 99];
    let length = receiver.recv(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], errors(&b.namespace)), (b"whole".as_slice(), 1));
}
