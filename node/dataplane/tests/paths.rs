//! Where the datagrams of managed peers go, in namespaces joined by a veth pair. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed step of a test is a panic; support is a module"
)]
#![expect(dead_code, reason = "support serves other tests too")]

mod support;

use support::{Node, endpoint, pair, until};
use twinmesh_dataplane::{EndpointPolicy, Event, PeerConfig, PeerPath};

fn managed(peer: PeerConfig) -> PeerConfig {
    PeerConfig { endpoint: EndpointPolicy::Managed, ..peer }
}

fn direct(remote: &str) -> PeerPath {
    PeerPath { remote: endpoint(remote), mtu: 1500, relayed: false }
}

fn heard(node: &Node, event: &Event) -> bool {
    node.events.lock().unwrap().contains(event)
}

#[test]
fn the_first_packet_finds_a_managed_peer_and_calls_for_a_path() {
    let (a, b) = pair();
    a.dataplane.set_peer(managed(b.as_peer(&["192.0.2.77:4500", "192.0.2.2:4500"]))).unwrap();
    b.dataplane.set_peer(managed(a.as_peer(&[]))).unwrap();
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    assert!(heard(&a, &Event::Needed { peer: b.key }));
    assert!(heard(&b, &Event::Needed { peer: a.key }), "it answers without a path of its own");
    assert_eq!(a.status_of(b.key).endpoint, Some(endpoint("192.0.2.2:4500")));
    assert!(a.dataplane.set_path(&b.key, direct("192.0.2.2:4500")));
    assert!(b.dataplane.set_path(&a.key, direct("192.0.2.1:4500")));
    for node in [&a, &b] {
        node.events.lock().unwrap().clear();
    }
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    assert_eq!((a.events.lock().unwrap().len(), b.events.lock().unwrap().len()), (0, 0));
}

#[test]
fn a_managed_peer_is_sent_to_along_its_path_wherever_it_is_heard_from() {
    let (a, b) = pair();
    b.namespace.must("ip addr add 192.0.2.102/24 dev veth0");
    a.dataplane.set_peer(managed(b.as_peer(&["192.0.2.2:4500"]))).unwrap();
    b.dataplane.set_peer(managed(a.as_peer(&["192.0.2.1:4500"]))).unwrap();
    a.namespace.must("ping -c 1 -W 2 100.64.0.2");
    let path = direct("192.0.2.102:4500");
    assert!(a.dataplane.set_path(&b.key, path));
    assert!(b.dataplane.set_path(&a.key, direct("192.0.2.1:4500")));
    a.namespace.must("ping -c 3 -i 0.1 -W 2 100.64.0.2");
    let status = a.status_of(b.key);
    assert_eq!((status.endpoint, status.path), (Some(path.remote), Some(path)));
    // The answers leave from the address that leads here.
    until("the report", || heard(&a, &Event::Heard { peer: b.key, from: endpoint("192.0.2.2:4500") }));
    assert!(!heard(&a, &Event::EndpointChanged { peer: b.key, endpoint: endpoint("192.0.2.2:4500") }));

    a.namespace.must("ip route add blackhole 192.0.2.102");
    assert!(!a.pings("100.64.0.2"), "no other path is taken by itself");
    assert!(a.dataplane.clear_path(&b.key));
    b.namespace.must("ping -c 1 -W 2 100.64.0.1");
    assert_eq!(a.status_of(b.key).endpoint, Some(endpoint("192.0.2.2:4500")));
    assert!(!a.dataplane.clear_path(&a.key), "no such peer");
}
