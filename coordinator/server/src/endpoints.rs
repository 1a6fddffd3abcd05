//! Which of a node's endpoints its peers are told.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use twinmesh_control::{Endpoint, EndpointKind, Network};

use crate::name::is_word;

/// Endpoints of one node that are kept; a node with more has most of them on bridges nobody can reach.
const MOST_ENDPOINTS: usize = 32;
/// The high bits of IPv4 addresses that no host has (RFC 1112 §4).
const RESERVED: u8 = 0xf0;

/// What is known of the network by which endpoints are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    /// Nobody is reached by an address inside the tunnels.
    pub(crate) overlay: &'a Network,
    /// The addresses of all relays; relayed ports are there and nowhere else.
    pub(crate) relays: &'a BTreeSet<IpAddr>,
}

/// Those of a node's endpoints that its peers are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usable {
    /// Each address once, in order.
    pub(crate) endpoints: Vec<Endpoint>,
    /// How many were not taken: no peer may try them, or they were too many.
    pub(crate) refused: usize,
}

/// Of too many, the addresses that others see go before those of the node's own interfaces; of one kind, those that the
/// node names first.
pub(crate) fn usable(reported: Vec<Endpoint>, surroundings: Surroundings<'_>) -> Usable {
    let reported: Vec<_> = reported.into_iter().map(canonical).collect();
    let all = reported.iter().map(|endpoint| endpoint.address).collect::<BTreeSet<_>>().len();
    let mut endpoints: Vec<_> =
        reported.into_iter().filter(|endpoint| is_usable(endpoint, surroundings)).collect();
    endpoints.sort_by_key(|endpoint| rank(&endpoint.kind));
    let mut seen = BTreeSet::new();
    endpoints.retain(|endpoint| seen.insert(endpoint.address));
    endpoints.truncate(MOST_ENDPOINTS);
    order(&mut endpoints);
    Usable { refused: all.saturating_sub(endpoints.len()), endpoints }
}

/// The order in which peers are told: they try the first few. By rank, then by address.
pub(crate) fn order(endpoints: &mut [Endpoint]) {
    endpoints.sort_by_key(|endpoint| (rank(&endpoint.kind), endpoint.address));
}

/// One way to write an address, whatever the node's socket made of it.
fn canonical(endpoint: Endpoint) -> Endpoint {
    let address = SocketAddr::new(endpoint.address.ip().to_canonical(), endpoint.address.port());
    Endpoint { address, ..endpoint }
}

/// A node must not make its peers send to themselves or to many, nor fill their maps and our terminals.
fn is_usable(endpoint: &Endpoint, Surroundings { overlay, relays }: Surroundings<'_>) -> bool {
    let ip = endpoint.address.ip();
    let one_host = !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast());
    let reachable = match ip {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            first != 0 && first & RESERVED != RESERVED && !overlay.ipv4.contains(&ip)
        }
        // Link-local means nothing without the name of an interface.
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && !overlay.ipv6.contains(&ip),
    };
    let in_place = endpoint.kind != EndpointKind::Relayed || relays.contains(&ip);
    endpoint.address.port() != 0 && one_host && reachable && in_place && is_word(endpoint.kind.as_str())
}

fn rank(kind: &EndpointKind) -> u8 {
    match kind {
        // The one place that is always reached, and few.
        EndpointKind::Configured | EndpointKind::Relayed => 0,
        EndpointKind::Mapped => 1,
        EndpointKind::Reflexive => 2,
        EndpointKind::Host => 3,
        EndpointKind::Other(_) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: &str = "203.0.113.5";

    fn endpoint(address: &str, kind: EndpointKind) -> Endpoint {
        Endpoint { address: address.parse().unwrap(), kind }
    }

    fn judged(reported: Vec<Endpoint>) -> Usable {
        let overlay = Network {
            name: "test".to_owned(),
            ipv4: "100.64.0.0/10".parse().unwrap(),
            ipv6: "fd12:3456:789a::/48".parse().unwrap(),
        };
        let relays = [RELAY.parse().unwrap()].into();
        usable(reported, Surroundings { overlay: &overlay, relays: &relays })
    }

    #[test]
    fn addresses_that_no_peer_may_try_are_refused_and_counted() {
        let bad = [
            "192.0.2.1:0",
            "0.0.0.0:1",
            "0.1.2.3:1",
            "127.0.0.1:1",
            "224.0.0.1:1",
            "240.0.0.1:1",
            "255.255.255.255:1",
            "100.64.0.9:1",
            "[::]:1",
            "[::1]:1",
            "[ff02::1]:1",
            "[fe80::1]:1",
            "[fd12:3456:789a::9]:1",
            "[::ffff:127.0.0.1]:2",
        ];
        let usable = judged(bad.map(|bad| endpoint(bad, EndpointKind::Host)).into());
        assert_eq!(usable, Usable { endpoints: vec![], refused: bad.len() });
    }

    #[test]
    fn relayed_ports_are_at_relays_and_come_first() {
        let host = endpoint("192.0.2.1:1", EndpointKind::Host);
        let at_relay = endpoint(&format!("{RELAY}:49152"), EndpointKind::Relayed);
        let elsewhere = endpoint("198.51.100.7:49152", EndpointKind::Relayed);
        let usable = judged(vec![host.clone(), at_relay.clone(), elsewhere]);
        assert_eq!(usable, Usable { endpoints: vec![at_relay, host], refused: 1 });
    }

    #[test]
    fn words_that_are_no_kind_are_dropped() {
        let kinds = ["", "a b", "\u{1b}[2J", &"k".repeat(33)];
        assert_eq!(
            judged(kinds.map(|kind| endpoint("192.0.2.1:1", kind.to_owned().into())).into()).endpoints,
            []
        );
        assert_eq!(judged(vec![endpoint("192.0.2.1:1", "later".to_owned().into())]).endpoints.len(), 1);
    }

    #[test]
    fn an_address_counts_once_however_it_is_written() {
        let twice = vec![
            endpoint("[::ffff:192.0.2.1]:1", EndpointKind::Host),
            endpoint("192.0.2.1:1", EndpointKind::Reflexive),
        ];
        let endpoints = vec![endpoint("192.0.2.1:1", EndpointKind::Reflexive)];
        assert_eq!(judged(twice), Usable { endpoints, refused: 0 });
    }

    #[test]
    fn of_too_many_the_best_are_kept() {
        let mut many: Vec<_> =
            (1..=1000).rev().map(|port| endpoint(&format!("10.0.0.1:{port}"), EndpointKind::Host)).collect();
        many.push(endpoint("198.51.100.1:4500", EndpointKind::Reflexive));
        let Usable { endpoints, refused } = judged(many);
        let kept: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
        assert_eq!((kept.len(), refused), (MOST_ENDPOINTS, 1001 - MOST_ENDPOINTS));
        assert_eq!(kept[..2], ["198.51.100.1:4500", "10.0.0.1:970"]);
        assert_eq!(kept.last().unwrap(), "10.0.0.1:1000");
    }
}
