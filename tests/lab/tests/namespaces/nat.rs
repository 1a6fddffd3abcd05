//! NAT kinds behave as their names say, seen from outside.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use twinmesh_lab::IpVersion;

use crate::probe::Probe;
use crate::support::TestLab;

/// A client behind a NAT, a neighbour of it, and two servers outside.
fn behind(nat: &str) -> TestLab {
    TestLab::up(&format!(
        r#"
        name = "nat"
        [network.internet]
        subnets = ["192.0.2.0/24"]
        [network.home]
        subnets = ["198.18.0.0/24"]
        [router.door]
        wan = "internet"
        lan = ["home"]
        {nat}
        [host.client]
        network = "home"
        [host.neighbour]
        network = "home"
        [host.one]
        network = "internet"
        [host.two]
        network = "internet"
        "#
    ))
}

fn outer_address(lab: &TestLab, router: &str) -> IpAddr {
    lab.host(router).address(IpVersion::V4).unwrap()
}

/// The outer ports of one inner endpoint towards one:1000, one:2000 and two:1000.
fn mapped_ports(lab: &TestLab, router: &str) -> [u16; 3] {
    let client = Probe::new(lab, "client", 5000);
    let servers = [("one", 1000), ("one", 2000), ("two", 1000)];
    servers.map(|(host, port)| {
        let seen = client.reach(&Probe::new(lab, host, port), "hello");
        assert_eq!(seen.ip(), outer_address(lab, router));
        seen.port()
    })
}

/// Who of one:2000 and two:1000 gets in, after the client has sent to one:1000 only.
fn let_in(filtering: &str) -> Vec<&'static str> {
    let lab = behind(&format!("nat = \"endpoint-independent\"\nfiltering = \"{filtering}\""));
    let client = Probe::new(&lab, "client", 5000);
    let known = Probe::new(&lab, "one", 1000);
    let mapped = client.reach(&known, "hello");
    Probe::new(&lab, "one", 2000).send(mapped, "other port");
    Probe::new(&lab, "two", 1000).send(mapped, "other address");
    // Sent last: when it is there, whatever was let in is there too.
    known.send(mapped, "known");
    let arrived = std::iter::from_fn(|| Some(client.receive().1)).take_while(|text| text != "known");
    arrived.map(|text| if text == "other port" { "other port" } else { "other address" }).collect()
}

#[test]
fn an_endpoint_independent_nat_shows_one_port_to_everybody() {
    let [first, other_port, other_address] = mapped_ports(&behind("nat = \"endpoint-independent\""), "door");
    assert_eq!([other_port, other_address], [first, first]);
}

#[test]
fn an_address_dependent_nat_shows_one_port_to_each_address() {
    let [first, other_port, other_address] = mapped_ports(&behind("nat = \"address-dependent\""), "door");
    assert_eq!(other_port, first);
    assert_ne!(other_address, first);
}

#[test]
fn an_address_and_port_dependent_nat_shows_another_port_to_each_endpoint() {
    let [first, other_port, other_address] =
        mapped_ports(&behind("nat = \"address-and-port-dependent\""), "door");
    assert!(first != other_port && first != other_address && other_port != other_address);
}

#[test]
fn two_inner_endpoints_have_different_outer_ports() {
    let lab = behind("nat = \"endpoint-independent\"");
    let server = Probe::new(&lab, "one", 1000);
    let client = Probe::new(&lab, "client", 5000).reach(&server, "client");
    let neighbour = Probe::new(&lab, "neighbour", 5000).reach(&server, "neighbour");
    assert_ne!(client.port(), neighbour.port());
}

#[test]
fn endpoint_independent_filtering_lets_everybody_in() {
    assert_eq!(let_in("endpoint-independent"), ["other port", "other address"]);
}

#[test]
fn address_dependent_filtering_lets_in_whoever_has_a_known_address() {
    assert_eq!(let_in("address-dependent"), ["other port"]);
}

#[test]
fn address_and_port_dependent_filtering_lets_in_known_endpoints_only() {
    assert_eq!(let_in("address-and-port-dependent"), <[&str; 0]>::default());
}

#[test]
fn behind_two_nats_the_outer_one_is_seen_and_the_stricter_one_decides() {
    let lab = TestLab::up(
        r#"
        name = "carrier"
        [network.internet]
        subnets = ["192.0.2.0/24"]
        [network.carrier]
        subnets = ["198.19.0.0/24"]
        [network.home]
        subnets = ["198.18.0.0/24"]
        [router.cgn]
        wan = "internet"
        lan = ["carrier"]
        nat = "address-and-port-dependent"
        [router.door]
        wan = "carrier"
        lan = ["home"]
        nat = "endpoint-independent"
        [host.client]
        network = "home"
        [host.subscriber]
        network = "carrier"
        [host.one]
        network = "internet"
        [host.two]
        network = "internet"
        "#,
    );
    let [first, other_port, other_address] = mapped_ports(&lab, "cgn");
    assert!(first != other_port && first != other_address);
    // Inside the carrier's network the home's router is seen.
    let seen = Probe::new(&lab, "client", 5001).reach(&Probe::new(&lab, "subscriber", 1000), "hello");
    assert_eq!(seen.ip(), outer_address(&lab, "door"));
}

#[test]
fn where_udp_is_blocked_tcp_passes_translated_and_udp_does_not() {
    let lab = behind("nat = \"udp-blocked\"");
    let client = Probe::new(&lab, "client", 5000);
    let server = Probe::new(&lab, "one", 1000);
    client.send(server.address, "lost");
    let seen = client.connect(server.address, Duration::from_secs(10)).unwrap();
    assert_eq!(seen.ip(), outer_address(&lab, "door"));
    // The connection was made after the datagram had been sent.
    assert_eq!(server.receive_within(Duration::from_millis(100)), None);
}

#[test]
fn inner_hosts_meet_by_their_outer_endpoints_with_hairpin_only() {
    for hairpin in [true, false] {
        let lab = behind(&format!(
            "nat = \"endpoint-independent\"\nfiltering = \"endpoint-independent\"\nhairpin = {hairpin}"
        ));
        let server = Probe::new(&lab, "one", 1000);
        let (client, neighbour) = (Probe::new(&lab, "client", 5000), Probe::new(&lab, "neighbour", 5000));
        let client_outside = client.reach(&server, "client");
        let neighbour_outside = neighbour.reach(&server, "neighbour");
        client.send(neighbour_outside, "inside out");
        server.send(neighbour_outside, "from outside");
        let (from, text) = neighbour.receive();
        if hairpin {
            assert_eq!((from, text.as_str()), (client_outside, "inside out"));
        } else {
            assert_eq!((from, text.as_str()), (server.address, "from outside"));
        }
    }
}

#[test]
fn nobody_outside_opens_a_connection_to_what_a_nat_hides() {
    let lab = behind("nat = \"endpoint-independent\"");
    let server = Probe::new(&lab, "one", 1000);
    let client = Probe::new(&lab, "client", 5000);
    assert!(server.connect(client.address, Duration::from_millis(300)).is_err());
    let door = SocketAddr::new(outer_address(&lab, "door"), 5000);
    assert!(server.connect(door, Duration::from_millis(300)).is_err());
    assert!(client.connect(server.address, Duration::from_secs(10)).is_ok());
}

#[test]
fn a_router_that_forgets_maps_anew_and_drops_what_comes_for_the_old_mapping() {
    for kind in ["endpoint-independent", "address-dependent", "address-and-port-dependent"] {
        let mut lab = behind(&format!("nat = \"{kind}\"\nfiltering = \"endpoint-independent\""));
        let (client, server) = (Probe::new(&lab, "client", 5000), Probe::new(&lab, "one", 1000));
        let before = client.reach(&server, "before");
        lab.lab.nat_forget("door").unwrap();
        let after = client.reach(&server, "after");
        assert_ne!(before.port(), after.port(), "{kind}");
        server.send(before, "to the old mapping");
        server.send(after, "to the new one");
        assert_eq!(client.receive().1, "to the new one", "{kind}");
    }
}

#[test]
fn an_ipv6_nat_hides_its_network_behind_one_address() {
    let lab = TestLab::up(
        r#"
        name = "nat6"
        [network.internet]
        subnets = ["2001:db8:1::/64"]
        [network.home]
        subnets = ["2001:db8:2::/64"]
        [router.door]
        wan = "internet"
        lan = ["home"]
        nat6 = "endpoint-independent"
        [host.client]
        network = "home"
        [host.one]
        network = "internet"
        [host.two]
        network = "internet"
        "#,
    );
    let address = |host: &str, port| SocketAddr::new(lab.host(host).address(IpVersion::V6).unwrap(), port);
    let client = Probe::bind(&lab, "client", address("client", 5000));
    let seen =
        ["one", "two"].map(|host| client.reach(&Probe::bind(&lab, host, address(host, 1000)), "hello"));
    assert_eq!(seen[0].ip(), address("door", 0).ip());
    assert_eq!(seen[0], seen[1]);
}
