//! What this end asks for: the packet that called for a child first, and a child for each pair of subnets where the
//! peer knows no more.

use twinmesh_ike::config::{Narrowing, SelectorPair, TrafficSelector};
use twinmesh_ike::{ChildSaEstablished, Command, IkeError};

use crate::pair::{Node, Pair, connection};

fn subnet(third: u8, site: u8) -> TrafficSelector {
    TrafficSelector::new([10, site, third, 0].into(), [10, site, third, 255].into()).unwrap()
}

/// A TCP packet from a host of the left to one of the right.
fn packet(left: [u8; 4], right: [u8; 4]) -> (TrafficSelector, TrafficSelector) {
    let side = |address: [u8; 4], port| TrafficSelector::host(address.into()).with_protocol(6, port, port);
    (side(left, 40_000), side(right, 443))
}

fn call(pair: &mut Pair, trigger: Option<(TrafficSelector, TrafficSelector)>) {
    pair.left_does(Command::CreateChild { connection: "site".into(), child: "lan".into(), trigger });
    pair.run_secs(1);
    pair.assert_agreed();
}

fn shown(child: &ChildSaEstablished) -> String {
    SelectorPair { local: child.local_ts.clone(), remote: child.remote_ts.clone() }.to_string()
}

fn all_shown(node: &Node) -> Vec<String> {
    node.children_established.iter().map(shown).collect()
}

/// Two subnets on each side of `lan`.
fn two_subnets() -> twinmesh_ike::config::ConnectionConfig {
    let mut left = connection();
    left.children[0].selectors =
        SelectorPair { local: vec![subnet(1, 1), subnet(2, 1)], remote: vec![subnet(1, 2), subnet(2, 2)] };
    left
}

#[test]
fn trap_9_the_packet_that_calls_for_a_child_goes_first() {
    let mut pair = Pair::new(connection());
    call(&mut pair, Some(packet([10, 1, 1, 7], [10, 2, 1, 9])));
    let seen = shown(&pair.left.children_established[0]);
    assert_eq!(seen, "10.1.1.7/32[6/40000], 10.1.1.0/24 === 10.2.1.9/32[6/443], 10.2.1.0/24");
    assert_eq!(pair.right.children_established[0].remote_ts, pair.left.children_established[0].local_ts);

    // It is there now, for this packet and for any other of these subnets.
    call(&mut pair, Some(packet([10, 1, 1, 8], [10, 2, 1, 9])));
    call(&mut pair, None);
    assert_eq!(pair.left.esp.len(), 1);
}

#[test]
fn a_packet_that_an_established_child_does_not_cover_gets_one_of_its_own() {
    let mut left = two_subnets();
    left.quirks.narrowing = Narrowing::SinglePair;
    let mut pair = Pair::new(left);
    call(&mut pair, Some(packet([10, 1, 2, 7], [10, 2, 1, 9])));
    assert_eq!(all_shown(&pair.left), ["10.1.2.0/24 === 10.2.1.0/24"]);
    call(&mut pair, Some(packet([10, 1, 2, 8], [10, 2, 1, 9])));
    assert_eq!(pair.left.esp.len(), 1, "covered");
    call(&mut pair, Some(packet([10, 1, 2, 8], [10, 2, 2, 9])));
    assert_eq!(all_shown(&pair.right)[1..], ["10.2.2.0/24 === 10.1.2.0/24"]);
}

#[test]
fn packets_that_call_while_their_child_is_on_its_way_call_for_no_second_one() {
    for narrowing in [Narrowing::Whole, Narrowing::SinglePair] {
        let mut left = two_subnets();
        left.quirks.narrowing = narrowing;
        let mut pair = Pair::new(left);
        for host in 1..5 {
            let trigger = Some(packet([10, 1, 1, host], [10, 2, 1, 9]));
            pair.left_does(Command::CreateChild { connection: "site".into(), child: "lan".into(), trigger });
        }
        pair.run_secs(1);
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 1), "{narrowing:?}");
    }
}

#[test]
fn a_peer_of_single_pairs_gets_one_child_for_each_pair_of_subnets() {
    let mut left = two_subnets();
    left.quirks.narrowing = Narrowing::SinglePair;
    let mut pair = Pair::new(left);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    let pairs = [
        "10.1.1.0/24 === 10.2.1.0/24",
        "10.1.1.0/24 === 10.2.2.0/24",
        "10.1.2.0/24 === 10.2.1.0/24",
        "10.1.2.0/24 === 10.2.2.0/24",
    ];
    assert_eq!(all_shown(&pair.left), pairs);
    call(&mut pair, None);
    assert_eq!(pair.left.esp.len(), 4, "all are there already");

    // Each is rekeyed with its own selectors.
    let child_sa = *pair.left.esp.keys().nth(2).unwrap();
    pair.left_does(Command::RekeyChild { child_sa });
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.left.esp.len(), 4);
    assert_eq!(shown(pair.left.children_established.last().unwrap()), pairs[2]);
}

#[test]
fn a_packet_of_other_subnets_calls_for_nothing() {
    let mut pair = Pair::new(connection());
    call(&mut pair, Some(packet([10, 9, 9, 7], [10, 2, 1, 9])));
    assert!(pair.wire.is_empty());
    assert!(
        matches!(pair.left.failures[..], [ref one] if matches!(one.error, IkeError::ForeignTrigger { .. }))
    );
}
