//! What becomes of traffic for an ESP tunnel that does not stand, in namespaces joined by a veth pair. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed step of a test is a panic; support is a module"
)]
#![expect(dead_code, reason = "support serves other tests too")]

mod support;

use std::thread;

use support::{Node, TUN, endpoint, pair, until};
use twinmesh_dataplane::esp::{
    KeyMaterial, Lifetime, Mode, OuterPolicy, Ports, SaParameters, Selectors, Spi,
};
use twinmesh_dataplane::{Encapsulation, EspConfig, EspPath, Event, GuardAction, GuardConfig};

const GUARD: &str = "site/lan";

/// Node 1 has 10.1.0.1 inside and node 2 10.2.0.1, each with a route to the other.
fn sites() -> (Node, Node) {
    let (a, b) = pair();
    for (node, own, other) in [(&a, 1, 2), (&b, 2, 1)] {
        node.namespace.must(&format!(
            "ip addr add 10.{own}.0.1/32 dev lo && ip route add 10.{other}.0.0/16 dev {TUN} src 10.{own}.0.1"
        ));
    }
    (a, b)
}

fn selectors(own: u8, other: u8) -> Selectors {
    let prefix = |number: u8| [format!("10.{number}.0.0/16").parse().unwrap()];
    Selectors::from_prefixes(prefix(own), prefix(other))
}

fn guard(action: GuardAction) -> GuardConfig {
    GuardConfig { name: GUARD.to_owned(), selectors: selectors(1, 2), action }
}

fn tunnel(own: u8, other: u8, guard: Option<&str>) -> EspConfig {
    let parameters = |spi: u32| SaParameters {
        spi: Spi::new(0xc000_0000 + spi).unwrap(),
        suite: "aes128gcm16".parse().unwrap(),
        mode: Mode::Tunnel,
        esn: false,
        selectors: selectors(own, other),
        lifetime: Lifetime::default(),
        replay_window: 64,
        tfc_multiple: 0,
        tfc_limit: 0,
        align_8: false,
    };
    let key = |owner: u8| KeyMaterial::new(vec![owner; 20]);
    EspConfig {
        name: format!("{GUARD}#1"),
        inbound: parameters(own.into()),
        inbound_key: key(own),
        outbound: parameters(other.into()),
        outbound_key: key(other),
        path: EspPath {
            local: None,
            remote: endpoint(&format!("192.0.2.{other}:4500")),
            encapsulation: Encapsulation::Udp,
        },
        follow_remote: false,
        original: None,
        follows: None,
        guard: guard.map(str::to_owned),
        peer: None,
        outer: OuterPolicy::default(),
        path_mtu: 1500,
        partial_checksums: false,
    }
}

#[test]
fn traffic_without_its_tunnel_is_refused_and_counted_and_seen_on_no_wire() {
    let (a, _b) = sites();
    a.dataplane.set_guard(guard(GuardAction::Refuse));
    let sent = || a.namespace.must("cat /sys/class/net/veth0/statistics/tx_packets");
    // Without it nothing is sent but what somebody wants to be sent.
    a.namespace.must("sysctl -q net.ipv6.conf.veth0.disable_ipv6=1");
    let before = sent();
    let output = a.namespace.sh("ping -c 3 -i 0.1 -W 5 10.2.0.1");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.matches("Packet filtered").count() == 3, "{said}");
    assert_eq!(sent(), before);
    assert_eq!((a.drops("no-sa"), a.dataplane.guard_status()[0].dropped), (3, 3));

    assert!(a.dataplane.remove_guard(GUARD));
    assert!(!a.dataplane.remove_guard(GUARD));
    a.namespace.sh("ping -c 1 -W 1 10.2.0.1");
    assert!(a.drops("no-route") > 0, "without a guard it goes by its route");
}

#[test]
fn the_first_packet_calls_for_a_tunnel_and_goes_out_once_it_stands() {
    let (a, b) = sites();
    b.dataplane.add_esp(tunnel(2, 1, None)).unwrap();
    a.dataplane.set_guard(guard(GuardAction::Call));
    let output = thread::scope(|scope| {
        let ping = scope.spawn(|| a.namespace.sh("ping -c 1 -W 15 10.2.0.1"));
        until("the call", || !a.events.lock().unwrap().is_empty());
        assert_eq!(a.dataplane.guard_status()[0].kept, 1);
        a.dataplane.add_esp(tunnel(1, 2, Some(GUARD))).unwrap();
        ping.join().unwrap()
    });
    assert!(output.status.success(), "{output:?}");
    let calls: Vec<Event> = a.events.lock().unwrap().drain(..).collect();
    let [Event::Wanted { guard: name, flow }] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(name, GUARD);
    assert_eq!(
        (flow.source.to_string(), flow.destination.to_string()),
        ("10.1.0.1".into(), "10.2.0.1".into())
    );
    assert_eq!((flow.protocol, flow.ports), (1, Ports::Icmp { kind: 8, code: 0 }));
    assert_eq!(a.drops("no-sa"), 0);

    // The tunnel's policies stand before its guard, and the guard stays when it goes.
    assert!(a.pings("10.2.0.1"));
    a.dataplane.remove_esp(&format!("{GUARD}#1"));
    a.dataplane.set_guard(guard(GuardAction::Refuse));
    assert!(!a.pings("10.2.0.1"));
    assert_eq!(a.drops("no-sa"), 1);
}

#[test]
fn of_two_sites_that_overlap_the_first_one_set_has_the_traffic_whoever_is_up() {
    let (a, b) = sites();
    b.dataplane.add_esp(tunnel(2, 1, None)).unwrap();
    let first = GuardConfig { name: "first/lan".to_owned(), ..guard(GuardAction::Refuse) };
    a.dataplane.set_guard(first);
    a.dataplane.set_guard(guard(GuardAction::Refuse));
    a.dataplane.add_esp(tunnel(1, 2, Some(GUARD))).unwrap();
    assert!(!a.pings("10.2.0.1"), "its own site is down");
    let counted: Vec<u64> = a.dataplane.guard_status().iter().map(|guard| guard.dropped).collect();
    assert_eq!(counted, [1, 0]);
    a.dataplane.remove_guard("first/lan");
    assert!(a.pings("10.2.0.1"));
}
