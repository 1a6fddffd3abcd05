//! Two data planes that have both engines for each other. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a failed step of a test is a panic; support is a module of which each test uses its part"
)]

mod support;

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use support::twins::{agents, known, tunnel, twins};
use support::{Node, endpoint, pair, until};
use twinmesh_dataplane::{EndpointPolicy, Engine, EspError, Event, PeerConfig, PeerPath};

fn has(node: &Node, event: &Event) -> bool {
    node.events.lock().unwrap().contains(event)
}

/// Packets that left by a tunnel.
fn sealed_in_esp(node: &Node) -> u64 {
    node.dataplane.esp_status().iter().map(|status| status.outbound.counters.packets).sum()
}

/// Drops what comes in behind UDP with a first byte of that mask and value.
fn drop_inbound(node: &Node, mask: u8, value: u8) {
    node.namespace.must(&format!(
        "nft 'add table inet cut; add chain inet cut in {{ type filter hook input priority 0; }}; \
         add rule inet cut in udp dport 4500 @th,64,8 & {mask} == {value} drop'"
    ));
}

fn drop_nothing(node: &Node) {
    node.namespace.must("nft delete table inet cut");
}

const ESP: (u8, u8) = (0x80, 0x80);
const WIREGUARD: (u8, u8) = (0xff, 4);

#[test]
fn what_is_sent_goes_by_the_engine_that_was_set_and_either_is_received() {
    let (a, b) = twins();
    a.namespace.must("ping -c 2 -i 0.1 -W 2 100.64.0.2");
    assert_eq!((sealed_in_esp(&a), sealed_in_esp(&b)), (0, 0), "WireGuard is what a peer begins with");
    // One end alone: each direction has an engine of its own.
    assert!(a.dataplane.set_engine(&b.key, Engine::Esp));
    a.namespace.must("ping -c 2 -i 0.1 -W 2 fd00:64::2");
    assert_eq!((sealed_in_esp(&a), sealed_in_esp(&b)), (2, 0));
    assert!(b.dataplane.set_engine(&a.key, Engine::Esp));
    let before = b.status_of(a.key);
    a.namespace.must("ping -c 2 -i 0.1 -W 2 100.64.0.2");
    assert_eq!((sealed_in_esp(&a), sealed_in_esp(&b)), (4, 2));
    let after = b.status_of(a.key);
    assert_eq!((after.engine, after.rx_packets), (Engine::Esp, before.rx_packets));
    assert!(!a.dataplane.set_engine(&a.key, Engine::Esp), "a stranger");
}

#[test]
fn either_engine_keeps_to_what_the_path_of_the_peer_carries() {
    let (a, b) = agents();
    let managed = PeerConfig { endpoint: EndpointPolicy::Managed, ..known(1, &b) };
    a.dataplane.set_peer(managed).unwrap();
    let path = |mtu| PeerPath { remote: endpoint("192.0.2.2:4500"), mtu, relayed: false };
    let mtu = || a.status_of(b.key).mtu;
    assert!(a.dataplane.set_path(&b.key, path(1400)));
    assert_eq!(mtu(), 1340);
    a.dataplane.add_esp(tunnel(1, b.key, 1)).unwrap();
    b.dataplane.add_esp(tunnel(2, a.key, 1)).unwrap();
    a.dataplane.set_engine(&b.key, Engine::Esp);
    // 28 of IP and UDP; 8 of header, 8 of IV, 16 of ICV, 2 of trailer; words of 4.
    assert_eq!(mtu(), 1338);
    a.namespace.must("ping -M do -s 1310 -c 1 -W 2 100.64.0.2");
    let output = a.namespace.sh("ping -M do -s 1311 -c 1 -W 2 100.64.0.2");
    assert!(String::from_utf8_lossy(&output.stdout).contains("mtu = 1338"), "{output:?}");
    // Narrow, and wide again: what was found of one path says nothing of the next.
    assert!(a.dataplane.set_path(&b.key, path(1280)));
    assert_eq!(mtu(), 1218);
    a.namespace.must("ping -s 1232 -c 1 -W 2 fd00:64::2");
    assert_eq!(a.adjusted("outer-fragmented"), 1, "IPv6 of 1,280 bytes always passes");
    assert!(a.dataplane.set_path(&b.key, path(1500)));
    assert_eq!(mtu(), 1420, "that of the device");
    a.dataplane.set_engine(&b.key, Engine::WireGuard);
    assert_eq!(mtu(), 1420);
}

/// Of a stream of 10,000 a second.
const COUNT: u32 = 20_000;

#[test]
fn no_packet_is_lost_while_both_ends_change_engines_and_keys() {
    let (a, b) = twins();
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    let receiver = b.namespace.run(|| UdpSocket::bind("100.64.0.2:7000").unwrap());
    receiver.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let sender = a.namespace.run(|| UdpSocket::bind("100.64.0.1:0").unwrap());
    let received = thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            for number in 0..COUNT {
                while start.elapsed() < Duration::from_micros(100) * number {
                    // Not spinning: the workers of both ends share two cores with this.
                    thread::sleep(Duration::from_micros(50));
                }
                sender.send_to(&number.to_be_bytes(), "100.64.0.2:7000").unwrap();
            }
        });
        scope.spawn(|| {
            for round in 1..=9 {
                for engine in [Engine::Esp, Engine::WireGuard] {
                    for (node, peer) in [(&a, b.key), (&b, a.key)] {
                        node.dataplane.set_engine(&peer, engine);
                        thread::sleep(Duration::from_millis(40));
                    }
                }
                // The next keys beside the last, receiver first.
                b.dataplane.add_esp(tunnel(2, a.key, round + 1)).unwrap();
                a.dataplane.add_esp(tunnel(1, b.key, round + 1)).unwrap();
                a.dataplane.retire_esp(&format!("@peer#{round}"));
                b.dataplane.retire_esp(&format!("@peer#{round}"));
            }
        });
        let mut received = vec![false; COUNT as usize];
        let mut buffer = [0; 4];
        while receiver.recv(&mut buffer).is_ok() {
            received[u32::from_be_bytes(buffer) as usize] = true;
        }
        received
    });
    let lost: Vec<_> =
        received.iter().enumerate().filter(|(_, came)| !**came).map(|(number, _)| number).collect();
    assert_eq!(lost, [0; 0]);
    assert!(sealed_in_esp(&a) > 5000, "{}", sealed_in_esp(&a));
}

#[test]
fn a_peer_on_hold_gets_nothing_and_senders_are_told() {
    let (a, b) = twins();
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    a.dataplane.set_engine(&b.key, Engine::Hold);
    let told = a.namespace.sh("ping -c 1 -W 2 100.64.0.2");
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains("Packet filtered"), "{text}");
    assert_eq!(a.drops("no-sa"), 1);
}

#[test]
fn without_wireguard_nothing_is_sent_or_taken_by_it_and_esp_carries_all() {
    let (a, b) = twins();
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    b.dataplane.set_peer(PeerConfig { wireguard: false, ..known(2, &a) }).unwrap();
    assert_eq!(b.status_of(a.key).engine, Engine::Hold);
    assert!(!a.pings("100.64.0.2"));
    assert!(b.drops("peer-removed") > 0);
    for (node, peer) in [(&a, b.key), (&b, a.key)] {
        node.dataplane.set_engine(&peer, Engine::Esp);
    }
    assert!(a.pings("100.64.0.2"));
    assert!(!b.dataplane.probe(&a.key, Engine::WireGuard, 7));
    // And back, with a new session.
    b.dataplane.set_peer(known(2, &a)).unwrap();
    b.dataplane.set_engine(&a.key, Engine::WireGuard);
    until("WireGuard to be back", || b.pings("100.64.0.1"));
}

#[test]
fn the_first_packets_wait_for_the_tunnel_and_call_for_it() {
    let (a, b) = agents();
    a.dataplane.set_engine(&b.key, Engine::Esp);
    let ping = a.namespace.command("ping -c 3 -i 0.2 -W 5 100.64.0.2").spawn().unwrap();
    until("the call", || has(&a, &Event::Needed { peer: b.key }));
    b.dataplane.add_esp(tunnel(2, a.key, 1)).unwrap();
    a.dataplane.add_esp(tunnel(1, b.key, 1)).unwrap();
    assert!(ping.wait_with_output().unwrap().status.success());
    assert_eq!((sealed_in_esp(&a), a.drops("no-sa")), (3, 0));
}

#[test]
fn a_bound_tunnel_goes_with_its_peer_and_carries_no_foreign_source() {
    let (a, b) = twins();
    a.dataplane.set_engine(&b.key, Engine::Esp);
    assert!(a.pings("100.64.0.2"));
    // The peer that has the address now is another.
    let mut foreign = known(2, &a);
    foreign.allowed_ips.truncate(1);
    b.dataplane.set_peer(foreign).unwrap();
    assert!(!a.pings("fd00:64::2"));
    assert_eq!(b.drops("source-not-allowed"), 1);
    assert!(b.dataplane.remove_peer(&a.key));
    assert_eq!(b.dataplane.esp_status(), []);
    let error = b.dataplane.add_esp(tunnel(2, a.key, 2)).unwrap_err();
    assert_eq!(error, EspError::NoPeer(a.key));
}

#[test]
fn a_probe_is_answered_in_its_engine_and_seen_by_no_program() {
    let (a, b) = twins();
    let seen = |node: &Node| node.namespace.must("cat /sys/class/net/mesh0/statistics/rx_packets");
    let before = seen(&b);
    for (token, engine) in [(1, Engine::WireGuard), (3, Engine::Esp)] {
        assert!(a.dataplane.probe(&b.key, engine, token));
        until("the answer", || has(&a, &Event::Probed { peer: b.key, engine, token }));
    }
    until("both to be heard", || {
        [Engine::WireGuard, Engine::Esp]
            .iter()
            .all(|engine| has(&a, &Event::Answers { peer: b.key, engine: *engine }))
    });
    assert_eq!(seen(&b), before);
    assert_eq!(b.dataplane.status().totals.rx_packets, 0);
    // Who is no agent is not asked.
    a.dataplane.set_peer(PeerConfig { probe: None, ..known(1, &b) }).unwrap();
    assert!(!a.dataplane.probe(&b.key, Engine::Esp, 5));
}

#[test]
fn one_way_loss_in_either_engine_is_found_by_both_ends_within_three_seconds() {
    for (engine, (mask, value)) in [(Engine::Esp, ESP), (Engine::WireGuard, WIREGUARD)] {
        let (a, b) = twins();
        for (node, peer) in [(&a, b.key), (&b, a.key)] {
            node.dataplane.set_engine(&peer, engine);
        }
        a.namespace.must("ping -c 3 -i 0.1 -W 2 100.64.0.2");
        // What a sends is lost, what b sends is not.
        drop_inbound(&b, mask, value);
        let cut = Instant::now();
        thread::scope(|scope| {
            // Streams of datagrams both ways: a goes on hearing b.
            scope.spawn(|| a.namespace.sh("ping -c 50 -i 0.1 -W 1 100.64.0.2"));
            scope.spawn(|| b.namespace.sh("ping -c 50 -i 0.1 -W 1 100.64.0.1"));
            until("silence at b", || has(&b, &Event::Silent { peer: a.key, engine }));
            assert!(cut.elapsed() < Duration::from_secs(3), "{engine:?} {:?}", cut.elapsed());
            until("a to be told", || has(&a, &Event::Unheard { peer: b.key, engine }));
            assert!(cut.elapsed() < Duration::from_secs(3), "{engine:?} {:?}", cut.elapsed());
            assert!(!has(&a, &Event::Silent { peer: b.key, engine }), "it hears b");
            b.events.lock().unwrap().clear();
            drop_nothing(&b);
            until("b to hear again", || has(&b, &Event::Answers { peer: a.key, engine }));
        });
    }
}

#[test]
fn a_managed_peers_esp_goes_along_its_path_and_tells_of_other_places() {
    let (a, b) = pair();
    a.dataplane.set_peer(PeerConfig { endpoint: EndpointPolicy::Managed, ..known(1, &b) }).unwrap();
    b.dataplane.set_peer(PeerConfig { endpoint: EndpointPolicy::Managed, ..known(2, &a) }).unwrap();
    let path = |remote: &str| PeerPath { remote: endpoint(remote), mtu: 1500, relayed: false };
    b.dataplane.set_path(&a.key, path("192.0.2.1:4500"));
    a.dataplane.set_path(&b.key, path("192.0.2.2:4500"));
    for (node, own, peer) in [(&a, 1, b.key), (&b, 2, a.key)] {
        node.dataplane.add_esp(tunnel(own, peer, 1)).unwrap();
        node.dataplane.set_engine(&peer, Engine::Esp);
    }
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    a.namespace.must("ip addr del 192.0.2.1/24 dev veth0 && ip addr add 192.0.2.11/24 dev veth0");
    assert!(!a.pings("100.64.0.2"), "b answers where the path leads");
    b.namespace.must("ip neigh flush dev veth0");
    let heard = Event::Heard { peer: a.key, from: endpoint("192.0.2.11:4500") };
    until("b to tell", || has(&b, &heard));
    b.dataplane.set_path(&a.key, path("192.0.2.11:4500"));
    assert!(a.pings("100.64.0.2"));
    assert_eq!(b.dataplane.esp_status()[0].path.remote, endpoint("192.0.2.11:4500"));
}

#[test]
fn a_session_that_the_peer_lost_is_made_anew_within_three_seconds() {
    let (a, b) = agents();
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    // As after a restart: the same key, and no session.
    b.dataplane.remove_peer(&a.key);
    b.dataplane.set_peer(known(2, &a)).unwrap();
    let lost = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| a.namespace.sh("ping -c 20 -i 0.2 -W 1 100.64.0.2"));
        until("traffic to be back", || b.status_of(a.key).rx_packets > 0);
        assert!(lost.elapsed() < Duration::from_secs(3), "{:?}", lost.elapsed());
    });
}
