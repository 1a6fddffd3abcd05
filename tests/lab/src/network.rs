//! Bridges, links, addresses, routes and rules: the shell scripts that set them up.

use std::fmt::Write as _;

use crate::nat;
use crate::routes;
use crate::scenario::{IpVersion, LinkProperties, Node, Rate, Scenario};

/// MTU of a link that names none.
pub(crate) const DEFAULT_MTU: u32 = 1500;

/// The network's end of a link: `p` and the number of the link, counted over all nodes.
pub(crate) fn port(number: usize) -> String {
    format!("p{number}")
}

/// The bridge of a network.
fn bridge(network: usize) -> String {
    format!("net{network}")
}

/// One link as the backbone sees it.
pub(crate) struct Link<'a> {
    pub(crate) port: &'a str,
    /// Name of the interface in the node.
    pub(crate) interface: &'a str,
    /// Pid inside the lab of the node's holder.
    pub(crate) holder: i32,
    pub(crate) network: usize,
    pub(crate) properties: LinkProperties,
}

/// Script for the backbone: a bridge for each network, a veth for each plain link, and all ports
/// attached. The ports of impaired links are there already, made by the link process.
pub(crate) fn backbone_script(networks: usize, links: &[Link<'_>]) -> String {
    // The backbone only switches: it has no addresses, answers nothing, and delays no port.
    let mut script = String::from(
        "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6\necho 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6\nip -batch - <<'END'\n",
    );
    for network in 0..networks {
        let bridge = bridge(network);
        // MTU at the maximum: a bridge would otherwise take the least of its ports'.
        let _ = writeln!(
            script,
            "link add {bridge} type bridge forward_delay 0 stp_state 0 mcast_snooping 0\nlink set {bridge} mtu 9216 up"
        );
    }
    for link in links {
        let mtu = link.properties.mtu.unwrap_or(DEFAULT_MTU);
        let (port, bridge) = (link.port, bridge(link.network));
        if link.properties.impairment.is_none() {
            let _ = writeln!(
                script,
                "link add {port} mtu {mtu} type veth peer name {} mtu {mtu} netns {}",
                link.interface, link.holder
            );
        }
        let _ = writeln!(script, "link set {port} mtu {mtu} master {bridge} up");
    }
    script.push_str("END\n");
    for link in links {
        script.push_str(&shaping(link.port, link.properties));
    }
    script
}

/// Lines that limit the rate of one end of a plain link.
fn shaping(interface: &str, properties: LinkProperties) -> String {
    match (properties.rate, properties.impairment) {
        (Some(rate), None) => rate_script(interface, Some(rate), properties.mtu.unwrap_or(DEFAULT_MTU)),
        // The link process has the rate of its links.
        (None, _) | (_, Some(_)) => String::new(),
    }
}

/// Sets or lifts the rate of one end of a plain link. The queue holds 50 ms.
pub(crate) fn rate_script(interface: &str, rate: Option<Rate>, mtu: u32) -> String {
    match rate {
        Some(Rate(bits)) => {
            // 5 ms at a time, and at least two frames.
            let burst = (bits / 8 / 200).max(2 * u64::from(mtu + 18));
            format!("tc qdisc replace dev {interface} root tbf rate {bits}bit burst {burst} latency 50ms\n")
        }
        None => format!("tc qdisc del dev {interface} root 2>/dev/null || true\n"),
    }
}

/// Script for a node: addresses, routes, and of a router forwarding and rules.
pub(crate) fn node_script(scenario: &Scenario, node: &Node) -> String {
    let mut script = String::from(
        "cd /proc/sys/net\nfor kind in all default; do\n  echo 0 >ipv6/conf/$kind/accept_dad\n  echo 0 >ipv6/conf/$kind/accept_ra\n  \
         echo 0 >ipv4/conf/$kind/rp_filter\n  echo 0 >ipv4/conf/$kind/accept_redirects\n  echo 0 >ipv4/conf/$kind/send_redirects\n\
         done\n",
    );
    for interface in &node.interfaces {
        // The interface was made before `default` was set.
        let _ = writeln!(
            script,
            "echo 0 >ipv6/conf/{0}/accept_dad\necho 0 >ipv6/conf/{0}/accept_ra\necho 1 >ipv6/conf/{0}/keep_addr_on_down\n\
             echo 0 >ipv4/conf/{0}/rp_filter\necho 0 >ipv4/conf/{0}/send_redirects",
            interface.name
        );
    }
    if let Some(router) = &node.router {
        script.push_str("echo 1 >ipv4/ip_forward\necho 1 >ipv6/conf/all/forwarding\n");
        let timeout = router.udp_timeout.as_secs().max(1);
        let ruleset = nat::ruleset(node, router, 0);
        let _ = write!(script, "nft -f - <<'END'\n{ruleset}END\n");
        if IpVersion::BOTH.iter().any(|version| router.nat_of(*version).translates()) {
            // These exist once a rule has called for conntrack.
            let _ = writeln!(
                script,
                "echo {timeout} >netfilter/nf_conntrack_udp_timeout\necho {timeout} >netfilter/nf_conntrack_udp_timeout_stream"
            );
        }
    }
    script.push_str("ip -batch - <<'END'\nlink set lo up\n");
    for interface in &node.interfaces {
        let mtu = interface.link.mtu.unwrap_or(DEFAULT_MTU);
        for address in &interface.addresses {
            let nodad = if address.addr().is_ipv6() { " nodad" } else { "" };
            let _ = writeln!(script, "addr add {address} dev {}{nodad}", interface.name);
        }
        let _ = writeln!(script, "link set {} mtu {mtu} up", interface.name);
    }
    for route in routes::routes(scenario, node) {
        // `default` alone would not tell the IP version.
        let everything = if route.via.is_ipv6() { "::/0" } else { "0.0.0.0/0" };
        let to = route.to.map_or(everything.to_owned(), |to| to.to_string());
        let _ = writeln!(script, "route add {to} via {} dev {}", route.via, route.interface);
    }
    script.push_str("END\n");
    for interface in &node.interfaces {
        script.push_str(&shaping(&interface.name, interface.link));
    }
    script
}
