//! Of two IKE SAs with one peer one is left, and the traffic never stops.

use std::time::Duration;

use twinmesh_ike::config::{ConnectionConfig, Uniqueness};
use twinmesh_ike::{Command, DeleteReason, EngineConfig, IkeError, Retransmission};

use crate::pair::{Link, Pair, connection, flip, voice};

fn both_children() -> ConnectionConfig {
    let mut left = connection();
    left.children.push(voice());
    left
}

fn initiate() -> Command {
    Command::Initiate { connection: "site".into() }
}

/// Whether traffic of this child passes, both ends having the same SAs for it.
fn passes(pair: &Pair, child: &str) -> bool {
    let left = pair.left.esp.values().filter(|esp| esp.child == child);
    left.into_iter().any(|here| {
        pair.right.esp.values().any(|there| here.inbound == there.outbound && here.outbound == there.inbound)
    })
}

/// Once a child passes it goes on to do so.
fn run_without_outage(pair: &mut Pair, tenths: u32) {
    let mut passed = [false; 2];
    for _ in 0..tenths {
        pair.run(Duration::from_millis(100));
        for (child, passed) in ["lan", "voice"].into_iter().zip(&mut passed) {
            let passes = passes(pair, child);
            assert!(passes || !*passed, "{child} is gone");
            *passed = passes;
        }
    }
    assert_eq!(passed, [true; 2], "both children came up");
}

#[test]
fn both_ends_begin_at_once_and_one_ike_sa_is_left_without_an_outage() {
    let left = both_children();
    for seed in 0..60 {
        let mut pair = Pair::of(left.clone(), flip(&left), EngineConfig::default(), seed);
        pair.link.jitter = Duration::from_millis(20 * (seed % 5));
        pair.left_does(initiate());
        pair.run(Duration::from_millis(7 * (seed % 9)));
        pair.right_does(initiate());
        run_without_outage(&mut pair, 1000);
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 2), "{seed}");
    }
}

#[test]
fn both_ends_begin_at_once_over_a_bad_link() {
    let mut left = both_children();
    // A peer that is only badly heard is not dead.
    left.retransmission = Some(Retransmission { tries: 30, ..Retransmission::default() });
    for seed in 0..60 {
        let mut pair = Pair::of(left.clone(), flip(&left), EngineConfig::default(), 100 + seed);
        pair.link = Link::BAD;
        pair.left_does(initiate());
        pair.right_does(initiate());
        pair.run_secs(200);
        pair.link = Link::GOOD;
        pair.run_secs(400);
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 2), "{seed}");
    }
}

#[test]
fn without_children_too_one_ike_sa_is_left() {
    let mut left = connection();
    left.children.clear();
    for seed in 0..60 {
        let mut pair = Pair::of(left.clone(), flip(&left), EngineConfig::default(), 200 + seed);
        pair.link.jitter = Duration::from_millis(20 * (seed % 5));
        pair.left_does(initiate());
        pair.run(Duration::from_millis(7 * (seed % 9)));
        pair.right_does(initiate());
        pair.run_secs(100);
        pair.assert_agreed();
        assert_eq!(pair.left.ike.len(), 1, "{seed}");
        let (left, right) = (pair.left_ike(), pair.right_ike());
        pair.left_does(Command::Reauthenticate { ike_sa: left });
        pair.run(Duration::from_millis(7 * (seed % 9)));
        pair.right_does(Command::Reauthenticate { ike_sa: right });
        pair.run_secs(100);
        pair.assert_agreed();
        assert_eq!(pair.left.ike.len(), 1, "{seed}");
        assert_ne!(pair.left_ike(), left);
    }
}

#[test]
fn a_newer_ike_sa_takes_the_place_of_an_older_one_whoever_begins_it() {
    for by_left in [true, false] {
        let left = both_children();
        let mut pair = Pair::new(left);
        pair.initiate();
        pair.run_secs(20);
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 2));
        let old = pair.left_ike();
        if by_left {
            pair.left_does(initiate());
        } else {
            pair.right_does(initiate());
        }
        run_without_outage(&mut pair, 1000);
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 2));
        assert_ne!(pair.left_ike(), old);
    }
}

#[test]
fn a_connection_may_keep_the_older_ike_sa_or_all_of_them() {
    let left = both_children();
    let mut right = flip(&left);
    right.uniqueness = Uniqueness::Keep;
    let mut pair = Pair::of(left.clone(), right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(20);
    let old = pair.left_ike();
    pair.left_does(initiate());
    pair.run_secs(20);
    assert_eq!((pair.left.ike.as_slice(), pair.left.esp.len()), ([old].as_slice(), 2));
    assert!(matches!(pair.right.failures[..], [ref one] if matches!(one.error, IkeError::Duplicate { .. })));
    pair.assert_agreed();

    let mut left = left;
    left.uniqueness = Uniqueness::Multiple;
    let mut pair = Pair::new(left);
    pair.initiate();
    pair.run_secs(20);
    pair.right_does(initiate());
    pair.run_secs(60);
    pair.assert_agreed();
    assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (2, 4));
}

#[test]
fn trap_19_an_initial_contact_that_comes_late_forgets_nothing_that_is_newer() {
    let left = connection();
    let mut pair = Pair::of(left.clone(), flip(&left), EngineConfig::default(), 1);
    pair.left_does(initiate());
    pair.right_does(initiate());
    // Up to the IKE_AUTH requests of both, with INITIAL_CONTACT; the right's is lost and comes again after four seconds.
    pair.run(Duration::from_millis(25));
    pair.lose(|datagram| datagram.from == crate::pair::right_address());
    pair.run_secs(3);
    assert_eq!((pair.left.ike.len(), pair.right.ike.len()), (1, 1), "what the left began");
    pair.run_secs(100);
    pair.assert_agreed();
    assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 1));
    assert!(!pair.left.deleted.contains(&DeleteReason::Replaced), "{:?}", pair.left.deleted);
}
