//! The prober against NATs of all kinds, over a network that delays and loses, under a clock of its own.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod network;

use std::time::Duration;

use network::{Network, Server};
use proptest::prelude::*;
use twinmesh_path::{Filtering, Mapping, NatClass};

const MAPPINGS: [Mapping; 4] = [
    Mapping::None,
    Mapping::EndpointIndependent,
    Mapping::AddressDependent,
    Mapping::AddressAndPortDependent,
];
const FILTERS: [Filtering; 3] =
    [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];

#[test]
fn every_kind_of_nat_is_told_by_a_server_with_two_addresses() {
    for mapping in MAPPINGS {
        for filtering in FILTERS {
            for hairpin in [false, true] {
                let network = Network { mapping, filtering, hairpin, ..Network::default() };
                let (found, took) = network.measure();
                assert_eq!(found.class(), Some(NatClass::Mapping(mapping)), "{network:?}");
                assert_eq!(found.filtering, Some(filtering), "{network:?}");
                assert_eq!(found.hairpin, (mapping != Mapping::None).then_some(hairpin), "{network:?}");
                assert!(took < Duration::from_secs(4), "{took:?}");
            }
        }
    }
}

#[test]
fn a_server_with_one_address_tells_what_the_port_decides_and_no_more() {
    for mapping in MAPPINGS {
        for filtering in FILTERS {
            let network = Network { mapping, filtering, server: Server::OneAddress, ..Network::default() };
            let (found, _) = network.measure();
            let told = match mapping {
                Mapping::EndpointIndependent | Mapping::AddressDependent => Mapping::PortIndependent,
                Mapping::None | Mapping::PortIndependent | Mapping::AddressAndPortDependent => mapping,
            };
            let let_in = match filtering {
                Filtering::EndpointIndependent | Filtering::AddressDependent => Filtering::PortIndependent,
                Filtering::PortIndependent | Filtering::AddressAndPortDependent => filtering,
            };
            assert_eq!((found.mapping, found.filtering), (Some(told), Some(let_in)), "{network:?}");
        }
    }
}

#[test]
fn a_server_that_answers_from_one_place_only_tells_nothing_of_the_filter() {
    for server in [Server::Stays, Server::Refuses] {
        let network = Network { server, filtering: Filtering::EndpointIndependent, ..Network::default() };
        let (found, _) = network.measure();
        assert_eq!(found.filtering, None, "{network:?}");
        assert_eq!(found.mapping, Some(Mapping::EndpointIndependent), "{network:?}");
    }
    let plain = Network { server: Server::Plain, ..Network::default() };
    let (found, _) = plain.measure();
    assert_eq!((found.class(), found.filtering), (None, None));
    assert!(found.seen.is_some());
}

#[test]
fn where_nothing_answers_udp_is_blocked_and_that_is_known_within_four_seconds() {
    let (found, took) = Network { loss: 100, ..Network::default() }.measure();
    assert_eq!(found.class(), Some(NatClass::UdpBlocked));
    assert_eq!((found.seen, found.mapping, found.filtering, found.hairpin), (None, None, None, None));
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn the_latency_is_that_of_the_way_and_not_of_repetitions() {
    let network = Network { loss: 20, ..Network::default() };
    let best = network.measure().0.servers.first().unwrap().round_trip.unwrap();
    assert!((network::LEAST * 2..=network::MOST * 2).contains(&best), "{best:?}");
}

#[test]
fn a_nat_that_forgets_while_it_is_measured_is_not_given_a_class() {
    let (found, _) = Network { forgets_at: Some(Duration::from_millis(500)), ..Network::default() }.measure();
    assert_eq!(found.mapping, None);
}

fn mappings() -> impl Strategy<Value = Mapping> {
    proptest::sample::select(MAPPINGS.to_vec())
}

fn filters() -> impl Strategy<Value = Filtering> {
    proptest::sample::select(FILTERS.to_vec())
}

proptest! {
    #[test]
    fn loss_may_hide_what_is_true_but_never_tells_what_is_false(
        mapping in mappings(), filtering in filters(), hairpin: bool, loss in 0..=25_u32, seed: u64,
    ) {
        let network = Network { mapping, filtering, hairpin, loss, seed, ..Network::default() };
        let (found, took) = network.measure();
        prop_assert_eq!(found.mapping, Some(mapping));
        prop_assert!(found.filtering.is_none_or(|told| told == filtering), "{:?}", found.filtering);
        prop_assert!(found.hairpin.is_none_or(|told| told == hairpin && mapping != Mapping::None));
        prop_assert!(took < Duration::from_secs(12), "{took:?}");
    }

    #[test]
    fn garbage_and_forged_answers_change_nothing(seed: u64, garbage in proptest::collection::vec(any::<u8>(), 0..80)) {
        let network = Network { seed, forger: Some(garbage), ..Network::default() };
        let (found, _) = network.measure();
        prop_assert_eq!(found.mapping, Some(Mapping::EndpointIndependent));
        prop_assert_eq!(found.filtering, Some(Filtering::AddressAndPortDependent));
    }
}
