//! Measures how long mappings last, behind a NAT in memory that forgets them.

#[cfg(test)]
mod network;

use std::time::{Duration, Instant};

use proptest::prelude::*;
use twinmesh_path::{LifetimePort, LifetimeProber, MappingLifetime};

use network::{Network, SERVER, Server};

fn found(at_least: Option<u64>, below: Option<u64>) -> MappingLifetime {
    MappingLifetime { at_least: at_least.map(Duration::from_secs), below: below.map(Duration::from_secs) }
}

#[test]
fn a_mapping_is_found_to_last_between_two_of_the_durations() {
    for (seconds, expected) in [
        (5, found(None, Some(10))),
        (15, found(Some(10), Some(20))),
        (45, found(Some(30), Some(60))),
        (150, found(Some(120), Some(180))),
        (600, found(Some(180), None)),
    ] {
        let network = Network { lifetime: Duration::from_secs(seconds), ..Network::default() };
        let (lifetime, took) = network.measure();
        assert_eq!(lifetime, expected);
        let longest = expected.below.or(expected.at_least).unwrap();
        assert!(took < longest + Duration::from_secs(5), "{took:?}: longer mappings are not waited for");
    }
}

#[test]
fn keepalives_come_well_within_the_lifetime() {
    let keepalive = |at_least, below| found(at_least, below).keepalive().map(|every| every.as_secs());
    assert_eq!(keepalive(None, Some(10)), Some(3));
    assert_eq!(keepalive(Some(30), Some(60)), Some(15));
    assert_eq!(keepalive(Some(180), None), Some(45));
    assert_eq!(keepalive(None, None), None);
}

#[test]
fn nothing_is_claimed_where_the_server_cannot_help() {
    for network in [
        Network { server: Server::Plain, ..Network::default() },
        Network { server: Server::Silent, ..Network::default() },
        Network { pooled: true, ..Network::default() },
    ] {
        assert_eq!(network.measure().0, found(None, None), "{network:?}");
    }
}

#[test]
fn answers_from_elsewhere_are_ignored() {
    let now = Instant::now();
    let mut prober = LifetimeProber::new(SERVER, fastrand::Rng::with_seed(1), now);
    let first = prober.poll_transmit().unwrap();
    let (_, answer) = Network::default().answer("203.0.113.1:1".parse().unwrap(), &first.datagram).unwrap();
    prober.handle_datagram(first.from, "192.0.2.9:3478".parse().unwrap(), &answer, now);
    let timeout = prober.poll_timeout();
    prober.handle_datagram(LifetimePort::Silent(99), SERVER, &answer, now);
    assert_eq!(prober.poll_timeout(), timeout, "it still asks");
}

proptest! {
    #[test]
    fn loss_makes_no_lifetime_shorter(seed: u64, loss in 0..=20_u32, seconds in 12..400_u64) {
        let lifetime = Duration::from_secs(seconds);
        let (found, _) = Network { lifetime, loss, seed, ..Network::default() }.measure();
        // The mapping may be a moment older than the silence.
        let slack = Duration::from_secs(5);
        prop_assert!(found.at_least.is_none_or(|lasts| lasts < lifetime + slack), "{found:?}");
        prop_assert!(found.below.is_none_or(|gone| gone + slack > lifetime), "{found:?}");
    }

    #[test]
    fn damaged_answers_never_panic(cut in 0..40_usize, place in 0..32_usize, byte: u8, garbage: Vec<u8>) {
        let now = Instant::now();
        let mut prober = LifetimeProber::new(SERVER, fastrand::Rng::with_seed(1), now);
        let first = prober.poll_transmit().unwrap();
        let (_, mut answer) = Network::default().answer("203.0.113.1:1".parse().unwrap(), &first.datagram).unwrap();
        answer[place] = byte;
        answer.truncate(cut);
        for datagram in [&answer, &garbage] {
            prober.handle_datagram(first.from, SERVER, datagram, now);
            prober.handle_datagram(LifetimePort::Asking, SERVER, datagram, now);
        }
    }
}
