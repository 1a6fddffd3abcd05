//! What one connection sets for itself: childless IKE SAs, retransmission, the size of fragments.

use std::time::Duration;

use twinmesh_ike::config::{Childless, StartAction};
use twinmesh_ike::{EngineConfig, IkeError, Retransmission};

use crate::pair::{Pair, connection, flip, right_address};

/// The CREATE_CHILD_SA requests and answers that crossed the link.
fn create_child_messages(pair: &Pair) -> usize {
    pair.wire.iter().filter(|datagram| datagram.bytes.get(18) == Some(&36)).count()
}

#[test]
fn a_connection_that_prefers_it_makes_its_children_after_ike_auth() {
    for childless in [Childless::Prefer, Childless::Require] {
        let mut left = connection();
        left.childless = childless;
        let pair = Pair::established(left);
        assert_eq!(create_child_messages(&pair), 2, "the only child comes by an exchange of its own");
    }
    assert_eq!(create_child_messages(&Pair::established(connection())), 0);
}

#[test]
fn without_a_word_of_the_responder_the_first_child_comes_with_ike_auth() {
    let mut left = connection();
    let mut right = flip(&left);
    right.childless = Childless::Never;
    left.childless = Childless::Prefer;
    let mut pair = Pair::of(left.clone(), right.clone(), EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!((pair.left.esp.len(), create_child_messages(&pair)), (1, 0));

    left.childless = Childless::Require;
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(20);
    assert!(matches!(pair.left.failures[..], [ref one] if one.error == IkeError::ChildlessUnsupported));
    assert!(pair.left.ike.is_empty() && pair.right.ike.is_empty());
}

#[test]
fn a_responder_that_requires_childless_ike_sas_refuses_a_child_in_ike_auth() {
    let left = connection();
    let mut right = flip(&left);
    right.childless = Childless::Require;
    right.start = StartAction::None;
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    let refused = IkeError::ChildlessRefused { child: true };
    assert!(matches!(pair.right.failures[..], [ref one] if one.error == refused));
    assert!(pair.left.ike.is_empty() && pair.right.ike.is_empty());
}

#[test]
fn a_connection_may_be_more_patient_or_less_than_the_engine() {
    let mut left = connection();
    left.retransmission = Some(Retransmission {
        first: Duration::from_secs(1),
        factor: 10,
        longest: Duration::from_secs(1),
        tries: 2,
    });
    let mut pair = Pair::new(left);
    pair.link.loss = 100;
    pair.initiate();
    pair.run(Duration::from_millis(2999));
    assert!(pair.left.failures.is_empty());
    pair.run(Duration::from_millis(1));
    assert!(matches!(pair.left.failures[..], [ref one] if matches!(one.error, IkeError::NoAnswer { .. })));
    assert_eq!(pair.wire.len(), 3, "the request and two repetitions");
}

#[test]
fn the_size_of_fragments_may_be_a_connections_own_on_either_side() {
    let mut left = connection();
    let mut right = flip(&left);
    left.fragment_size = Some(220);
    right.fragment_size = Some(180);
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.left.esp.len(), 1);
    let longest = |port_of: &crate::pair::Node| {
        let sealed = pair.wire.iter().filter(|it| it.bytes[18] == 35 && it.from.ip() == port_of.address.ip());
        sealed.map(|datagram| datagram.bytes.len() + 28).max().unwrap()
    };
    let (left, right) = (longest(&pair.left), longest(&pair.right));
    assert!((200..=220).contains(&left), "{left}");
    assert!((160..=180).contains(&right), "{right}");
}

#[test]
fn a_responder_answers_at_another_of_its_addresses_if_it_may() {
    for at_any_address in [true, false] {
        let left = connection();
        let mut right = flip(&left);
        right.local.set_ip("198.51.100.9".parse().unwrap());
        right.at_any_address = at_any_address;
        let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
        pair.right.address = right_address();
        pair.initiate();
        pair.run_secs(1);
        pair.assert_agreed();
        let answered: Vec<_> = pair.right.established.iter().map(|link| link.local.ip()).collect();
        let expected = if at_any_address { vec![right_address().ip()] } else { Vec::new() };
        assert_eq!(answered, expected);
    }
}
