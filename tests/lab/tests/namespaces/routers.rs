//! Routes, firewalls and blocks.

use std::time::Duration;

use crate::probe::Probe;
use crate::support::{TestLab, both};

/// Hosts `a` and `b` with a router in between; `b`'s network is the router's WAN side.
fn across(router: &str) -> TestLab {
    TestLab::up(&format!(
        r#"
        name = "across"
        [network.west]
        subnets = ["192.0.2.0/24", "2001:db8:1::/64"]
        [network.east]
        subnets = ["198.51.100.0/24", "2001:db8:2::/64"]
        mtu = 1300
        [router.core]
        {router}
        [host.a]
        network = "west"
        [host.b]
        network = "east"
        "#
    ))
}

const PLAIN: &str = "lan = [\"west\", \"east\"]";
const PATIENCE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

#[test]
fn hosts_of_different_networks_reach_each_other_by_name_over_both_ip_versions() {
    let lab = across(PLAIN);
    for command in ["ping -4 -c 1 -W 5 b", "ping -6 -c 1 -W 5 b"] {
        lab.must("a", command);
    }
    lab.must("b", "ping -c 1 -W 5 a");
}

#[test]
fn a_stateful_firewall_lets_answers_in_and_nothing_else() {
    let lab = across("wan = \"east\"\nlan = [\"west\"]\nfirewall = \"stateful\"");
    let (a, b) = (Probe::new(&lab, "a", 5000), Probe::new(&lab, "b", 1000));
    assert!(b.connect(a.address, SHORT).is_err());
    assert!(a.connect(b.address, PATIENCE).is_ok());
    b.send(a.address, "unasked");
    let from = a.reach(&b, "question");
    assert_eq!(from, a.address);
    b.send(a.address, "answer");
    assert_eq!(a.receive().1, "answer");
}

#[test]
fn blocked_udp_goes_nowhere_and_tcp_passes() {
    let lab = across(&format!("{PLAIN}\nblock = [\"udp\"]"));
    let (a, b) = (Probe::new(&lab, "a", 5000), Probe::new(&lab, "b", 1000));
    a.send(b.address, "lost");
    assert!(a.connect(b.address, PATIENCE).is_ok());
    // The connection was made after the datagram had been sent.
    assert_eq!(b.receive_within(Duration::from_millis(100)), None);
}

#[test]
fn blocked_tcp_goes_nowhere_and_udp_passes() {
    let lab = across(&format!("{PLAIN}\nblock = [\"tcp\"]"));
    let (a, b) = (Probe::new(&lab, "a", 5000), Probe::new(&lab, "b", 1000));
    assert!(a.connect(b.address, SHORT).is_err());
    a.reach(&b, "hello");
}

#[test]
fn a_blocked_port_leaves_the_others_open() {
    let lab = across(&format!("{PLAIN}\nblock = [\"udp/1000\", \"tcp/2000\"]"));
    let a = Probe::new(&lab, "a", 5000);
    let (first, second) = (Probe::new(&lab, "b", 1000), Probe::new(&lab, "b", 2000));
    a.send(first.address, "lost");
    a.reach(&second, "hello");
    assert!(a.connect(first.address, PATIENCE).is_ok());
    assert!(a.connect(second.address, SHORT).is_err());
    assert_eq!(first.receive_within(Duration::from_millis(100)), None);
}

#[test]
fn a_narrow_network_tells_its_mtu_unless_the_router_keeps_silent() {
    for (router, told) in [(PLAIN.to_owned(), true), (format!("{PLAIN}\nblock = [\"icmp-too-big\"]"), false)]
    {
        let lab = across(&router);
        for version in ["-4", "-6"] {
            lab.must("a", &format!("ping {version} -c 1 -W 5 b"));
            let large = lab.run("a", &format!("ping {version} -c 1 -W 1 -M do -s 1400 b"));
            assert!(!large.status.success());
            let output = both(&large);
            assert_eq!(output.contains("mtu"), told, "{router}: {output}");
        }
    }
}
