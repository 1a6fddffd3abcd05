use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use crate::selector::{IpRange, PortRange, Ports, TrafficSelector};

use super::index::Key;
use super::*;

fn policy(local: &str, remote: &str, action: Action<u32>) -> Policy<u32> {
    let side = |text: &str| text.split(' ').map(|selector| selector.parse().unwrap()).collect();
    Policy { selectors: Selectors { local: side(local), remote: side(remote) }, action }
}

fn tcp(source: &str, destination: &str, port: u16) -> Flow {
    Flow {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: 6,
        ports: Ports::Pair { source: 50_000, destination: port },
    }
}

#[test]
fn the_first_policy_that_matches_decides() {
    let spd = Spd::new(vec![
        policy("0.0.0.0/0", "192.0.2.66", Action::Discard),
        policy("10.0.0.0/8", "192.0.2.0/24[tcp/22]", Action::Bypass),
        policy("10.0.0.0/8 ::/0", "192.0.2.0/24 2001:db8::/32", Action::Protect(1)),
        policy("0.0.0.0/0", "0.0.0.0/0", Action::Protect(2)),
    ]);
    for (flow, action) in [
        (tcp("10.1.1.1", "192.0.2.66", 22), Some(&Action::Discard)),
        (tcp("10.1.1.1", "192.0.2.1", 22), Some(&Action::Bypass)),
        (tcp("10.1.1.1", "192.0.2.1", 23), Some(&Action::Protect(1))),
        (tcp("11.1.1.1", "192.0.2.1", 23), Some(&Action::Protect(2))),
        (tcp("fd00::1", "2001:db8::1", 23), Some(&Action::Protect(1))),
        (tcp("fd00::1", "2001:db9::1", 23), None),
    ] {
        assert_eq!(spd.lookup(&flow), action, "{flow:?}");
        assert_eq!(spd.lookup_inbound(&flow.reversed()), action, "{flow:?}");
    }
}

#[test]
fn no_policies_decide_nothing() {
    assert_eq!(Spd::<u32>::default().lookup(&tcp("10.0.0.1", "10.0.0.2", 1)), None);
}

/// How many policies a look-up compares with the packet.
fn examined(spd: &Spd<u32>, flow: &Flow) -> usize {
    let count = Cell::new(0);
    let found = spd.find(&Key::outbound(flow), |selectors| {
        count.set(count.get() + 1);
        selectors.allows_outbound(flow)
    });
    assert_eq!(found.map(|(at, _)| at), spd.position(flow).map(|(at, _)| at));
    count.get()
}

fn subnet(index: u32) -> IpRange {
    let first = 0x0a00_0000 + (index << 8);
    IpRange::new(Ipv4Addr::from(first).into(), Ipv4Addr::from(first | 255).into()).unwrap()
}

/// Four ways in which a gateway's list grows long, each with a packet for its last policy.
fn long_lists(size: u32) -> [(&'static str, Spd<u32>, Flow); 4] {
    let last = size - 1;
    let any = TrafficSelector::new(IpRange::ANY_V4);
    let list = |selectors: &dyn Fn(u32) -> (TrafficSelector, TrafficSelector)| {
        (0..size)
            .map(|index| {
                let (local, remote) = selectors(index);
                let selectors = Selectors { local: vec![local], remote: vec![remote] };
                Policy { selectors, action: Action::Protect(index) }
            })
            .collect::<Spd<_>>()
    };
    let host = |index| match subnet(index).first() {
        IpAddr::V4(v4) => IpAddr::from(Ipv4Addr::from(u32::from(v4) + 9)),
        v6 @ IpAddr::V6(_) => v6,
    };
    let elsewhere = IpAddr::from([192, 0, 2, 1]);
    let ports = |port| Ports::Pair { source: 50_000, destination: port };
    let flow = |source, destination, ports| Flow { source, destination, protocol: 6, ports };
    let port = |index: u32| u16::try_from(index).unwrap();
    [
        (
            "a subnet behind each peer",
            list(&|index| (any, TrafficSelector::new(subnet(index)))),
            flow(elsewhere, host(last), ports(443)),
        ),
        (
            "pairs of subnets",
            list(&|index| {
                (TrafficSelector::new(subnet(index / 100)), TrafficSelector::new(subnet(index % 100)))
            }),
            flow(host(last / 100), host(last % 100), ports(443)),
        ),
        (
            "a policy for each port of one host",
            list(&|index| {
                (any, TrafficSelector { protocol: Some(6), ports: PortRange::single(port(index)), ..any })
            }),
            flow(elsewhere, elsewhere, ports(port(last))),
        ),
        (
            "ranges that are no prefixes",
            list(&|index| {
                let first = Ipv4Addr::from(0x0a00_0003 + (index << 8)).into();
                let range = IpRange::new(first, Ipv4Addr::from(0x0a00_00fe + (index << 8)).into()).unwrap();
                (any, TrafficSelector::new(range))
            }),
            flow(elsewhere, host(last), ports(443)),
        ),
    ]
}

#[test]
fn a_look_up_compares_as_few_of_ten_thousand_policies_as_of_a_hundred() {
    for size in [100, 10_000] {
        for (what, spd, flow) in long_lists(size) {
            let position = spd.position(&flow).map(|(at, _)| at);
            assert_eq!(position, Some(usize::try_from(size).unwrap() - 1), "{what}, {size}");
            assert!(examined(&spd, &flow) <= 4, "{what}, {size}: {}", examined(&spd, &flow));
        }
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        3 => (0u32..16, 0u32..2).prop_map(|(low, high)| Ipv4Addr::from(high << 31 | low).into()),
        1 => (0u128..16, 0u128..2).prop_map(|(low, high)| Ipv6Addr::from(high << 127 | low).into()),
    ]
}

fn traffic_selector() -> impl Strategy<Value = TrafficSelector> {
    let addresses = prop_oneof![
        1 => Just(IpRange::ANY_V4),
        1 => Just(IpRange::ANY_V6),
        4 => (address(), address()).prop_map(|(a, b)| {
            IpRange::new(a.min(b), a.max(b)).unwrap_or(IpRange::single(a))
        }),
    ];
    let port = prop_oneof![4 => 0u16..6, 1 => Just(u16::MAX), 1 => 0x0800u16..0x0803];
    let ports = prop_oneof![
        2 => Just(PortRange::ANY),
        1 => Just(PortRange::OPAQUE),
        3 => (port.clone(), port).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap()),
    ];
    let protocol = prop_oneof![Just(None), Just(Some(6)), Just(Some(1)), Just(Some(47))];
    (addresses, protocol, ports).prop_map(|(addresses, protocol, ports)| TrafficSelector {
        addresses,
        protocol,
        ports,
    })
}

fn flow() -> impl Strategy<Value = Flow> {
    let ports = prop_oneof![
        (0u16..6, 0u16..6).prop_map(|(source, destination)| (6, Ports::Pair { source, destination })),
        (7u8..9, 0u8..4).prop_map(|(kind, code)| (1, Ports::Icmp { kind, code })),
        Just((6, Ports::Opaque)),
        Just((47, Ports::Opaque)),
    ];
    (address(), address(), ports).prop_map(|(source, other, (protocol, ports))| {
        let destination = if source.is_ipv4() == other.is_ipv4() { other } else { source };
        Flow { source, destination, protocol, ports }
    })
}

proptest! {
    #[test]
    fn the_index_finds_what_a_search_of_the_whole_list_finds(
        sides in prop::collection::vec(
            (prop::collection::vec(traffic_selector(), 0..3), prop::collection::vec(traffic_selector(), 0..3)),
            0..40,
        ),
        flows in prop::collection::vec(flow(), 1..20),
    ) {
        let policies: Vec<_> = sides
            .into_iter()
            .map(|(local, remote)| Policy { selectors: Selectors { local, remote }, action: Action::<()>::Bypass })
            .collect();
        let spd = Spd::new(policies.clone());
        for flow in flows {
            let linear = policies.iter().position(|policy| policy.selectors.allows_outbound(&flow));
            prop_assert_eq!(spd.position(&flow).map(|(at, _)| at), linear);
            let linear = policies.iter().position(|policy| policy.selectors.allows_inbound(&flow));
            prop_assert_eq!(spd.position_inbound(&flow).map(|(at, _)| at), linear);
        }
    }
}
