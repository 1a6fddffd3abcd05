//! Which routes a node needs: a default route to its gateway, and one to each network that is
//! reachable another way. What lies behind a NAT has no route from outside.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::scenario::{Interface, IpVersion, Node, Scenario, Side};

/// One line of a routing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// Destination; `None` for the default route.
    pub(crate) to: Option<IpNet>,
    /// The router's address on the interface's network.
    pub(crate) via: IpAddr,
    /// Interface of the node.
    pub(crate) interface: String,
}

/// The routes of one node beside those of its own subnets, both IP versions.
pub(crate) fn routes(scenario: &Scenario, node: &Node) -> Vec<Route> {
    IpVersion::BOTH.iter().flat_map(|version| routes_of(scenario, node, *version)).collect()
}

fn routes_of(scenario: &Scenario, node: &Node, version: IpVersion) -> Vec<Route> {
    let default = default_route(scenario, node, version);
    let mut routes: Vec<Route> = default.iter().cloned().collect();
    let mut seen: BTreeSet<usize> = node.interfaces.iter().map(|interface| interface.network).collect();
    // Breadth first: networks by the number of routers on the way, each with its first hop.
    let mut edge: Vec<(usize, Option<Route>)> = seen.iter().map(|network| (*network, None)).collect();
    while !edge.is_empty() {
        let mut next = Vec::new();
        for (network, first_hop) in edge {
            for router in scenario.nodes.iter().filter(|it| it.router.is_some() && it.name != node.name) {
                let Some(entry) = router.interfaces.iter().find(|it| it.network == network) else { continue };
                let Some(hop) = first_hop.clone().or_else(|| hop(node, entry, version)) else { continue };
                for exit in router.interfaces.iter().filter(|exit| passes(router, entry, exit, version)) {
                    if seen.insert(exit.network) {
                        next.push((exit.network, Some(hop.clone())));
                    }
                }
            }
        }
        for (network, hop) in &next {
            let subnets = scenario.networks.get(*network).map_or(&[][..], |network| &network.subnets);
            for subnet in subnets.iter().filter(|subnet| IpVersion::of(subnet.addr()) == version) {
                let hop = hop.as_ref().filter(|hop| default.as_ref().is_none_or(|it| it.via != hop.via));
                routes.extend(hop.map(|hop| Route { to: Some(*subnet), ..hop.clone() }));
            }
        }
        edge = next;
    }
    routes
}

/// To the gateway that the scenario names, else to the first router that serves one of the node's
/// networks. A router looks on its WAN side only.
fn default_route(scenario: &Scenario, node: &Node, version: IpVersion) -> Option<Route> {
    node.interfaces.iter().filter(|interface| interface.side != Side::Lan).find_map(|interface| {
        scenario
            .nodes
            .iter()
            .filter(|router| router.name != node.name)
            .filter(|router| node.gateway.as_ref().is_none_or(|wanted| *wanted == router.name))
            .flat_map(|router| &router.interfaces)
            .filter(|served| served.side == Side::Lan && served.network == interface.network)
            .find_map(|served| hop(node, served, version))
    })
}

/// The way from a node to a router's interface on a network of both.
fn hop(node: &Node, entry: &Interface, version: IpVersion) -> Option<Route> {
    let interface = node.interfaces.iter().find(|interface| interface.network == entry.network)?;
    interface.address(version)?;
    Some(Route { to: None, via: entry.address(version)?, interface: interface.name.clone() })
}

/// Whether a router forwards from one of its networks to another without translating the destination.
fn passes(router: &Node, entry: &Interface, exit: &Interface, version: IpVersion) -> bool {
    let hidden = router.router.as_ref().is_some_and(|router| router.nat_of(version).translates());
    exit.network != entry.network && !(hidden && entry.side == Side::Wan)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = r#"
        name = "routes"
        [network.west]
        subnets = ["192.0.2.0/25", "2001:db8:1::/64"]
        [network.east]
        subnets = ["192.0.2.128/25", "2001:db8:2::/64"]
        [network.home]
        subnets = ["198.18.0.0/24", "2001:db8:3::/64"]
        [router.core]
        lan = ["west", "east"]
        [router.door]
        wan = "west"
        lan = ["home"]
        nat = "endpoint-independent"
        [host.a]
        network = "west"
        [host.b]
        network = "east"
        [host.c]
        network = "home"
    "#;

    fn table(node: &str) -> Vec<String> {
        let scenario = Scenario::parse(SCENARIO, None).unwrap();
        routes(&scenario, scenario.node(node).unwrap())
            .into_iter()
            .map(|route| {
                let to = route.to.map_or("default".to_owned(), |to| to.to_string());
                format!("{to} via {} dev {}", route.via, route.interface)
            })
            .collect()
    }

    #[test]
    fn a_host_behind_a_nat_goes_through_its_router() {
        assert_eq!(table("c"), ["default via 198.18.0.1 dev eth0", "default via 2001:db8:3::1 dev eth0"]);
    }

    #[test]
    fn a_nat_hides_its_network_by_ipv4_but_routes_it_by_ipv6() {
        assert_eq!(
            table("a"),
            [
                "default via 192.0.2.1 dev eth0",
                "default via 2001:db8:1::1 dev eth0",
                "2001:db8:3::/64 via 2001:db8:1::2 dev eth0"
            ]
        );
    }

    #[test]
    fn a_plain_router_has_no_default_route_and_knows_the_networks_behind_others() {
        assert_eq!(table("core"), ["2001:db8:3::/64 via 2001:db8:1::2 dev lan0"]);
    }
}
