use proptest::prelude::*;

use super::*;

fn selector(text: &str) -> TrafficSelector {
    let (addresses, rest) = text.split_once('[').unwrap_or((text, ""));
    let (first, last) = addresses.split_once('-').unwrap_or((addresses, addresses));
    let selector = TrafficSelector::new(first.parse().unwrap(), last.parse().unwrap()).unwrap();
    let Some((protocol, ports)) = rest.strip_suffix(']').and_then(|rest| rest.split_once('/')) else {
        return selector;
    };
    let (start, end) = ports.split_once('-').unwrap_or((ports, ports));
    selector.with_protocol(protocol.parse().unwrap(), start.parse().unwrap(), end.parse().unwrap())
}

fn all(texts: &[&str]) -> Vec<TrafficSelector> {
    texts.iter().map(|text| selector(text)).collect()
}

fn shown(selectors: &[TrafficSelector]) -> Vec<String> {
    selectors.iter().map(ToString::to_string).collect()
}

#[test]
fn trap_9_narrowing_intersects_and_never_widens() {
    let offered = all(&["0.0.0.0-255.255.255.255"]);
    let allowed = all(&["10.1.0.0-10.1.255.255", "10.2.0.0-10.2.0.9[6/80-90]"]);
    assert_eq!(
        shown(&narrow(&offered, &allowed, Narrowing::Whole)),
        ["10.1.0.0/16", "10.2.0.0-10.2.0.9[6/80-90]"]
    );
    assert!(narrow(&all(&["10.9.0.0-10.9.0.1"]), &allowed, Narrowing::Whole).is_empty());
    assert!(narrow(&all(&["10.2.0.0-10.2.0.9[17/80-90]"]), &allowed, Narrowing::Whole).is_empty());
    assert!(narrow(&all(&["::-ffff::"]), &allowed, Narrowing::Whole).is_empty());
}

#[test]
fn trap_9_what_the_triggering_packet_asks_for_stands_first() {
    let offered = all(&["10.1.0.7-10.1.0.7[6/443]", "10.0.0.0-10.255.255.255"]);
    let allowed = all(&["10.1.0.0-10.1.255.255", "10.3.0.0-10.3.255.255"]);
    assert_eq!(
        shown(&narrow(&offered, &allowed, Narrowing::Whole)),
        ["10.1.0.7/32[6/443]", "10.1.0.0/16", "10.3.0.0/16"]
    );
    assert_eq!(shown(&narrow(&offered, &allowed, Narrowing::SinglePair)), ["10.1.0.0/16"]);
    assert_eq!(shown(&narrow(&offered[..1], &allowed, Narrowing::SinglePair)), ["10.1.0.7/32[6/443]"]);
}

#[test]
fn hidden_ports_are_part_of_any_port_only() {
    let opaque = selector("10.1.0.1").with_protocol(6, 65_535, 0);
    let any = selector("10.1.0.0-10.1.0.255[6/0-65535]");
    assert_eq!(opaque.intersection(&any), Some(opaque));
    assert_eq!(opaque.intersection(&selector("10.1.0.1[6/80]")), None);
    assert_eq!(opaque.intersection(&opaque), Some(opaque));
    assert_eq!(opaque.to_string(), "10.1.0.1/32[6/opaque]");
}

#[test]
fn an_answer_has_to_stay_within_what_was_asked_for() {
    let offered = all(&["10.1.0.0-10.1.255.255", "10.2.0.0-10.2.255.255"]);
    assert!(is_narrowed(&all(&["10.1.3.0-10.1.3.255"]), &offered));
    assert!(!is_narrowed(&all(&["10.1.0.0-10.2.255.255"]), &offered));
    assert!(!is_narrowed(&[], &offered));
}

#[test]
fn a_refusal_names_the_side_to_correct() {
    let allowed =
        SelectorPair { local: all(&["10.1.0.0-10.1.255.255"]), remote: all(&["10.2.0.0-10.2.255.255"]) };
    let offered = SelectorPair { remote: all(&["10.9.0.0-10.9.255.255"]), ..allowed.clone() };
    let refused = allowed.narrowed(&offered, Narrowing::Whole).unwrap_err().to_string();
    assert_eq!(
        refused,
        "peer asked for 10.1.0.0/16 === 10.9.0.0/16; this child allows 10.1.0.0/16 === 10.2.0.0/16; correct \
         remote_ts here, or the selectors at the peer"
    );
}

#[test]
fn ranges_have_two_ends_of_one_family_in_order() {
    let new = |first: &str, last: &str| TrafficSelector::new(first.parse().unwrap(), last.parse().unwrap());
    assert!(new("10.0.0.2", "10.0.0.1").is_none() && new("10.0.0.2", "::1").is_none());
}

/// From a small domain, so that selectors meet.
fn any_selector() -> impl Strategy<Value = TrafficSelector> {
    let ports = prop_oneof![
        Just((0, u16::MAX)),
        Just((u16::MAX, 0)),
        (0u16..4, 0u16..4).prop_map(|(one, two)| (one.min(two), one.max(two))),
    ];
    (0u32..8, 0u32..8, prop_oneof![Just(0u8), Just(6), Just(17)], ports).prop_map(
        |(one, two, protocol, (start, end))| {
            let address = |number| IpAddr::from(std::net::Ipv4Addr::from_bits(number));
            TrafficSelector::new(address(one.min(two)), address(one.max(two)))
                .unwrap()
                .with_protocol(protocol, start, end)
        },
    )
}

/// One packet: address, protocol, port if it can be seen.
fn allows(selectors: &[TrafficSelector], packet: (u32, u8, Option<u16>)) -> bool {
    let (address, protocol, port) = packet;
    let address = IpAddr::from(std::net::Ipv4Addr::from_bits(address));
    selectors.iter().any(|selector| {
        let ports = match port {
            Some(port) => selector.start_port <= port && port <= selector.end_port,
            None => selector.any_port() || selector.is_opaque(),
        };
        selector.first <= address
            && address <= selector.last
            && (selector.protocol == 0 || selector.protocol == protocol)
            && ports
    })
}

proptest! {
    #[test]
    fn a_packet_passes_the_narrowed_selectors_if_and_only_if_both_sides_allow_it(
        offered in prop::collection::vec(any_selector(), 0..5),
        allowed in prop::collection::vec(any_selector(), 0..5),
    ) {
        let narrowed = narrow(&offered, &allowed, Narrowing::Whole);
        for address in 0..8 {
            for protocol in [6, 17, 1] {
                for port in [None, Some(0), Some(1), Some(2), Some(3), Some(9)] {
                    let packet = (address, protocol, port);
                    prop_assert_eq!(
                        allows(&narrowed, packet),
                        allows(&offered, packet) && allows(&allowed, packet),
                        "{:?} {:?}", packet, shown(&narrowed)
                    );
                }
            }
        }
        prop_assert!(narrowed.is_empty() || is_narrowed(&narrowed, &offered));
        let single = narrow(&offered, &allowed, Narrowing::SinglePair);
        let holds = |packet: &TrafficSelector| single[0].contains(packet) && is_narrowed(&single, &narrowed);
        prop_assert!(single.len() == narrowed.len().min(1) && narrowed.first().is_none_or(holds));
    }
}
