//! What programs send arrives the same whatever the kernel does for the data planes. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a failed step of a test is a panic; support is a module of which each test uses its part"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use support::transfer::{data, through, transfers_arrive};
use support::twins::twins_with;
use support::{Node, meshed_with};
use twinmesh_dataplane::{Engine, Offload};

/// Datagrams that the sender's kernel cuts out of one message, the last one shorter.
fn datagrams_arrive(from: &Node, to: &Node, address: [&str; 2], what: &str) {
    let receiver = to.namespace.run(|| UdpSocket::bind(address[1]).unwrap());
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let sender = from.namespace.run(|| UdpSocket::bind(address[0]).unwrap());
    sender.connect(address[1]).unwrap();
    setsockopt(&sender, sockopt::UdpGsoSegment, &1000).unwrap();
    let message: Vec<u8> = (0..20_300u32).map(|at| at.to_be_bytes()[3] ^ at.to_be_bytes()[2]).collect();
    sender.send(&message).unwrap();
    let mut buffer = [0; 2000];
    for expected in message.chunks(1000) {
        let length = receiver.recv(&mut buffer).unwrap();
        assert!(buffer[..length] == *expected, "{what}: {length} bytes to {}", address[1]);
    }
}

#[test]
fn each_offload_can_be_off_at_either_end() {
    let settings = [
        ("all", Offload::ALL),
        ("no UDP", Offload { udp: false, ..Offload::ALL }),
        ("no TUN", Offload { tcp: false, udp: false, port: true }),
        ("no port", Offload { port: false, ..Offload::ALL }),
        ("none", Offload::NONE),
    ];
    let kernel = meshed_with([Offload::ALL; 2]).0.dataplane.status().offload;
    for (what, offload) in settings {
        let has = Offload {
            tcp: offload.tcp && kernel.tcp,
            udp: offload.udp && kernel.udp,
            port: offload.port && kernel.port,
        };
        for engine in [Engine::WireGuard, Engine::Esp] {
            let what = format!("{what}, {engine:?}");
            let (a, b) = twins_with([offload, Offload::ALL]);
            for (here, there) in [(&a, &b), (&b, &a)] {
                assert!(here.dataplane.set_engine(&there.key, engine));
            }
            assert_eq!(a.dataplane.status().offload, has, "{what}");
            transfers_arrive(&a, &b, &what);
            datagrams_arrive(&a, &b, ["100.64.0.1:7001", "100.64.0.2:7001"], &what);
            datagrams_arrive(&b, &a, ["[fd00:64::2]:7001", "[fd00:64::1]:7001"], &what);
        }
    }
}

#[test]
fn many_packets_go_in_one_call() {
    let (a, b) = meshed_with([Offload::ALL; 2]);
    let data = data();
    let before = [a.calls("tun-read"), a.calls("send"), b.calls("tun-write")];
    assert!(through(&a, &b, "100.64.0.2:7000", &data) == data);
    let packets = a.dataplane.status().totals.tx_packets;
    assert!(packets > 5000, "{packets}");
    let after = [a.calls("tun-read"), a.calls("send"), b.calls("tun-write")];
    for ((call, before), after) in ["tun-read", "send", "tun-write"].iter().zip(before).zip(after) {
        assert!((after - before) * 4 < packets, "{call}: {} calls for {packets} packets", after - before);
    }
}

#[test]
fn a_host_that_is_forwarded_to_sees_right_checksums() {
    let (a, b) = meshed_with([Offload::ALL; 2]);
    // Behind b, a host of its own, which verifies what it gets as any other does.
    let inner = support::Namespace::new("c");
    inner.join(&b.namespace, "198.51.100.1/24", "198.51.100.2/24");
    let mut peer = b.as_peer(&["192.0.2.2:4500"]);
    peer.allowed_ips.push("198.51.100.0/24".parse().unwrap());
    a.dataplane.set_peer(peer).unwrap();
    a.namespace.must("ip route add 198.51.100.0/24 dev mesh0");
    b.namespace.must("sysctl -qw net.ipv4.ip_forward=1");
    inner.must("ip route add default via 198.51.100.1");
    // Without this the link hands partial checksums over as they are, which no wire does.
    b.namespace.must("ethtool -K veth1 tx off");
    inner.must("ethtool -K veth1 tx off");
    let data = data();
    let listener = inner.run(|| TcpListener::bind("198.51.100.2:7000").unwrap());
    let mut sender = a.namespace.run(|| TcpStream::connect("198.51.100.2:7000").unwrap());
    let received = thread::scope(|scope| {
        let (mut connection, _) = listener.accept().unwrap();
        scope.spawn(|| {
            sender.write_all(&data).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        connection.read_to_end(&mut received).unwrap();
        received
    });
    assert!(received == data, "{} bytes", received.len());
    let errors = inner.must("nstat -asz TcpInCsumErrors | awk '/TcpInCsumErrors/ { print $2 }'");
    assert_eq!(errors.trim(), "0");
}
