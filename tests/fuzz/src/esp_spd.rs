//! Policies and packets: the index of the SPD against a search of the whole list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use twinmesh_esp::{Action, Flow, IpRange, Policy, PortRange, Ports, Selectors, Spd, TrafficSelector};

use crate::script::Script;

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let policies: Vec<_> = (0..script.byte() % 64).map(|_| policy(&mut script)).collect();
    let spd = Spd::new(policies.clone());
    let mut steps = 0;
    while !script.is_over() && steps < 32 {
        steps += 1;
        let flow = if script.byte() & 1 == 0 {
            flow(&mut script)
        } else {
            let len = script.byte().into();
            let Ok(flow) = Flow::of_packet(script.bytes(len)) else { continue };
            flow
        };
        assert_eq!(flow.reversed().reversed(), flow);
        check(&policies, &spd, &flow);
    }
}

fn check(policies: &[Policy<u8>], spd: &Spd<u8>, flow: &Flow) {
    let linear = policies.iter().position(|policy| policy.selectors.allows_outbound(flow));
    assert_eq!(spd.position(flow).map(|(at, _)| at), linear);
    let linear = policies.iter().position(|policy| policy.selectors.allows_inbound(flow));
    assert_eq!(spd.position_inbound(flow).map(|(at, _)| at), linear);
}

fn policy(script: &mut Script<'_>) -> Policy<u8> {
    let counts = script.byte();
    let side = |count: u8, script: &mut Script<'_>| (0..count).map(|_| traffic_selector(script)).collect();
    Policy {
        selectors: Selectors { local: side(counts & 3, script), remote: side(counts >> 2 & 3, script) },
        action: Action::Protect(counts),
    }
}

fn traffic_selector(script: &mut Script<'_>) -> TrafficSelector {
    let shape = script.byte();
    let (one, other) = (address(script), address(script));
    let addresses = match shape & 7 {
        0 => IpRange::ANY_V4,
        1 => IpRange::ANY_V6,
        2 => IpRange::single(one),
        _ => IpRange::new(one.min(other), one.max(other)).unwrap_or(IpRange::single(one)),
    };
    let protocol = Some(script.of(&[0, 0, 6, 17, 1, 58, 47, 44])).filter(|protocol| *protocol != 0);
    let ports = match shape >> 3 & 3 {
        0 => PortRange::ANY,
        1 => PortRange::OPAQUE,
        _ => PortRange::new(script.word(), script.word()).unwrap_or(PortRange::ANY),
    };
    let selector = TrafficSelector { addresses, protocol, ports };
    assert_eq!(selector.to_string().parse(), Ok(selector));
    selector
}

/// From few values, so that selectors meet each other and the packets.
fn address(script: &mut Script<'_>) -> IpAddr {
    let [kind, low] = [script.byte(), script.byte()];
    let high = script.of(&[0u8, 1, 0x7f, 0x80, 10, 0xff]);
    if kind % 4 == 0 {
        let mut octets = [0; 16];
        (octets[0], octets[15]) = (high, low);
        Ipv6Addr::from(octets).into()
    } else {
        Ipv4Addr::new(high, 0, kind >> 2, low).into()
    }
}

fn flow(script: &mut Script<'_>) -> Flow {
    let (source, other) = (address(script), address(script));
    let destination = if source.is_ipv4() == other.is_ipv4() { other } else { source };
    let ports = match script.byte() % 4 {
        0 => Ports::Pair { source: script.word(), destination: script.word() },
        1 => Ports::Icmp { kind: script.byte(), code: script.byte() },
        2 => Ports::Mobility { kind: script.byte() },
        _ => Ports::Opaque,
    };
    Flow { source, destination, protocol: script.of(&[6, 17, 1, 58, 47, 44, 135]), ports }
}
