//! Two data planes with real TUN devices and sockets, in namespaces joined by a veth pair. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a failed step of a test is a panic; support is a module of which each test uses its part"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use support::{Node, TUN, endpoint, meshed, pair, start, until};
use twinmesh_dataplane::{Event, Offload, PeerState, PrivateKey, StartError};

#[test]
fn both_families_reach_each_other_inside_over_either_outside() {
    for outside in [["192.0.2.1:4500", "192.0.2.2:4500"], ["[2001:db8::1]:4500", "[2001:db8::2]:4500"]] {
        let (a, b) = pair();
        a.dataplane.set_peer(b.as_peer(&[outside[1]])).unwrap();
        b.dataplane.set_peer(a.as_peer(&[])).unwrap();
        a.namespace.must("ping -c 3 -i 0.1 -W 2 100.64.0.2");
        b.namespace.must("ping -c 3 -i 0.1 -W 2 fd00:64::1");
        let status = b.status_of(a.key);
        assert_eq!((status.state, status.endpoint), (PeerState::Up, Some(endpoint(outside[0]))));
        assert_eq!((status.rx_packets, status.tx_packets), (6, 6));
        let up = Event::PeerUp { peer: a.key, endpoint: endpoint(outside[0]) };
        assert_eq!(*b.events.lock().unwrap(), [up]);
    }
}

#[test]
fn a_large_transfer_arrives_unchanged() {
    let (a, b) = meshed();
    let data: Vec<u8> =
        (0u32..8_000_000).flat_map(|word| word.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    for address in ["100.64.0.2:7000", "[fd00:64::2]:7000"] {
        let listener = b.namespace.run(|| TcpListener::bind(address).unwrap());
        let mut sender = a.namespace.run(|| TcpStream::connect(address).unwrap());
        let received = thread::scope(|scope| {
            scope.spawn(|| {
                sender.write_all(&data).unwrap();
                drop(sender);
            });
            let mut received = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
            received
        });
        assert!(received == data, "{} bytes of {} over {address}", received.len(), data.len());
    }
}

#[test]
fn a_source_that_the_peer_may_not_use_is_dropped_and_counted() {
    let (a, b) = meshed();
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    a.namespace.must("ip addr add 100.64.0.9/32 dev lo && ip addr add fd00:64::9/128 dev lo nodad");
    let before = b.dataplane.status().totals.rx_packets;
    assert!(!a.sh_ok("ping -c 2 -i 0.1 -W 1 -I 100.64.0.9 100.64.0.2"));
    assert!(!a.sh_ok("ping -c 1 -W 1 -I fd00:64::9 fd00:64::2"));
    assert_eq!(b.drops("source-not-allowed"), 3);
    assert_eq!(b.dataplane.status().totals.rx_packets, before);
}

#[test]
fn a_destination_that_nobody_has_is_answered_unreachable() {
    let (a, _b) = meshed();
    for address in ["100.64.7.7", "fd00:64::77"] {
        let before = a.drops("no-route");
        let output = a.namespace.sh(&format!("ping -c 1 -W 5 {address}"));
        let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
        assert!(text.contains("unreachable") || text.contains("no route"), "{text}");
        assert_eq!(a.drops("no-route"), before + 1);
    }
}

#[test]
fn packets_to_groups_are_not_taken_for_mistaken_destinations() {
    let (a, _b) = meshed();
    let (groups, mistakes) = (a.drops("multicast"), a.drops("no-route"));
    a.namespace.sh(&format!("ping -c 1 -W 1 ff02::1%{TUN}"));
    until("the count", || a.drops("multicast") > groups);
    assert_eq!(a.drops("no-route"), mistakes);
}

#[test]
fn trap_11_a_packet_over_the_mtu_is_answered_with_the_mtu() {
    let (a, _b) = meshed();
    a.namespace.must(&format!("ip link set {TUN} mtu 1500"));
    let output = a.namespace.sh("ping -c 1 -W 2 -M do -s 1450 100.64.0.2");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("mtu = 1420") || text.contains("mtu=1420"), "{text}");
    assert_eq!((a.drops("too-big"), a.adjusted("inner-fragmented")), (1, 0));
}

#[test]
fn a_peer_that_moves_is_found_within_two_seconds() {
    let (a, b) = meshed();
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    a.namespace.must("ip addr del 192.0.2.1/24 dev veth0 && ip addr add 192.0.2.11/24 dev veth0");
    let moved = Instant::now();
    a.dataplane.network_changed();
    until("the new endpoint", || b.status_of(a.key).endpoint == Some(endpoint("192.0.2.11:4500")));
    assert!(b.pings("100.64.0.1"));
    assert!(moved.elapsed() < Duration::from_secs(2), "{:?}", moved.elapsed());
    let change = Event::EndpointChanged { peer: a.key, endpoint: endpoint("192.0.2.11:4500") };
    assert!(b.events.lock().unwrap().contains(&change));
}

#[test]
fn new_candidates_find_a_silent_peer_within_two_seconds() {
    let (a, b) = meshed();
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    // The peer moved and does not tell: only the coordinator's new candidates lead to it.
    a.namespace.must("ip addr del 192.0.2.1/24 dev veth0 && ip addr add 192.0.2.11/24 dev veth0");
    b.namespace.must("ip neigh flush dev veth0");
    b.dataplane.set_peer(a.as_peer(&["192.0.2.1:4500", "192.0.2.11:4500"])).unwrap();
    let told = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| b.namespace.sh("ping -c 10 -i 0.2 -W 1 100.64.0.1"));
        until("the new endpoint", || b.status_of(a.key).endpoint == Some(endpoint("192.0.2.11:4500")));
        assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    });
    assert!(b.pings("100.64.0.1"));
}

#[test]
fn a_removed_peer_is_cut_off_at_once_and_an_updated_one_stays() {
    let (a, b) = meshed();
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    let handshakes = |node: &Node| node.events.lock().unwrap().len();
    let before = handshakes(&b);
    let mut narrowed = a.as_peer(&["192.0.2.1:4500"]);
    narrowed.allowed_ips.truncate(1);
    b.dataplane.set_peer(narrowed).unwrap();
    assert!(a.pings("100.64.0.2"));
    assert!(!a.pings("fd00:64::2"));
    assert_eq!(handshakes(&b), before, "the session survived");

    assert!(b.dataplane.remove_peer(&a.key));
    assert!(!b.dataplane.remove_peer(&a.key));
    assert!(!a.pings("100.64.0.2"));
    assert!(b.drops("wireguard-unknown-index") > 0);
    assert_eq!(b.dataplane.status().peers, []);
}

#[test]
fn what_is_in_use_is_refused_with_its_holder_and_free_after_the_end() {
    let (a, b) = pair();
    let Node { dataplane, namespace, events, .. } = a;
    let again = |port| start(&namespace, port, PrivateKey::generate().unwrap(), &events, Offload::ALL);
    let pid = std::process::id();
    let error = again(4500).err().unwrap();
    assert!(
        matches!(&error, StartError::PortBusy { port: 4500, pid: Some(holder) } if *holder == pid),
        "{error}"
    );
    let error = again(0).err().unwrap();
    assert!(matches!(&error, StartError::TunBusy { pid: Some(holder), .. } if *holder == pid), "{error}");
    dataplane.stop();
    let second = again(4500).unwrap();
    assert!(second.tun_index() > 0);
    second.stop();
    // It has a device of that name too, in the same process.
    drop(b);
    namespace.must(&format!("ip tuntap add dev {TUN} mode tun multi_queue"));
    let error = again(4500).err().unwrap();
    assert_eq!(error.to_string(), format!("TUN device {TUN} exists already"));
}

#[test]
fn stray_datagrams_are_counted_by_kind_and_stun_and_ike_are_handed_on() {
    let (a, b) = meshed();
    let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let to = endpoint("192.0.2.2:4500");
    for datagram in [&stun[..], &[0xff], &[0, 0, 0, 0, 1], &[0x90, 1], &[0x70], &[4, 0, 0, 0, 9], &[]] {
        a.dataplane.send_datagram(None, to, datagram).unwrap();
    }
    let kinds = || b.dataplane.status().datagrams.iter().map(|(_, count)| count).sum::<u64>();
    until("all datagrams", || kinds() == 7);
    let expected = [
        ("keepalive", 1),
        ("ike", 1),
        ("wireguard", 1),
        ("stun", 1),
        ("turn-channel", 0),
        ("esp", 1),
        ("unknown", 2),
        ("esp-raw", 0),
    ];
    assert_eq!(b.dataplane.status().datagrams, expected);
    assert_eq!((b.drops("unknown-channel"), b.drops("wireguard-malformed")), (0, 1));
    assert_eq!(b.drops("esp-unknown-spi"), 1);
    let from = endpoint("192.0.2.1:4500");
    let stun = Event::Stun { from, datagram: stun.to_vec() };
    let ike = Event::Ike { from, to: Some(to.ip()), datagram: vec![0, 0, 0, 0, 1] };
    assert_eq!(*b.events.lock().unwrap(), [stun, ike]);
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let (a, b) = pair();
    b.namespace.must("ip addr add 192.0.2.102/24 dev veth0 && ip addr add 2001:db8::102/64 dev veth0 nodad");
    for (a_outside, wanted, sent) in [
        ("192.0.2.1:4500", "192.0.2.102", "192.0.2.102"),
        ("[2001:db8::1]:4500", "2001:db8::102", "2001:db8::102"),
        // It has been lost meanwhile.
        ("192.0.2.1:4500", "192.0.2.77", "192.0.2.2"),
        ("192.0.2.1:4500", "0.0.0.0", "192.0.2.2"),
    ] {
        a.events.lock().unwrap().clear();
        let [wanted, sent] = [wanted, sent].map(|address| address.parse::<IpAddr>().unwrap());
        b.dataplane.send_datagram(Some(wanted), endpoint(a_outside), &[0, 0, 0, 0, 1]).unwrap();
        until("the answer", || !a.events.lock().unwrap().is_empty());
        let ike = Event::Ike {
            from: SocketAddr::new(sent, 4500),
            to: Some(endpoint(a_outside).ip()),
            datagram: vec![0, 0, 0, 0, 1],
        };
        assert_eq!(*a.events.lock().unwrap(), [ike]);
    }
    // Of IPv6 the kernel may choose any other of its own.
    b.dataplane
        .send_datagram(
            Some("2001:db8::77".parse().unwrap()),
            endpoint("[2001:db8::1]:4500"),
            &[0, 0, 0, 0, 1],
        )
        .unwrap();
    until("the other answer", || a.events.lock().unwrap().len() == 2);
}
