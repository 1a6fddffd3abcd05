//! What passes over links of any MTU, and who is told of what does not, in namespaces joined by a veth pair. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed step of a test is a panic; support is a module"
)]
#![expect(dead_code, reason = "support serves other tests too")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use nix::sys::socket::{getsockopt, sockopt};
use support::{Node, endpoint, meshed, pair, until};

/// Outside, by IPv4 and by IPv6, with what IP, UDP and WireGuard put around a packet.
const OUTSIDE: [([&str; 2], u16); 2] =
    [(["192.0.2.1:4500", "192.0.2.2:4500"], 60), (["[2001:db8::1]:4500", "[2001:db8::2]:4500"], 80)];

/// Two nodes over a link of this MTU that know each other by these addresses.
fn over(mtu: u16, [a_outside, b_outside]: [&str; 2]) -> (Node, Node) {
    let (a, b) = pair();
    for node in [&a, &b] {
        node.namespace.must(&format!("ip link set veth0 mtu {mtu}"));
    }
    a.dataplane.set_peer(b.as_peer(&[b_outside])).unwrap();
    b.dataplane.set_peer(a.as_peer(&[a_outside])).unwrap();
    (a, b)
}

fn says(node: &Node, command: &str, text: &str) {
    let output = node.namespace.sh(command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(text), "{command}: {said}");
}

/// Packets that the kernel has cut, and reassembled, in either family.
fn kernel_counts(node: &Node) -> (u64, u64) {
    let sum = |names: &str| {
        let line = format!("nstat -asz | awk '$1 ~ /^Ip6?{names}$/ {{ sum += $2 }} END {{ print sum }}'");
        node.namespace.must(&line).trim().parse().unwrap()
    };
    (sum("FragOKs"), sum("ReasmOKs"))
}

#[test]
fn the_first_packet_that_is_too_long_is_answered_with_what_fits() {
    for (outside, around) in OUTSIDE {
        let (a, b) = over(1400, outside);
        let fits = 1400 - around;
        assert_eq!(a.status_of(b.key).mtu, fits);
        says(&a, &format!("ping -M do -s {} -c 1 -W 2 100.64.0.2", fits - 27), &format!("mtu = {fits}"));
        a.namespace.must(&format!("ping -M do -s {} -c 2 -i 0.1 -W 2 100.64.0.2", fits - 28));
        says(&a, &format!("ping -M do -s {} -c 1 -W 2 fd00:64::2", fits - 47), &format!("mtu={fits}"));
        a.namespace.must(&format!("ping -M do -s {} -c 2 -i 0.1 -W 2 fd00:64::2", fits - 48));
        assert_eq!((a.drops("too-big"), a.drops("datagram-too-big")), (2, 0));
        assert_eq!((a.adjusted("outer-fragmented"), kernel_counts(&a)), (0, (0, 0)));
    }
}

#[test]
fn a_packet_whose_sender_allows_it_is_cut_and_sealed_in_pieces() {
    let (a, _b) = over(1280, OUTSIDE[0].0);
    // The kernel cuts what is longer than the device's MTU.
    a.namespace.must("ping -M dont -s 1300 -c 2 -i 0.1 -W 2 100.64.0.2");
    assert_eq!((a.adjusted("inner-fragmented"), a.drops("too-big")), (2, 0));
    assert_eq!(kernel_counts(&a).0, 0, "no fragment was cut again outside");
}

#[test]
fn ipv6_of_1280_bytes_passes_whatever_the_link_and_nothing_else_is_cut_outside() {
    for (outside, around) in OUTSIDE {
        let (a, b) = over(1280, outside);
        let fits = 1280 - around;
        // The first ones wait for the session.
        a.namespace.must("ping -s 1232 -c 3 -i 0.1 -W 2 fd00:64::2");
        assert_eq!((a.adjusted("outer-fragmented"), b.adjusted("outer-fragmented")), (3, 3));
        assert_eq!((kernel_counts(&a), kernel_counts(&b)), ((3, 3), (3, 3)), "on the wire");
        says(&a, "ping -M do -s 1300 -c 1 -W 2 fd00:64::2", "mtu=1280");
        a.namespace.must(&format!("ping -s {} -c 2 -i 0.1 -W 2 fd00:64::2", fits - 48));
        assert_eq!(a.adjusted("outer-fragmented"), 3);
        // A probe of the path, say.
        let refused = a.dataplane.send_datagram(None, endpoint(outside[1]), &[0; 1300]).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EMSGSIZE));
    }
}

#[test]
fn tcp_gets_segments_that_fit_without_having_to_lose_one() {
    let (a, b) = over(1400, OUTSIDE[0].0);
    let data: Vec<u8> =
        (0u32..2_000_000).flat_map(|word| word.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    for (address, headers) in [("100.64.0.2:7000", 40), ("[fd00:64::2]:7000", 60)] {
        let clamped = (a.adjusted("mss-clamped"), b.adjusted("mss-clamped"));
        let listener = b.namespace.run(|| TcpListener::bind(address).unwrap());
        let mut sender = a.namespace.run(|| TcpStream::connect(address).unwrap());
        let (mut receiver, _) = listener.accept().unwrap();
        for end in [&sender, &receiver] {
            assert!(
                getsockopt(end, sockopt::TcpMaxSeg).unwrap() <= 1340 - headers,
                "with options it is less"
            );
        }
        let received = thread::scope(|scope| {
            scope.spawn(|| {
                sender.write_all(&data).unwrap();
                drop(sender);
            });
            let mut received = Vec::new();
            receiver.read_to_end(&mut received).unwrap();
            received
        });
        assert!(received == data, "{} bytes of {} over {address}", received.len(), data.len());
        // The SYN where it leaves, and the answer where that does; what arrives is small enough by then.
        assert_eq!((a.adjusted("mss-clamped"), b.adjusted("mss-clamped")), (clamped.0 + 1, clamped.1 + 1));
    }
    assert_eq!((a.drops("too-big"), b.drops("too-big")), (0, 0));
}

#[test]
fn what_arrives_is_clamped_too_for_the_peer_may_know_less_of_the_way() {
    let (a, b) = over(1400, OUTSIDE[0].0);
    // At this end alone: the far end sees a link as wide as any.
    b.namespace.must("ip link set veth0 mtu 1500");
    until("the wider link", || {
        a.pings("100.64.0.2");
        b.status_of(a.key).mtu == 1420
    });
    let listener = a.namespace.run(|| TcpListener::bind("100.64.0.1:7000").unwrap());
    let far = b.namespace.run(|| TcpStream::connect("100.64.0.1:7000").unwrap());
    let (near, _) = listener.accept().unwrap();
    for end in [&far, &near] {
        assert!(getsockopt(end, sockopt::TcpMaxSeg).unwrap() <= 1300);
    }
    assert_eq!((a.adjusted("mss-clamped"), b.adjusted("mss-clamped")), (2, 0));
}

#[test]
fn a_link_that_gets_narrower_under_traffic_is_seen_within_two_seconds_and_so_is_a_wider_one() {
    let (a, b) = meshed();
    for (mtu, fits) in [(1300, 1240), (1500, 1420)] {
        for node in [&a, &b] {
            node.namespace.must(&format!("ip link set veth0 mtu {mtu}"));
        }
        let changed = std::time::Instant::now();
        until("the new MTU", || {
            a.pings("100.64.0.2");
            a.status_of(b.key).mtu == fits
        });
        assert!(changed.elapsed() < std::time::Duration::from_secs(2), "{:?}", changed.elapsed());
        a.namespace.must(&format!("ping -M do -s {} -c 1 -W 2 100.64.0.2", fits - 28));
    }
}
