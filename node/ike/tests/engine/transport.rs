//! Transport mode: the two ends' own traffic, through NATs too.

use std::net::IpAddr;

use twinmesh_ike::config::{ConnectionConfig, Mode, Remote, SelectorPair, TrafficSelector};
use twinmesh_ike::{ChildSaEstablished, Command, EngineConfig, IkeError, OriginalAddresses};

use crate::pair::{Pair, connection, flip, left_address, right_address};

/// What a NAT makes of the left, and of the right.
const LEFT_OUTSIDE: &str = "203.0.113.9";
const RIGHT_OUTSIDE: &str = "203.0.113.80";

fn host(address: IpAddr) -> Vec<TrafficSelector> {
    vec![TrafficSelector::host(address)]
}

/// Host to host.
fn transport() -> ConnectionConfig {
    let mut left = connection();
    left.children[0].mode = Mode::Transport;
    left.children[0].selectors =
        SelectorPair { local: host(left_address().ip()), remote: host(right_address().ip()) };
    left
}

/// The same, answered by a right that knows neither address: whoever comes is meant.
fn roaming(left: ConnectionConfig) -> Pair {
    let mut right = flip(&left);
    right.remote = Remote::Anywhere;
    right.children[0].selectors = SelectorPair::default();
    Pair::of(left, right, EngineConfig::default(), 1)
}

fn addresses(child: &ChildSaEstablished) -> [IpAddr; 2] {
    let only = |side: &[TrafficSelector]| {
        let [one] = side else { panic!("{side:?}") };
        assert_eq!(one.first(), one.last());
        one.first()
    };
    [only(&child.local_ts), only(&child.remote_ts)]
}

fn original(source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> OriginalAddresses {
    OriginalAddresses { source: source.into(), destination: destination.into() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn without_a_nat_the_selectors_are_the_two_ends() {
    let pair = Pair::established(transport());
    let (left, right) = (left_address().ip(), right_address().ip());
    for (child, ends) in [
        (&pair.left.children_established[0], [left, right]),
        (&pair.right.children_established[0], [right, left]),
    ] {
        assert_eq!((addresses(child), child.mode, child.original), (ends, Mode::Transport, None));
    }
}

#[test]
fn trap_21_behind_a_nat_each_end_learns_what_the_other_writes_into_its_packets() {
    let mut pair = roaming(transport());
    pair.nat = Some(format!("{LEFT_OUTSIDE}:20000").parse().unwrap());
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    let (left, right) = (left_address().ip(), right_address().ip());
    let (ours, theirs) = (&pair.left.children_established[0], &pair.right.children_established[0]);
    assert_eq!((addresses(ours), addresses(theirs)), ([left, right], [right, ip(LEFT_OUTSIDE)]));
    assert_eq!(ours.original, Some(original(right, ip(LEFT_OUTSIDE))));
    assert_eq!(theirs.original, Some(original(left, right)));
}

/// Each behind a NAT of its own.
fn two_nats() -> Pair {
    let mut left = transport();
    let outside = ip(RIGHT_OUTSIDE);
    left.local.set_port(4500);
    // What the NAT calls port 4500.
    left.remote = Remote::At((outside, 30_450).into());
    left.children[0].selectors.remote = host(outside);
    let mut right = flip(&left);
    right.local = (right_address().ip(), 4500).into();
    right.remote = Remote::Anywhere;
    right.children[0].selectors = SelectorPair::default();
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.nat = Some(format!("{LEFT_OUTSIDE}:20000").parse().unwrap());
    pair.right_nat = Some((outside, 30_000).into());
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    pair
}

#[test]
fn trap_21_with_a_nat_before_either_end_both_translate_both_sides() {
    let pair = two_nats();
    let (left, right) = (left_address().ip(), right_address().ip());
    let (ours, theirs) = (&pair.left.children_established[0], &pair.right.children_established[0]);
    assert_eq!(addresses(ours), [left, ip(RIGHT_OUTSIDE)]);
    assert_eq!(addresses(theirs), [right, ip(LEFT_OUTSIDE)]);
    assert_eq!(ours.original, Some(original(right, ip(LEFT_OUTSIDE))));
    assert_eq!(theirs.original, Some(original(left, ip(RIGHT_OUTSIDE))));
}

#[test]
fn trap_21_a_rekey_by_either_end_translates_again() {
    let mut pair = two_nats();
    let seen = |pair: &Pair| {
        [&pair.left, &pair.right].map(|node| {
            let child = node.children_established.last().unwrap();
            (addresses(child), child.original)
        })
    };
    let before = seen(&pair);
    let child_sa = pair.left_child();
    pair.left_does(Command::RekeyChild { child_sa });
    pair.run_secs(1);
    let child_sa = pair.right_child();
    pair.right_does(Command::RekeyChild { child_sa });
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!((pair.left.children_established.len(), pair.left.esp.len()), (3, 1));
    assert_eq!(seen(&pair), before);
}

#[test]
fn protocol_and_ports_are_narrowed_as_ever() {
    let mut left = transport();
    let ssh = |side: &mut Vec<TrafficSelector>| side[0] = side[0].with_protocol(6, 22, 22);
    ssh(&mut left.children[0].selectors.remote);
    let mut pair = roaming(left);
    pair.nat = Some(format!("{LEFT_OUTSIDE}:20000").parse().unwrap());
    pair.initiate();
    pair.run_secs(1);
    let child = &pair.right.children_established[0];
    assert_eq!(child.local_ts[0].to_string(), format!("{}/32[6/22]", right_address().ip()));
    assert_eq!(child.remote_ts[0].to_string(), format!("{LEFT_OUTSIDE}/32"));
}

#[test]
fn an_end_that_wants_transport_mode_takes_no_tunnel_for_it() {
    let left = transport();
    let mut right = flip(&left);
    right.children[0].mode = Mode::Tunnel;
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    assert!(matches!(pair.left.failures[0].error, IkeError::ModeRefused { wanted: "tunnel" }));
    assert!(pair.left.esp.is_empty() && pair.right.esp.is_empty());
    assert_eq!((pair.left.ike.len(), pair.right.ike.len()), (1, 1));
}
