//! Additional key exchanges of rekeys and further children: IKE_FOLLOWUP_KE (RFC 9370 §2.2.4).

use std::collections::BTreeSet;
use std::time::Duration;

use twinmesh_ike::config::{ConnectionConfig, Protocol};
use twinmesh_ike::wire::ExchangeType;
use twinmesh_ike::{Command, DeleteReason, EngineConfig, OutboundStart};

use crate::key_exchanges::{hybrid, of_exchange};
use crate::pair::{Link, Pair, connection, flip, proposals, voice};

/// IKE and children with ML-KEM-768.
fn all_hybrid() -> ConnectionConfig {
    let mut left = hybrid();
    left.children[0].proposals = proposals(Protocol::Esp, "aes128gcm16-x25519-ke1_mlkem768");
    left
}

fn with_children(left: &str, right: &str, seed: u64) -> Pair {
    let mut here = connection();
    here.children[0].proposals = proposals(Protocol::Esp, left);
    let mut there = flip(&here);
    there.children[0].proposals = proposals(Protocol::Esp, right);
    let mut pair = Pair::of(here, there, EngineConfig::default(), seed);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.left.esp.len(), 1);
    pair
}

fn rekey_child(pair: &mut Pair, by_left: bool) {
    if by_left {
        let child_sa = pair.left_child();
        pair.left_does(Command::RekeyChild { child_sa });
    } else {
        let child_sa = pair.right_child();
        pair.right_does(Command::RekeyChild { child_sa });
    }
}

fn rekey_ike(pair: &mut Pair, by_left: bool) {
    if by_left {
        let ike_sa = pair.left_ike();
        pair.left_does(Command::RekeyIke { ike_sa });
    } else {
        let ike_sa = pair.right_ike();
        pair.right_does(Command::RekeyIke { ike_sa });
    }
}

/// How many requests of IKE_FOLLOWUP_KE there were.
fn followups(pair: &Pair) -> usize {
    let all = of_exchange(pair, ExchangeType::IkeFollowupKe);
    let requests = all.iter().filter(|datagram| datagram.bytes[19] & 0x20 == 0);
    // By sender, SPIs and message id.
    let id = |bytes: &[u8]| (bytes[..16].to_vec(), bytes[20..24].to_vec());
    requests.map(|datagram| (datagram.from, id(&datagram.bytes))).collect::<BTreeSet<_>>().len()
}

#[test]
fn a_child_is_rekeyed_with_every_combination_of_key_exchanges() {
    let either = "aes128gcm16-x25519-modpnone-ke1_mlkem768-ke1_none";
    for (left, right, expected) in [
        ("aes128gcm16-x25519-ke1_mlkem768", "aes128gcm16-x25519-ke1_mlkem768", 1),
        ("aes256-sha256-ecp256-ke1_mlkem768-ke2_x25519", "aes256-sha256-ecp256-ke2_x25519-ke1_mlkem768", 2),
        (either, either, 1),
        (either, "aes128gcm16-x25519", 0),
        (either, "aes128gcm16", 0),
        ("aes128gcm16-ecp256-x25519-ke1_mlkem768", "aes128gcm16-x25519-ke1_mlkem768", 1),
    ] {
        for by_left in [true, false] {
            let mut pair = with_children(left, right, 1);
            let old = pair.left_child();
            rekey_child(&mut pair, by_left);
            pair.run_secs(1);
            pair.assert_agreed();
            assert_eq!(followups(&pair), expected, "{left} and {right}");
            assert_eq!(pair.left.esp.len(), 1);
            assert!(!pair.left.esp.contains_key(&old));
            let (here, there) = if by_left { (&pair.left, &pair.right) } else { (&pair.right, &pair.left) };
            assert_eq!(here.children_established[1].outbound, OutboundStart::Now);
            assert_eq!(there.children_established[1].outbound, OutboundStart::AfterPeer);
            assert_eq!(there.children_deleted, [DeleteReason::Rekeyed]);
            assert!(here.failures.is_empty() && there.failures.is_empty());
        }
    }
}

#[test]
fn a_child_comes_to_be_with_its_last_key_exchange_and_not_before() {
    let esp = "aes128gcm16-x25519-ke1_mlkem768-ke2_ecp256";
    let mut pair = with_children(esp, esp, 1);
    rekey_child(&mut pair, true);
    // CREATE_CHILD_SA and the first IKE_FOLLOWUP_KE take 40 ms.
    pair.run(Duration::from_millis(45));
    assert_eq!(followups(&pair), 2);
    assert_eq!((pair.left.children_established.len(), pair.right.children_established.len()), (1, 1));
    pair.run(Duration::from_millis(10));
    assert_eq!((pair.left.children_established.len(), pair.right.children_established.len()), (1, 2));
    pair.run(Duration::from_millis(10));
    assert_eq!((pair.left.children_established.len(), pair.right.children_established.len()), (2, 2));
}

#[test]
fn a_further_child_is_made_with_an_additional_key_exchange() {
    let mut left = all_hybrid();
    left.children.push({
        let mut voice = voice();
        voice.proposals = proposals(Protocol::Esp, "aes256gcm16-x25519-ke1_mlkem768");
        voice
    });
    let mut pair = Pair::new(left);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!((pair.left.esp.len(), followups(&pair)), (2, 1), "the first child has none of its own");
    assert_eq!(pair.left.children_established[1].suite, "aes256gcm16");
}

#[test]
fn an_ike_sa_is_rekeyed_with_an_additional_key_exchange_by_either_end() {
    for by_left in [true, false] {
        let mut pair = Pair::established(all_hybrid());
        let (old, child) = (pair.left_ike(), pair.left_child());
        rekey_ike(&mut pair, by_left);
        pair.run_secs(1);
        pair.assert_agreed();
        assert_ne!(pair.left_ike(), old);
        assert_eq!((pair.left.ike.len(), pair.left.rekeyed, pair.right.rekeyed), (1, 1, 1));
        assert_eq!((pair.left_child(), followups(&pair)), (child, 1));
        // The new one works both ways, and is rekeyed in turn.
        rekey_child(&mut pair, !by_left);
        pair.run_secs(1);
        rekey_ike(&mut pair, !by_left);
        pair.run_secs(1);
        rekey_child(&mut pair, by_left);
        pair.run_secs(1);
        pair.assert_agreed();
        assert_eq!((pair.left.esp.len(), pair.left.rekeyed, followups(&pair)), (1, 2, 4));
        assert!(pair.left.failures.is_empty() && pair.right.failures.is_empty());
    }
}

#[test]
fn both_ends_rekey_one_child_at_once_and_only_the_winner_follows_up() {
    let mut winners = BTreeSet::new();
    for seed in 1..40 {
        let esp = "aes128gcm16-x25519-ke1_mlkem768";
        let mut pair = with_children(esp, esp, seed);
        let (left, right) = (pair.left_child(), pair.right_child());
        pair.left_does(Command::RekeyChild { child_sa: left });
        pair.right_does(Command::RekeyChild { child_sa: right });
        pair.run_secs(1);
        pair.assert_agreed();
        assert_eq!((pair.left.esp.len(), followups(&pair)), (1, 1), "seed {seed}");
        assert_eq!(pair.left.children_established.len(), 2, "the loser's never came to be");
        assert!(!pair.left.esp.contains_key(&left));
        winners.insert(pair.left.children_established[1].outbound == OutboundStart::Now);
        pair.run_secs(200);
        pair.assert_at_rest();
    }
    assert_eq!(winners.len(), 2, "each end wins now and then");
}

#[test]
fn both_ends_rekey_one_child_at_once_one_with_and_one_without_a_further_key_exchange() {
    for seed in 1..40 {
        // Each offers what it prefers, and the other's choice decides: the left's offer is taken whole, the right's is not.
        let both = "aes128gcm16-x25519-ke1_mlkem768-ke1_none";
        let mut pair = with_children(both, "aes128gcm16-x25519-ke1_none-ke1_mlkem768", seed);
        let (left, right) = (pair.left_child(), pair.right_child());
        pair.left_does(Command::RekeyChild { child_sa: left });
        pair.right_does(Command::RekeyChild { child_sa: right });
        pair.run_secs(1);
        pair.assert_agreed();
        assert_eq!(pair.left.esp.len(), 1, "seed {seed}");
        assert!(!pair.left.esp.contains_key(&left));
        pair.run_secs(200);
        pair.assert_agreed();
        pair.assert_at_rest();
    }
}

#[test]
fn both_ends_rekey_the_ike_sa_at_once_and_only_the_winner_follows_up() {
    for (seed, theirs) in
        (1..40).map(|seed| (seed, if seed % 2 == 0 { "ke1_none-ke1_mlkem768" } else { "ke1_mlkem768" }))
    {
        let base = "aes128gcm16-prfsha256-x25519";
        let ours = if seed % 2 == 0 { "ke1_mlkem768-ke1_none" } else { "ke1_mlkem768" };
        let left = ConnectionConfig {
            proposals: proposals(Protocol::Ike, &format!("{base}-{ours}")),
            ..connection()
        };
        let mut right = flip(&left);
        right.proposals = proposals(Protocol::Ike, &format!("{base}-{theirs}"));
        let mut pair = Pair::of(left, right, EngineConfig::default(), seed);
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
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.rekeyed), (1, 1), "seed {seed}");
        pair.assert_at_rest();
    }
}

#[test]
fn a_rekey_that_stops_half_way_is_forgotten_and_begun_anew() {
    for ike in [true, false] {
        let mut pair = Pair::established(all_hybrid());
        let (old_ike, old_child) = (pair.left_ike(), pair.left_child());
        if ike {
            rekey_ike(&mut pair, true);
        } else {
            rekey_child(&mut pair, true);
        }
        // The answer to CREATE_CHILD_SA comes, and nothing after it.
        pair.run(Duration::from_millis(19));
        pair.link.loss = 100;
        pair.run(Duration::from_millis(2));
        assert_eq!(followups(&pair), 1);
        pair.run(Duration::from_secs(40));
        pair.link = Link::GOOD;
        pair.run_secs(60);
        pair.assert_agreed();
        assert_eq!(pair.left.ike.len(), 1);
        assert_ne!((pair.left_ike(), pair.left_child()), (old_ike, old_child));
        assert!(followups(&pair) > 1, "from the start");
        assert!(pair.left.failures.is_empty(), "{:?}", pair.left.failures[0].error);
        pair.run_secs(300);
        pair.assert_at_rest();
    }
}

#[test]
fn a_child_deleted_while_its_rekey_is_under_way_is_gone() {
    for wait in [5, 15, 25, 35, 45, 55] {
        for by_right in [true, false] {
            let mut pair =
                with_children("aes128gcm16-x25519-ke1_mlkem768", "aes128gcm16-x25519-ke1_mlkem768", 1);
            let (left, right) = (pair.left_child(), pair.right_child());
            pair.left_does(Command::RekeyChild { child_sa: left });
            pair.run(Duration::from_millis(wait));
            if by_right {
                pair.right_does(Command::TerminateChild { child_sa: right });
            } else {
                pair.left_does(Command::TerminateChild { child_sa: left });
            }
            pair.run_secs(300);
            pair.assert_agreed();
            assert!(!pair.left.esp.contains_key(&left), "after {wait} ms");
            pair.assert_at_rest();
        }
    }
}

#[test]
fn rekeys_with_additional_key_exchanges_survive_a_bad_link() {
    for seed in 1..60 {
        let left = all_hybrid();
        let mut pair = Pair::of(left.clone(), flip(&left), EngineConfig::default(), seed);
        pair.initiate();
        pair.run_secs(1);
        pair.link = Link::BAD;
        let old = pair.left_child();
        rekey_child(&mut pair, seed % 2 == 0);
        pair.run_secs(60);
        rekey_ike(&mut pair, seed % 3 == 0);
        pair.run_secs(60);
        pair.link = Link::GOOD;
        pair.run_secs(300);
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 1), "seed {seed}");
        assert!(!pair.left.esp.contains_key(&old));
        pair.assert_at_rest();
    }
}
