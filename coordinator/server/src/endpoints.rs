//! Which of a node's endpoints its peers are told.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use twinmesh_control::{Endpoint, EndpointKind};

/// Endpoints of one node that are kept; a node with more has most of them on bridges nobody can reach.
const MOST_ENDPOINTS: usize = 32;
/// Bytes of a kind that this version does not know.
const MAX_KIND: usize = 32;

/// Those that a peer may try, each once, sorted by address. Of too many, the addresses that others see go
/// before those of the node's own interfaces; of one kind, those that the node names first.
pub(crate) fn usable(reported: Vec<Endpoint>) -> Vec<Endpoint> {
    let mut endpoints: Vec<_> = reported.into_iter().map(canonical).filter(is_usable).collect();
    endpoints.sort_by_key(|endpoint| rank(&endpoint.kind));
    let mut seen = BTreeSet::new();
    endpoints.retain(|endpoint| seen.insert(endpoint.address));
    endpoints.truncate(MOST_ENDPOINTS);
    endpoints.sort();
    endpoints
}

/// One way to write an address, whatever the node's socket made of it.
fn canonical(endpoint: Endpoint) -> Endpoint {
    let address = SocketAddr::new(endpoint.address.ip().to_canonical(), endpoint.address.port());
    Endpoint { address, ..endpoint }
}

/// A node must not make its peers send to themselves or to many, nor fill their maps and our terminals.
fn is_usable(endpoint: &Endpoint) -> bool {
    let ip = endpoint.address.ip();
    let one_host = !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast());
    let reachable = match ip {
        IpAddr::V4(ip) => !ip.is_broadcast(),
        // Means nothing without the name of an interface.
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let word = endpoint.kind.as_str();
    let plain =
        word.len() <= MAX_KIND && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    endpoint.address.port() != 0 && one_host && reachable && plain
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

    fn endpoint(address: &str, kind: EndpointKind) -> Endpoint {
        Endpoint { address: address.parse().unwrap(), kind }
    }

    fn addresses(endpoints: &[Endpoint]) -> Vec<String> {
        endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
    }

    #[test]
    fn addresses_that_no_peer_may_try_are_dropped() {
        let bad = [
            "192.0.2.1:0",
            "0.0.0.0:1",
            "127.0.0.1:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[::]:1",
            "[::1]:1",
            "[ff02::1]:1",
            "[fe80::1]:1",
            "[::ffff:127.0.0.1]:1",
        ];
        assert_eq!(usable(bad.map(|bad| endpoint(bad, EndpointKind::Host)).into()), []);
    }

    #[test]
    fn words_that_are_no_kind_are_dropped() {
        let kinds = ["a b", "\u{1b}[2J", &"k".repeat(33)];
        assert_eq!(usable(kinds.map(|kind| endpoint("192.0.2.1:1", kind.to_owned().into())).into()), []);
        assert_eq!(usable(vec![endpoint("192.0.2.1:1", "relayed".to_owned().into())]).len(), 1);
    }

    #[test]
    fn an_address_counts_once_however_it_is_written() {
        let twice = vec![
            endpoint("[::ffff:192.0.2.1]:1", EndpointKind::Host),
            endpoint("192.0.2.1:1", EndpointKind::Reflexive),
        ];
        assert_eq!(usable(twice), [endpoint("192.0.2.1:1", EndpointKind::Reflexive)]);
    }

    #[test]
    fn of_too_many_the_best_are_kept() {
        let mut many: Vec<_> =
            (1..=1000).rev().map(|port| endpoint(&format!("10.0.0.1:{port}"), EndpointKind::Host)).collect();
        many.push(endpoint("198.51.100.1:4500", EndpointKind::Reflexive));
        let kept = addresses(&usable(many));
        assert_eq!(kept.len(), MOST_ENDPOINTS);
        assert_eq!(kept.first().unwrap(), "10.0.0.1:970");
        assert_eq!(kept.last().unwrap(), "198.51.100.1:4500");
    }
}
