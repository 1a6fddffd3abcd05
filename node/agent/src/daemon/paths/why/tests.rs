use super::*;

fn nat(class: &str, filtering: Option<&str>) -> NatBehaviour {
    NatBehaviour {
        class: NatClass::from(class.to_owned()),
        filtering: filtering.map(|filtering| NatFiltering::from(filtering.to_owned())),
        hairpin: None,
    }
}

fn endpoint(address: &str, kind: EndpointKind) -> Endpoint {
    Endpoint { address: address.parse().unwrap(), kind }
}

fn unanswered(silent: usize) -> Checks {
    Checks { in_use: true, silent, ..Checks::default() }
}

/// By IPv4 alone.
fn reasons(
    (here, here_kind): (Option<NatBehaviour>, EndpointKind),
    (there, there_kind): (Option<NatBehaviour>, EndpointKind),
    checks: Checks,
) -> Vec<(String, String)> {
    let here_nat = NatReport { ipv4: here, ipv6: None };
    let there_nat = NatReport { ipv4: there, ipv6: None };
    let relayed = endpoint("192.0.2.1:50000", EndpointKind::Relayed);
    let here = [endpoint("198.51.100.1:4500", here_kind), relayed.clone()];
    let there = [endpoint("203.0.113.1:4500", there_kind), relayed];
    let here = End { name: "this node", nat: &here_nat, endpoints: &here };
    let there = End { name: "beta", nat: &there_nat, endpoints: &there };
    why_relayed(here, there, &checks).into_iter().map(|reason| (reason.code, reason.text)).collect()
}

#[test]
fn each_pair_of_nats_has_its_reason() {
    let exact = Some("address-and-port-dependent");
    let symmetric = || nat("address-and-port-dependent", exact);
    let by_address = || nat("address-dependent", Some("address-dependent"));
    let cone = || nat("endpoint-independent", Some("address-dependent"));
    let port_restricted = || nat("endpoint-independent", exact);
    let full_cone = || nat("endpoint-independent", Some("endpoint-independent"));
    let blocked = || nat("udp-blocked", None);
    let seen = EndpointKind::Reflexive;
    let mapped = EndpointKind::Mapped;
    let both = "by IPv4, both NATs map by destination; no port mapping is offered";
    let one = |mapping: &str, exact: &str| {
        format!(
            "by IPv4, the NAT of {mapping} maps by destination, and that of {exact} lets in only the very ports \
             that were sent to; no port mapping is offered"
        )
    };
    let firewall =
        "none of 3 direct addresses that were checked answers: a firewall may stand between".to_owned();
    for (here, there, code, text) in [
        ((symmetric(), &seen), (symmetric(), &seen), "both-map-by-destination", both.to_owned()),
        ((by_address(), &seen), (symmetric(), &seen), "both-map-by-destination", both.to_owned()),
        ((symmetric(), &mapped), (symmetric(), &seen), "no-answer", firewall.clone()),
        ((symmetric(), &seen), (port_restricted(), &seen), "maps-by-destination", one("this node", "beta")),
        ((port_restricted(), &seen), (symmetric(), &seen), "maps-by-destination", one("beta", "this node")),
        ((port_restricted(), &seen), (symmetric(), &mapped), "no-answer", firewall.clone()),
        ((nat("none", exact), &seen), (symmetric(), &seen), "maps-by-destination", one("beta", "this node")),
        ((symmetric(), &seen), (cone(), &seen), "no-answer", firewall.clone()),
        ((symmetric(), &seen), (full_cone(), &seen), "no-answer", firewall.clone()),
        (
            (nat("address-dependent", Some("endpoint-independent")), &seen),
            (symmetric(), &seen),
            "no-answer",
            firewall.clone(),
        ),
        ((port_restricted(), &seen), (port_restricted(), &seen), "no-answer", firewall.clone()),
        ((nat("port-independent", None), &seen), (symmetric(), &seen), "no-answer", firewall.clone()),
        (
            (blocked(), &seen),
            (cone(), &seen),
            "udp-blocked",
            "by IPv4, UDP is blocked before this node".to_owned(),
        ),
        (
            (cone(), &seen),
            (blocked(), &mapped),
            "udp-blocked",
            "by IPv4, UDP is blocked before beta".to_owned(),
        ),
    ] {
        let found = reasons((Some(here.0), here.1.clone()), (Some(there.0), there.1.clone()), unanswered(3));
        assert_eq!(found, [(code.to_owned(), text)]);
    }
}

#[test]
fn what_is_not_known_is_said_and_how_far_the_checks_are() {
    let seen = EndpointKind::Reflexive;
    let cone = Some(nat("endpoint-independent", Some("address-dependent")));
    let used = unanswered(0);
    let hold = Some(Duration::from_secs(3));
    for (checks, code, text) in [
        (Checks::default(), "idle", "direct paths are looked for when there is traffic"),
        (used, "checking", "no direct path is proven yet"),
        (Checks { answered: true, silent: 4, ..used }, "checking", "no direct path is proven yet"),
        (
            Checks { answered: true, hold, ..used },
            "not-stable",
            "a direct path died lately: the next is taken when it has answered for 3 s",
        ),
        (
            Checks { silent: 1, hold, ..used },
            "no-answer",
            "the one direct address that was checked does not answer: a firewall may stand between",
        ),
    ] {
        let found = reasons((cone.clone(), seen.clone()), (None, seen.clone()), checks);
        let unknown = ("nat-not-known".to_owned(), "what NAT stands before beta is not known".to_owned());
        assert_eq!(found, [(code.to_owned(), text.to_owned()), unknown]);
    }
}

#[test]
fn the_other_ip_version_is_told_of_beside_the_one_that_is_barred() {
    let nat = NatReport {
        ipv4: Some(nat("address-dependent", None)),
        ipv6: Some(nat("none", Some("address-and-port-dependent"))),
    };
    let both = [
        endpoint("198.51.100.1:4500", EndpointKind::Reflexive),
        endpoint("[2001:db8::1]:4500", EndpointKind::Host),
    ];
    let codes = |here: &[Endpoint], there: &[Endpoint]| -> Vec<String> {
        let here = End { name: "this node", nat: &nat, endpoints: here };
        let there = End { name: "beta", nat: &nat, endpoints: there };
        let reasons = why_relayed(here, there, &unanswered(2));
        reasons.into_iter().map(|reason| reason.code).collect()
    };
    assert_eq!(codes(&both, &both), ["both-map-by-destination", "no-answer"]);
    assert_eq!(codes(&both[..1], &both), ["both-map-by-destination"]);
    assert_eq!(codes(&both[..1], &both[1..]), ["no-common-ip-version"]);
    assert_eq!(codes(&both, &[]), ["no-common-ip-version"]);
}
