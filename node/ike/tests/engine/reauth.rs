//! A new IKE SA takes the place of the old one, and no traffic waits for it (RFC 7296 §2.8.3).

use std::time::Duration;

use twinmesh_ike::config::ConnectionConfig;
use twinmesh_ike::wire::ExchangeType;
use twinmesh_ike::{Command, DeleteReason, EngineConfig, IkeError};

use crate::pair::{Link, Node, Pair, connection, flip, psk, voice};

fn two_children() -> ConnectionConfig {
    let mut left = connection();
    left.mobike = true;
    left.children.push(voice());
    left
}

fn established(left: &ConnectionConfig, seed: u64) -> Pair {
    let mut pair = Pair::of(left.clone(), flip(left), EngineConfig::default(), seed);
    pair.initiate();
    pair.run_secs(1);
    assert_eq!(pair.left.esp.len(), left.children.len());
    pair
}

fn names(node: &Node) -> Vec<&str> {
    node.esp.values().map(|esp| esp.child.as_str()).collect()
}

/// Runs step by step and sees to it that both children are there at each moment.
#[track_caller]
fn run_and_watch(pair: &mut Pair, span: Duration) {
    let end = pair.now + span;
    while pair.now < end {
        pair.run(Duration::from_millis(5));
        for node in [&pair.left, &pair.right] {
            let names = names(node);
            assert!(names.contains(&"lan") && names.contains(&"voice"), "{names:?}");
        }
    }
}

#[test]
fn either_end_reauthenticates_and_the_old_ike_sa_goes_last() {
    for by_left in [true, false] {
        let mut pair = established(&two_children(), 1);
        let (left, right) = (pair.left_ike(), pair.right_ike());
        if by_left {
            pair.left_does(Command::Reauthenticate { ike_sa: left });
        } else {
            pair.right_does(Command::Reauthenticate { ike_sa: right });
        }
        run_and_watch(&mut pair, Duration::from_secs(10));
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 2));
        assert_ne!(pair.left_ike(), left);
        assert!(pair.left.rekeyed == 0 && pair.right.rekeyed == 0, "it is a new one from scratch");
        let (here, there) = if by_left { (&pair.left, &pair.right) } else { (&pair.right, &pair.left) };
        assert!(here.established[1].initiator && !there.established[1].initiator);
        assert_eq!(here.deleted, [DeleteReason::Rekeyed]);
        assert_eq!(there.deleted.len(), 1);
        assert!(pair.left.failures.is_empty() && pair.right.failures.is_empty());
        pair.run_secs(700);
        pair.assert_at_rest();
    }
}

#[test]
fn both_ends_reauthenticate_at_once_and_one_ike_sa_is_left() {
    for seed in 1..100 {
        let mut pair = established(&two_children(), seed);
        let (left, right) = (pair.left_ike(), pair.right_ike());
        pair.left_does(Command::Reauthenticate { ike_sa: left });
        pair.run(Duration::from_millis(seed % 7 * 5));
        pair.right_does(Command::Reauthenticate { ike_sa: right });
        run_and_watch(&mut pair, Duration::from_secs(100));
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 2), "seed {seed}");
        assert_ne!(pair.left_ike(), left);
        pair.run_secs(700);
        pair.assert_at_rest();
    }
}

#[test]
fn reauthentication_survives_a_bad_link() {
    for seed in 1..100 {
        let mut pair = established(&two_children(), seed);
        let (left, right) = (pair.left_ike(), pair.right_ike());
        pair.link = Link { loss: 10, ..Link::BAD };
        // The original responder too; whoever it is, the left is to say which of two IKE SAs goes.
        if seed % 2 == 0 {
            pair.left_does(Command::Reauthenticate { ike_sa: left });
        } else {
            pair.right_does(Command::Reauthenticate { ike_sa: right });
        }
        run_and_watch(&mut pair, Duration::from_mins(2));
        pair.link = Link::GOOD;
        run_and_watch(&mut pair, Duration::from_secs(200));
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 2), "seed {seed}");
        assert_ne!(pair.left_ike(), left);
    }
}

#[test]
fn it_comes_by_time_and_a_rekey_does_not_put_it_off() {
    let mut left = two_children();
    left.reauth = Some(Duration::from_hours(1));
    let mut pair = established(&left, 1);
    for _ in 0..5 {
        pair.run_secs(8 * 60);
        let ike_sa = pair.left_ike();
        pair.left_does(Command::RekeyIke { ike_sa });
        pair.run_secs(1);
    }
    let authenticated = pair.left.established.len();
    assert_eq!(authenticated, 1);
    run_and_watch(&mut pair, Duration::from_mins(21));
    assert_eq!(pair.left.established.len(), 2);
    assert!(pair.left.established[1].initiator, "the initiator comes first");
    for _ in 0..10 {
        pair.run_secs(60 * 60);
    }
    pair.assert_agreed();
    assert!(pair.left.established.len() >= 11, "{}", pair.left.established.len());
    assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 2));
    assert!(pair.left.failures.is_empty());
}

#[test]
fn who_cannot_prove_it_any_longer_is_cut_off() {
    let mut left = two_children();
    left.reauth = Some(Duration::from_hours(1));
    let mut right = flip(&left);
    right.reauth = None;
    let mut pair = Pair::of(left, right.clone(), EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    right.credentials = psk("another secret of some length");
    pair.right.engine.add_connection(right);
    run_and_watch(&mut pair, Duration::from_mins(58));
    assert_eq!(pair.left.ike.len(), 1, "what was proven holds until then");
    pair.run_secs(10 * 60);
    assert!(!pair.left.failures.is_empty());
    assert_eq!(pair.left.deleted, [DeleteReason::Expired]);
    assert!(pair.left.esp.is_empty() && pair.right.esp.is_empty());
}

#[test]
fn a_peer_that_has_moved_is_authenticated_where_it_is() {
    for by_left in [true, false] {
        let mut pair = established(&two_children(), 1);
        pair.move_left("192.0.2.77");
        pair.run_secs(1);
        let (left, right) = (pair.left_ike(), pair.right_ike());
        if by_left {
            pair.left_does(Command::Reauthenticate { ike_sa: left });
        } else {
            pair.right_does(Command::Reauthenticate { ike_sa: right });
        }
        run_and_watch(&mut pair, Duration::from_secs(10));
        pair.assert_agreed();
        assert_ne!(pair.left_ike(), left);
        assert_eq!(pair.right.data.unwrap().1.to_string(), "192.0.2.77:4500");
    }
}

#[test]
fn while_nobody_answers_the_old_ike_sa_goes_on() {
    let mut pair = established(&two_children(), 1);
    let left = pair.left_ike();
    pair.link.loss = 100;
    pair.left_does(Command::Reauthenticate { ike_sa: left });
    let sent = pair.wire.len();
    pair.left_does(Command::Reauthenticate { ike_sa: left });
    assert_eq!(pair.wire.len(), sent, "one attempt at a time");
    run_and_watch(&mut pair, Duration::from_secs(200));
    let error = &pair.left.failures[0].error;
    assert!(matches!(error, IkeError::NoAnswer { exchange: ExchangeType::IkeSaInit, .. }), "{error}");
    assert_eq!(pair.left_ike(), left);
}
