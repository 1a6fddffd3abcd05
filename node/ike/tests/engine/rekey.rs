use std::time::Duration;

use twinmesh_ike::config::{Lifetime, Protocol};
use twinmesh_ike::wire::NotifyType;
use twinmesh_ike::{Command, DeleteReason, EngineConfig, IkeError, OutboundStart};

use crate::pair::{Link, Pair, connection, flip, proposals, voice};

#[test]
fn a_child_is_rekeyed_by_either_end_with_and_without_a_key_exchange_of_its_own() {
    for (by_left, esp) in
        [(true, "aes128gcm16"), (false, "aes256-sha256-ecp256"), (true, "aes128gcm16-x25519")]
    {
        let mut left = connection();
        left.children[0].proposals = proposals(Protocol::Esp, esp);
        let mut pair = Pair::established(left);
        let before: Vec<_> = pair.left.esp.keys().copied().collect();
        if by_left {
            let child_sa = pair.left_child();
            pair.left_does(Command::RekeyChild { child_sa });
        } else {
            let child_sa = pair.right_child();
            pair.right_does(Command::RekeyChild { child_sa });
        }
        pair.run_secs(1);
        pair.assert_agreed();
        assert_eq!(pair.left.esp.len(), 1);
        assert!(pair.left.esp.keys().all(|id| !before.contains(id)), "the old one is gone");
        let (here, there) = if by_left { (&pair.left, &pair.right) } else { (&pair.right, &pair.left) };
        assert_eq!(here.children_established[1].outbound, OutboundStart::Now);
        assert_eq!(there.children_established[1].outbound, OutboundStart::AfterPeer);
        assert!(there.children_established[1].rekeyed.is_some());
        assert_eq!(there.children_deleted, [DeleteReason::Rekeyed]);
        assert_eq!(here.children_deleted, [DeleteReason::Rekeyed]);
    }
}

#[test]
fn another_group_for_a_child_is_asked_for_and_given() {
    let mut left = connection();
    left.children[0].proposals = proposals(Protocol::Esp, "aes128gcm16-x25519-ecp256");
    let mut right = flip(&left);
    right.children[0].proposals = proposals(Protocol::Esp, "aes128gcm16-ecp256");
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    let child_sa = pair.left_child();
    pair.left_does(Command::RekeyChild { child_sa });
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.left.children_established.len(), 2);
    assert_eq!(pair.left.esp.len(), 1);
}

#[test]
fn trap_23_a_setting_of_groups_that_does_not_fit_is_told_and_the_child_in_use_stays() {
    let mut left = connection();
    left.children[0].proposals = proposals(Protocol::Esp, "aes128gcm16-x25519");
    let mut right = flip(&left);
    right.children[0].proposals = proposals(Protocol::Esp, "aes128gcm16");
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    let child_sa = pair.left_child();
    pair.left_does(Command::RekeyChild { child_sa });
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.left_child(), child_sa);
    let told = &pair.left.failures[0].error;
    assert!(
        matches!(told, IkeError::RekeyRefused { notify: NotifyType::NoProposalChosen, pfs: true, .. }),
        "{told}"
    );
    let (told, theirs) = (told.to_string(), pair.right.failures[0].error.to_string());
    assert!(told.contains("differ in PFS") && told.contains("`-modpnone`"), "{told}");
    assert!(theirs.contains("aes128gcm16-x25519"), "{theirs}");

    let right_child = pair.right_child();
    pair.right_does(Command::RekeyChild { child_sa: right_child });
    pair.run_secs(1);
    let told = pair.right.failures[1].error.to_string();
    assert!(told.contains("add the peer's group"), "{told}");
    assert_eq!(pair.right_child(), right_child);
}

#[test]
fn trap_4_both_ends_rekey_one_child_at_once_and_one_new_child_is_left() {
    for seed in 1..50 {
        let left = connection();
        let mut pair = Pair::of(left.clone(), flip(&left), EngineConfig::default(), seed);
        pair.initiate();
        pair.run_secs(1);
        let (left, right) = (pair.left_child(), pair.right_child());
        pair.left_does(Command::RekeyChild { child_sa: left });
        pair.right_does(Command::RekeyChild { child_sa: right });
        pair.run_secs(1);
        pair.assert_agreed();
        assert_eq!(pair.left.esp.len(), 1, "seed {seed}");
        assert!(!pair.left.esp.contains_key(&left));
    }
}

#[test]
fn a_child_that_one_end_deletes_and_the_other_rekeys_is_deleted() {
    let mut pair = Pair::established(connection());
    let (left, right) = (pair.left_child(), pair.right_child());
    pair.left_does(Command::RekeyChild { child_sa: left });
    pair.right_does(Command::TerminateChild { child_sa: right });
    pair.run_secs(100);
    pair.assert_agreed();
    assert!(pair.left.esp.is_empty());
}

#[test]
fn the_ike_sa_is_rekeyed_by_either_end_and_its_children_go_along() {
    for by_left in [true, false] {
        let mut pair = Pair::established(connection());
        let (old_left, old_right, child) = (pair.left_ike(), pair.right_ike(), pair.left_child());
        if by_left {
            pair.left_does(Command::RekeyIke { ike_sa: old_left });
        } else {
            pair.right_does(Command::RekeyIke { ike_sa: old_right });
        }
        pair.run_secs(1);
        pair.assert_agreed();
        assert_ne!(pair.left_ike(), old_left);
        assert_eq!((pair.left.ike.len(), pair.left.rekeyed, pair.right.rekeyed), (1, 1, 1));
        assert_eq!(pair.left_child(), child);
        assert_eq!(pair.left.deleted, [DeleteReason::Rekeyed]);
        assert_eq!(pair.right.deleted, [DeleteReason::Rekeyed]);

        // The new one works both ways.
        let child_sa = pair.right_child();
        pair.right_does(Command::RekeyChild { child_sa });
        pair.run_secs(1);
        let child_sa = pair.left_child();
        pair.left_does(Command::TerminateChild { child_sa });
        pair.run_secs(1);
        pair.assert_agreed();
        assert!(pair.left.esp.is_empty());
    }
}

#[test]
fn trap_4_both_ends_rekey_the_ike_sa_at_once_and_one_is_left() {
    for seed in 1..50 {
        let left = connection();
        let mut pair = Pair::of(left.clone(), flip(&left), EngineConfig::default(), seed);
        pair.initiate();
        pair.run_secs(1);
        let (left, right) = (pair.left_ike(), pair.right_ike());
        pair.left_does(Command::RekeyIke { ike_sa: left });
        pair.right_does(Command::RekeyIke { ike_sa: right });
        pair.run_secs(1);
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 1), "seed {seed}");
        assert_ne!(pair.left_ike(), left);
        pair.run_secs(300);
        pair.assert_at_rest();
    }
}

#[test]
fn a_new_child_that_crosses_a_rekey_of_the_ike_sa_is_made_in_the_end() {
    let mut left = connection();
    left.children.push(voice());
    let mut pair = Pair::new(left);
    pair.left_does(Command::CreateChild { connection: "site".into(), child: "lan".into(), trigger: None });
    pair.run_secs(1);
    assert_eq!(pair.left.esp.len(), 1, "the IKE SA comes with the one child that was asked for");
    let ike_sa = pair.right_ike();
    pair.right_does(Command::RekeyIke { ike_sa });
    pair.left_does(Command::CreateChild { connection: "site".into(), child: "voice".into(), trigger: None });
    pair.run_secs(60);
    pair.assert_agreed();
    assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 2));
    assert!(pair.left.rekeyed == 1 && pair.right.rekeyed == 1, "the rekey was made too");
}

#[test]
fn lifetimes_rekey_everything_in_time_and_nothing_is_lost() {
    let mut left = connection();
    left.lifetime = Lifetime::of(Duration::from_mins(50));
    left.children.push(voice());
    for child in &mut left.children {
        child.lifetime = Lifetime::of(Duration::from_mins(10));
    }
    let mut pair = Pair::new(left);
    pair.link.jitter = Duration::from_millis(200);
    pair.link.loss = 5;
    pair.initiate();
    for _ in 0..24 * 60 {
        pair.run_secs(60);
        let names: std::collections::BTreeSet<&str> =
            pair.left.esp.values().map(|esp| esp.child.as_str()).collect();
        assert_eq!(names.len(), 2, "at {:?}", pair.now - pair.start);
    }
    assert!(pair.left.rekeyed > 20, "{}", pair.left.rekeyed);
    assert!(pair.left.children_established.len() > 2 * 100);
    assert!(pair.left.failures.is_empty(), "{:?}", pair.left.failures);
    pair.link = Link::GOOD;
}

#[test]
fn a_child_past_its_hard_limit_is_deleted() {
    let mut left = connection();
    left.children[0].lifetime =
        Lifetime { rekey: None, jitter: Duration::ZERO, hard: Some(Duration::from_secs(100)) };
    let mut pair = Pair::established(left);
    pair.run_secs(101);
    pair.assert_agreed();
    assert!(pair.left.esp.is_empty());
    assert!(
        pair.left
            .children_deleted
            .iter()
            .chain(&pair.right.children_deleted)
            .all(|reason| { matches!(reason, DeleteReason::Expired | DeleteReason::ByPeer) })
    );
}

#[test]
fn a_rekey_that_needs_its_last_repetition_comes_before_the_hard_limit() {
    let lifetime = Lifetime { jitter: Duration::ZERO, ..Lifetime::of(Duration::from_mins(1)) };
    let mut left = connection();
    left.children[0].lifetime = lifetime;
    left.dpd_delay = None;
    let mut right = flip(&left);
    right.children[0].lifetime = Lifetime::UNLIMITED;
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(59);
    pair.link.loss = 100;
    // The last one goes out 89.6 s after the first.
    pair.run_secs(80);
    let children = (pair.left.children_established.len(), pair.left.esp.len());
    assert_eq!(children, (1, 1), "the old child carries traffic meanwhile");
    pair.link = Link::GOOD;
    pair.run_secs(12);
    pair.assert_agreed();
    assert_eq!((pair.left.children_established.len(), pair.left.esp.len()), (2, 1));
    assert!(pair.left.failures.is_empty(), "{:?}", pair.left.failures);
}

#[test]
fn what_an_sa_has_before_it_can_be_asked() {
    let lifetime = Lifetime { jitter: Duration::ZERO, ..Lifetime::of(Duration::from_secs(1_000)) };
    let mut left = connection();
    left.lifetime = lifetime;
    left.reauth = Some(Duration::from_secs(2_000));
    left.children[0].lifetime = Lifetime { rekey: None, ..lifetime };
    let mut pair = Pair::established(left);
    let start = pair.start;
    let after = |moment: Option<std::time::Instant>| moment.map(|at| (at - start).as_secs());
    let ike = pair.left.engine.ike_schedule(pair.left_ike());
    assert_eq!((after(ike.rekey), after(ike.expiry)), (Some(1_000), Some(1_180)));
    let reauth = after(ike.reauth).unwrap();
    assert!((1_800..=1_900).contains(&reauth), "{reauth}");
    let child = pair.left.engine.child_schedule(pair.left_child());
    assert_eq!((after(child.rekey), after(child.expiry)), (None, Some(1_180)));
    let gone = pair.left_child();
    pair.left_does(Command::TerminateChild { child_sa: gone });
    pair.run_secs(1);
    assert_eq!(pair.left.engine.child_schedule(gone), twinmesh_ike::Schedule::default());
}
