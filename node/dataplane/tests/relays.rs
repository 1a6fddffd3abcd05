//! Two data planes that reach each other by a relay alone, in namespaces joined by a veth pair. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed step of a test is a panic; support is a module"
)]
#![expect(dead_code, reason = "support serves other tests too")]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use support::{Node, endpoint, pair, until};
use twinmesh_dataplane::{EndpointPolicy, Event, PeerConfig, PeerPath, RelayCarrier, RelayStream};

/// Of node 1 and node 2 at the relay; nothing leads there.
const RELAYED: [&str; 2] = ["203.0.113.9:50001", "203.0.113.9:50002"];
const CLIENTS: [&str; 2] = ["192.0.2.1:4500", "192.0.2.2:4500"];
const SERVER: &str = "192.0.2.2:3478";
/// By which each node knows the other at the relay.
const CHANNEL: u16 = 0x4001;
const STUN: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A relay in node 2's namespace that takes channel data and Send indications and hands out channel data; the first
/// bytes of what it took.
struct Relay {
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    fn start(host: &Node) -> Self {
        let socket = host.namespace.run(|| UdpSocket::bind(SERVER).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let weak = Arc::downgrade(&seen);
        thread::spawn(move || {
            let mut buffer = [0; 2000];
            while let Some(seen) = weak.upgrade() {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                seen.lock().unwrap().push(buffer[0]);
                let other = usize::from(from == endpoint(CLIENTS[0]));
                let content = match buffer[0] {
                    0x40 => &buffer[4..length],
                    0 => indicated(&buffer[..length], RELAYED[other]),
                    byte => panic!("{byte:02x}"),
                };
                let framed = channel(CHANNEL, content);
                socket.send_to(&framed, CLIENTS[other]).unwrap();
            }
        });
        Self { seen }
    }
}

/// The content of a Send indication to an IPv4 peer, its attributes where RFC 8656 §11.1 has them.
fn indicated<'a>(message: &'a [u8], peer: &str) -> &'a [u8] {
    let SocketAddr::V4(peer) = endpoint(peer) else { unreachable!() };
    let word = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    assert_eq!((word(0), usize::from(word(2)), &message[4..8]), (0x16, message.len() - 20, &STUN[4..8]));
    assert_eq!((word(20), word(22), word(24), word(26)), (0x12, 8, 1, peer.port() ^ 0x2112));
    assert!(message[28..32].iter().zip(peer.ip().octets()).zip(&STUN[4..8]).all(|((x, y), z)| x ^ y == *z));
    assert_eq!(word(32), 0x13);
    &message[36..36 + usize::from(word(34))]
}

fn channel(number: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&number.to_be_bytes(), &length.to_be_bytes(), content].concat()
}

/// Nodes that know each other by their relayed addresses.
fn relayed() -> (Node, Node) {
    let (a, b) = pair();
    for (node, peer, remote) in [(&a, &b, RELAYED[1]), (&b, &a, RELAYED[0])] {
        let peer = PeerConfig { endpoint: EndpointPolicy::Managed, ..peer.as_peer(&[remote]) };
        let path = PeerPath { remote: endpoint(remote), mtu: 1400, relayed: true };
        node.dataplane.set_peer(peer.clone()).unwrap();
        assert!(node.dataplane.set_path(&peer.public_key, path));
    }
    (a, b)
}

fn carry(node: &Node, peer: &str, carrier: RelayCarrier) {
    node.dataplane.set_relayed(endpoint(peer), carrier);
}

#[test]
fn channels_and_indications_carry_both_ways_and_all_above_sees_the_relayed_address() {
    let (a, b) = relayed();
    let relay = Relay::start(&b);
    let server = endpoint(SERVER);
    // What comes out of the relay is channel data, so both know the channel; one of them does not send by it.
    for (node, peer) in [(&a, RELAYED[1]), (&b, RELAYED[0])] {
        carry(node, peer, RelayCarrier::Channel { server, number: CHANNEL });
    }
    carry(&b, RELAYED[0], RelayCarrier::Indication { server });
    a.namespace.must("ping -c 3 -i 0.1 -W 2 100.64.0.2");
    b.namespace.must("ping -c 3 -i 0.1 -s 1300 -W 2 fd00:64::1");
    let status = a.status_of(b.key);
    assert_eq!((status.endpoint, status.mtu), (Some(endpoint(RELAYED[1])), 1389), "of Ethernet's 1500");
    assert!(!a.events.lock().unwrap().iter().any(|event| matches!(event, Event::Heard { .. })));
    let seen = relay.seen.lock().unwrap().clone();
    assert!(seen.contains(&0x40) && seen.contains(&0), "{seen:02x?}");

    a.events.lock().unwrap().clear();
    b.events.lock().unwrap().clear();
    let ike = [0, 0, 0, 0, 1];
    a.dataplane.send_datagram(None, endpoint(RELAYED[1]), &STUN).unwrap();
    let here = Some("192.0.2.2".parse().unwrap());
    b.dataplane.send_datagram(here, endpoint(RELAYED[0]), &ike).unwrap();
    let at_a = Event::Ike { from: endpoint(RELAYED[1]), to: None, datagram: ike.to_vec() };
    until("the IKE message", || *a.events.lock().unwrap() == [at_a.clone()]);
    let at_b = Event::Stun { from: endpoint(RELAYED[0]), datagram: STUN.to_vec() };
    until("the STUN message", || *b.events.lock().unwrap() == [at_b.clone()]);

    assert!(a.dataplane.remove_relayed(endpoint(RELAYED[1])));
    assert!(!a.dataplane.remove_relayed(endpoint(RELAYED[1])));
    assert!(!a.pings("100.64.0.2"));
    assert!(a.drops("send-failed") > 0, "nothing leads there but the relay");
}

#[test]
fn channel_data_of_strangers_and_nested_or_cut_is_dropped_and_counted() {
    let (a, b) = pair();
    let number = CHANNEL;
    carry(&b, RELAYED[0], RelayCarrier::Channel { server: endpoint(CLIENTS[0]), number });
    let send = |datagram: &[u8]| a.dataplane.send_datagram(None, endpoint(CLIENTS[1]), datagram).unwrap();
    send(&channel(number + 1, &STUN));
    send(&channel(number, &channel(number, &STUN)));
    send(&channel(number, &STUN)[..23]);
    send(&channel(number, &STUN)[..3]);
    b.namespace.run(|| {
        UdpSocket::bind("192.0.2.2:9").unwrap().send_to(&channel(number, &STUN), CLIENTS[1]).unwrap()
    });
    until("the last of them", || b.drops("unknown-channel") == 2);
    until("all of them", || b.drops("malformed-channel") == 3);
    assert_eq!(*b.events.lock().unwrap(), []);
    send(&channel(number, &STUN));
    let stun = Event::Stun { from: endpoint(RELAYED[0]), datagram: STUN.to_vec() };
    until("what came by the channel", || *b.events.lock().unwrap() == [stun.clone()]);
}

#[test]
fn a_relayed_way_carries_1280_bytes_inside_and_over_a_narrow_link_in_fragments() {
    let (a, b) = relayed();
    let _relay = Relay::start(&b);
    let server = endpoint(SERVER);
    for (node, peer, remote) in [(&a, b.key, RELAYED[1]), (&b, a.key, RELAYED[0])] {
        carry(node, remote, RelayCarrier::Channel { server, number: CHANNEL });
        node.dataplane.set_path(&peer, PeerPath { remote: endpoint(remote), mtu: 1280, relayed: true });
        assert_eq!(node.status_of(peer).mtu, 1280);
    }
    a.namespace.must("ping -M do -s 1252 -c 1 -W 2 100.64.0.2");
    let output = a.namespace.sh("ping -M do -s 1253 -c 1 -W 2 100.64.0.2");
    assert!(String::from_utf8_lossy(&output.stdout).contains("mtu = 1280"), "{output:?}");
    assert_eq!((a.adjusted("outer-fragmented"), b.adjusted("outer-fragmented")), (0, 0));

    for node in [&a, &b] {
        node.namespace.must("ip link set veth0 mtu 1280");
    }
    until("the narrower way", || {
        a.pings("100.64.0.2");
        a.status_of(b.key).mtu == 1280 - 20 - 8 - 51 - 32
    });
    a.namespace.must("ping -s 1232 -c 1 -W 2 fd00:64::2");
    assert_eq!(a.adjusted("outer-fragmented"), 1);
}

struct Pipe(SyncSender<Vec<u8>>);

impl RelayStream for Pipe {
    fn send(&self, to: SocketAddr, datagram: &[u8]) -> bool {
        assert!(RELAYED.map(endpoint).contains(&to));
        self.0.try_send(datagram.to_vec()).is_ok()
    }
}

#[test]
fn streams_of_the_agents_carry_as_well_and_one_that_is_full_loses_by_number() {
    let (a, b) = relayed();
    let (from_a, of_a) = mpsc::sync_channel(64);
    let (from_b, of_b) = mpsc::sync_channel(64);
    carry(&a, RELAYED[1], RelayCarrier::Stream(Arc::new(Pipe(from_a))));
    carry(&b, RELAYED[0], RelayCarrier::Stream(Arc::new(Pipe(from_b))));
    let pass = |pipe: &Receiver<Vec<u8>>, to: &Node, from: &str| {
        for datagram in pipe.try_iter() {
            to.dataplane.take_relayed(endpoint(from), &datagram);
        }
    };
    thread::scope(|scope| {
        let ping = scope.spawn(|| a.sh_ok("ping -c 5 -i 0.1 -W 2 100.64.0.2"));
        while !ping.is_finished() {
            pass(&of_a, &b, RELAYED[0]);
            pass(&of_b, &a, RELAYED[1]);
            thread::sleep(Duration::from_millis(1));
        }
        assert!(ping.join().unwrap());
    });
    assert_eq!(b.status_of(a.key).endpoint, Some(endpoint(RELAYED[0])));
    a.sh_ok("ping -c 100 -i 0.002 -W 1 100.64.0.2");
    assert!((36..60).contains(&a.drops("relay-busy")), "{}", a.drops("relay-busy"));
}
