use std::time::Duration;

use twinmesh_ike::config::{ConnectionConfig, EncapsulationPolicy, Protocol, Remote};
use twinmesh_ike::wire::{ExchangeType, NotifyType};
use twinmesh_ike::{Command, DeleteReason, Encapsulation, EngineConfig, HalfOpenLimits, IkeError};

use crate::pair::{
    Datagram, Link, Pair, connection, flip, left_address, proposals, psk, right_address, voice,
};

#[test]
fn a_handshake_with_a_pre_shared_key_makes_an_ike_sa_and_its_child() {
    let pair = Pair::established(connection());
    let (left, right) = (&pair.left.established[0], &pair.right.established[0]);
    assert!(left.initiator && !right.initiator);
    assert_eq!(left.remote_identity, "right.example.org");
    assert_eq!(right.remote_identity, "left.example.org");
    assert_eq!(left.proposal, "aes128gcm16-prfsha256-x25519");
    assert_eq!((left.initiator_spi, left.responder_spi), (right.initiator_spi, right.responder_spi));
    let child = &pair.left.children_established[0];
    assert_eq!((child.suite.as_str(), child.keys.inbound.len()), ("aes128gcm16", 20));
    assert_eq!(child.encapsulation, Encapsulation::None);
    assert_eq!(pair.wire.len(), 4, "four messages");
    assert!(pair.left.failures.is_empty() && pair.right.failures.is_empty());
}

#[test]
fn a_handshake_survives_loss_duplication_and_reordering() {
    for seed in 1..200 {
        let left = connection();
        let mut pair = Pair::of(left.clone(), flip(&left), EngineConfig::default(), seed);
        pair.initiate_over_a_bad_link();
        assert_eq!(pair.left.ike.len(), 1, "seed {seed}");
        assert_eq!(pair.right.engine.half_open(), 0);
    }
}

#[test]
fn every_suite_and_group_works() {
    for ike in [
        "aes256gcm16-prfsha384-ecp384",
        "chacha20poly1305-prfsha512-ecp521",
        "aes128-sha256-modp2048",
        "aes192-sha384-ecp256",
        "aes256-sha512-x25519",
        "aes128-sha1-modp1024",
        "3des-sha1-modp1024",
    ] {
        let mut left = connection();
        left.proposals = proposals(Protocol::Ike, ike);
        left.children[0].proposals = proposals(Protocol::Esp, "aes256-sha512");
        let pair = Pair::established(left);
        assert_eq!(pair.left.established[0].proposal, ike);
        assert_eq!(pair.left.children_established[0].keys.inbound.len(), 96);
    }
}

#[test]
fn another_group_is_asked_for_and_given() {
    let mut left = connection();
    left.proposals = proposals(Protocol::Ike, "aes128gcm16-prfsha256-x25519-ecp256");
    let mut right = flip(&left);
    right.proposals = proposals(Protocol::Ike, "aes128gcm16-prfsha256-ecp256");
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.left.established[0].proposal, "aes128gcm16-prfsha256-ecp256");
    assert_eq!(pair.wire.len(), 6);
}

#[test]
fn a_cookie_is_asked_for_and_given_back_before_any_state_is_kept() {
    let left = connection();
    let half_open = HalfOpenLimits { cookie_from: 0, ..HalfOpenLimits::default() };
    let config = EngineConfig { half_open, ..EngineConfig::default() };
    let mut pair = Pair::of(left.clone(), flip(&left), config, 1);
    pair.initiate();
    pair.run(Duration::from_millis(15));
    assert_eq!(pair.right.engine.half_open(), 0);
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!((pair.left.ike.len(), pair.wire.len()), (1, 6));
}

#[test]
fn a_cookie_and_another_group_survive_loss_duplication_and_reordering() {
    for seed in 1..100 {
        let mut left = connection();
        left.proposals = proposals(Protocol::Ike, "aes128gcm16-prfsha256-x25519-ecp256");
        let mut right = flip(&left);
        right.proposals = proposals(Protocol::Ike, "aes128gcm16-prfsha256-ecp256");
        let half_open = HalfOpenLimits { cookie_from: 0, ..HalfOpenLimits::default() };
        let config = EngineConfig { half_open, ..EngineConfig::default() };
        let mut pair = Pair::of(left, right, config, seed);
        pair.initiate_over_a_bad_link();
        assert_eq!(pair.left.ike.len(), 1, "seed {seed}");
    }
}

#[test]
fn trap_6_cookie_and_another_group_come_one_after_the_other() {
    let mut left = connection();
    left.proposals = proposals(Protocol::Ike, "aes128gcm16-prfsha256-x25519-ecp256");
    let mut right = flip(&left);
    right.proposals = proposals(Protocol::Ike, "aes128gcm16-prfsha256-ecp256");
    let half_open = HalfOpenLimits { cookie_from: 0, ..HalfOpenLimits::default() };
    let config = EngineConfig { half_open, ..EngineConfig::default() };
    let mut pair = Pair::of(left, right, config, 1);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.left.ike.len(), 1);
}

#[test]
fn a_wrong_pre_shared_key_is_told_as_failed_authentication_and_no_more() {
    let left = connection();
    let mut right = flip(&left);
    right.credentials = psk("another secret of some length");
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    let told = &pair.left.failures[0].error;
    assert!(matches!(told, IkeError::Refused { notify: NotifyType::AuthenticationFailed, .. }), "{told}");
    let known = pair.right.failures[0].error.to_string();
    assert!(known.contains("pre-shared key"), "{known}");
    assert!(pair.left.ike.is_empty() && pair.right.ike.is_empty());
    pair.run_secs(60);
    pair.assert_at_rest();
}

#[test]
fn without_a_common_proposal_both_users_hear_what_was_offered() {
    let left = connection();
    let mut right = flip(&left);
    right.proposals = proposals(Protocol::Ike, "aes256gcm16-prfsha384-ecp384");
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(10);
    let here = pair.right.failures[0].error.to_string();
    assert!(here.contains("peer proposed aes128gcm16-prfsha256-x25519"), "{here}");
    let there = pair.left.failures[0].error.to_string();
    assert!(there.contains("NO_PROPOSAL_CHOSEN"), "{there}");
}

#[test]
fn trap_31_refused_selectors_leave_the_ike_sa_standing() {
    let left = connection();
    let mut right = flip(&left);
    right.children = vec![{
        let mut other = voice();
        std::mem::swap(&mut other.selectors.local, &mut other.selectors.remote);
        other
    }];
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    assert_eq!((pair.left.ike.len(), pair.right.ike.len()), (1, 1));
    assert!(pair.left.esp.is_empty() && pair.right.esp.is_empty());
    let there = pair.left.failures[0].error.to_string();
    assert!(there.contains("TS_UNACCEPTABLE"), "{there}");
    assert!(matches!(pair.right.failures[0].error, IkeError::Selectors(_)));
}

#[test]
fn selectors_are_narrowed_to_what_both_allow() {
    let left = connection();
    let mut right = flip(&left);
    let narrow = &mut right.children[0].selectors.local[0];
    *narrow = twinmesh_ike::config::TrafficSelector::new(
        "10.2.1.128".parse().unwrap(),
        "10.2.3.255".parse().unwrap(),
    )
    .unwrap();
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    let child = &pair.left.children_established[0];
    assert_eq!(child.remote_ts[0].to_string(), "10.2.1.128/25");
    assert_eq!(pair.right.children_established[0].local_ts, child.remote_ts);
}

#[test]
fn a_peer_that_is_not_there_is_given_up() {
    let mut pair = Pair::new(connection());
    pair.link.loss = 100;
    pair.initiate();
    pair.run_secs(200);
    let error = &pair.left.failures[0].error;
    assert!(matches!(error, IkeError::NoAnswer { exchange: ExchangeType::IkeSaInit, .. }));
    assert_eq!(pair.wire.len(), 6, "sent once, repeated five times");
    assert!(pair.wire.iter().all(|datagram| datagram.bytes == pair.wire[0].bytes), "the same octets");
    assert_eq!(pair.left.engine.poll_timeout(), None);
}

#[test]
fn behind_a_nat_both_ends_move_to_port_4500_and_esp_goes_in_udp() {
    let left = connection();
    let mut right = flip(&left);
    right.remote = Remote::Anywhere;
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.nat = Some("203.0.113.9:20000".parse().unwrap());
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    let (left, right) = (&pair.left.established[0], &pair.right.established[0]);
    assert!(left.nat.local && !left.nat.remote && right.nat.remote && !right.nat.local);
    assert_eq!((left.local.port(), left.remote.port(), right.local.port()), (4500, 4500, 4500));
    assert_eq!(right.remote.to_string(), "203.0.113.9:20450");
    assert_eq!(pair.left.children_established[0].encapsulation, Encapsulation::Udp);
    assert_eq!(pair.right.children_established[0].remote, right.remote);
    let auth = &pair.wire[2].bytes;
    assert_eq!(auth[..4], [0; 4], "the non-ESP marker");
    pair.run_secs(60);
    let keepalives = pair.wire.iter().filter(|datagram| datagram.bytes == [0xff]).count();
    assert_eq!(keepalives, 3);

    // The NAT forgets, and maps anew.
    pair.nat = Some("203.0.113.9:30000".parse().unwrap());
    let ike_sa = pair.left_ike();
    pair.left_does(Command::CheckLiveness { ike_sa });
    pair.run_secs(1);
    assert_eq!(pair.right.moved, ["203.0.113.9:30450".parse().unwrap()]);
    let ike_sa = pair.right_ike();
    pair.right_does(Command::CheckLiveness { ike_sa });
    pair.run_secs(1);
    assert!(pair.wire.last().unwrap().from.to_string().starts_with("203.0.113.9:30"));
}

#[test]
fn without_a_nat_the_policies_of_both_ends_decide_whether_esp_goes_in_udp() {
    use EncapsulationPolicy::{Auto, Raw, Udp};
    for (ours, theirs, expected) in [
        (Auto, Auto, Encapsulation::None),
        (Udp, Auto, Encapsulation::Udp),
        (Auto, Udp, Encapsulation::Udp),
        (Udp, Udp, Encapsulation::Udp),
        (Raw, Auto, Encapsulation::None),
        (Auto, Raw, Encapsulation::None),
        (Raw, Raw, Encapsulation::None),
        // A peer that looks for no NATs knows no UDP encapsulation.
        (Udp, Raw, Encapsulation::None),
        (Raw, Udp, Encapsulation::None),
    ] {
        let left = ConnectionConfig { encapsulation: ours, ..connection() };
        let right = ConnectionConfig { encapsulation: theirs, ..flip(&left) };
        let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
        pair.initiate();
        pair.run_secs(60);
        pair.assert_agreed();
        let port = if expected == Encapsulation::Udp { 4500 } else { 500 };
        for node in [&pair.left, &pair.right] {
            let (sa, child) = (&node.established[0], &node.children_established[0]);
            assert_eq!((child.encapsulation, child.local.port()), (expected, port), "{ours:?} {theirs:?}");
            assert!(!sa.nat.local, "{ours:?} {theirs:?}: nobody is behind a NAT");
        }
        let keeps_alive = pair.wire.iter().any(|datagram| datagram.bytes == [0xff]);
        assert_eq!(keeps_alive, expected == Encapsulation::Udp, "{ours:?} {theirs:?}");
    }
}

#[test]
fn a_connection_that_wants_raw_esp_gets_it_through_a_nat_too() {
    let left = ConnectionConfig { encapsulation: EncapsulationPolicy::Raw, ..connection() };
    let right = ConnectionConfig { remote: Remote::Anywhere, ..flip(&left) };
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.nat = Some("203.0.113.9:20000".parse().unwrap());
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    for node in [&pair.left, &pair.right] {
        assert_eq!(node.children_established[0].encapsulation, Encapsulation::None);
    }
}

#[test]
fn further_children_follow_the_first() {
    let mut left = connection();
    left.children.push(voice());
    let mut pair = Pair::new(left);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    let names: Vec<&str> = pair.left.esp.values().map(|esp| esp.child.as_str()).collect();
    assert_eq!(names, ["lan", "voice"]);
    let names: Vec<&str> = pair.right.esp.values().map(|esp| esp.child.as_str()).collect();
    assert_eq!(names, ["lan", "voice"]);
}

#[test]
fn an_ike_sa_without_children_stands() {
    let mut left = connection();
    left.children.clear();
    let mut pair = Pair::new(left);
    pair.initiate();
    pair.run_secs(1);
    assert_eq!((pair.left.ike.len(), pair.right.ike.len(), pair.left.esp.len()), (1, 1, 0));
}

#[test]
fn a_deleted_ike_sa_takes_its_children_along_at_both_ends() {
    for by_left in [true, false] {
        let mut pair = Pair::established(connection());
        if by_left {
            let ike_sa = pair.left_ike();
            pair.left_does(Command::Terminate { ike_sa });
        } else {
            let ike_sa = pair.right_ike();
            pair.right_does(Command::Terminate { ike_sa });
        }
        pair.run_secs(1);
        let (here, there) = if by_left { (&pair.left, &pair.right) } else { (&pair.right, &pair.left) };
        assert_eq!(here.deleted, [DeleteReason::Requested]);
        assert_eq!(there.deleted, [DeleteReason::ByPeer]);
        assert!(here.esp.is_empty() && there.esp.is_empty());
        // Until nobody may repeat the DELETE any longer.
        pair.run_secs(170);
        pair.assert_at_rest();
    }
}

#[test]
fn a_deleted_child_leaves_the_ike_sa_standing() {
    let mut pair = Pair::established(connection());
    let child_sa = pair.right_child();
    pair.right_does(Command::TerminateChild { child_sa });
    pair.run_secs(1);
    pair.assert_agreed();
    assert!(pair.left.esp.is_empty());
    assert_eq!(pair.left.children_deleted, [DeleteReason::ByPeer]);
    assert_eq!(pair.left.ike.len(), 1);
}

#[test]
fn both_ends_delete_one_child_at_once() {
    let mut pair = Pair::established(connection());
    let (left, right) = (pair.left_child(), pair.right_child());
    pair.left_does(Command::TerminateChild { child_sa: left });
    pair.right_does(Command::TerminateChild { child_sa: right });
    pair.run_secs(1);
    pair.assert_agreed();
    assert!(pair.left.esp.is_empty());
}

#[test]
fn a_dead_peer_is_noticed() {
    let mut left = connection();
    left.dpd_delay = Some(Duration::from_secs(30));
    let mut pair = Pair::established(left);
    pair.run_secs(300);
    assert_eq!(pair.left.ike.len(), 1, "a peer that answers is alive");
    pair.link.loss = 100;
    pair.run_secs(300);
    assert_eq!(pair.left.deleted, [DeleteReason::PeerDead]);
    assert_eq!(pair.left.children_deleted, [DeleteReason::IkeSaGone]);
}

#[test]
fn trap_20_a_peer_that_sends_esp_is_not_asked_for_a_sign_of_life() {
    let mut left = connection();
    left.dpd_delay = Some(Duration::from_secs(30));
    let mut right = flip(&left);
    right.dpd_delay = None;
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    let sent = pair.wire.len();
    for _ in 0..10 {
        let ike_sa = pair.left_ike();
        pair.left_does(Command::Heard { ike_sa });
        pair.run_secs(20);
    }
    assert_eq!(pair.wire.len(), sent);
}

#[test]
fn trap_19_a_peer_that_starts_anew_replaces_what_it_had() {
    let mut pair = Pair::established(connection());
    let fresh = Pair::new(connection());
    pair.left = fresh.left;
    pair.left.dice = crate::pair::Dice::new(99);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.right.deleted, [DeleteReason::Replaced]);
    assert_eq!(pair.right.ike.len(), 1);
}

#[test]
fn trap_3_a_repeated_request_is_answered_by_the_same_octets_and_not_processed_again() {
    let mut pair = Pair::established(connection());
    let before: Vec<Datagram> = pair.wire.clone();
    pair.inject(before[2].clone());
    pair.run_secs(1);
    assert_eq!(pair.wire.len(), 5);
    assert_eq!(pair.wire[4].bytes, before[3].bytes);
    assert_eq!(pair.right.esp.len(), 1);
}

#[test]
fn forged_and_foreign_messages_change_nothing() {
    let mut pair = Pair::established(connection());
    let wire = pair.wire.clone();
    for original in &wire[2..] {
        for at in 0..original.bytes.len() {
            let mut forged = original.clone();
            forged.bytes[at] ^= 1;
            pair.inject(forged);
        }
        for length in 0..original.bytes.len() {
            pair.inject(Datagram { bytes: original.bytes[..length].to_vec(), ..original.clone() });
        }
    }
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 1));
    assert!(pair.left.deleted.is_empty() && pair.right.deleted.is_empty());
}

#[test]
fn a_flood_of_initiators_is_bounded_and_harms_nobody() {
    let mut pair = Pair::established(connection());
    let original = pair.wire[0].clone();
    for number in 0_u32..20_000 {
        let mut forged = original.clone();
        forged.bytes[..4].copy_from_slice(&number.to_be_bytes());
        pair.inject(forged);
    }
    pair.run_secs(1);
    assert!(pair.right.engine.half_open() <= 3, "beyond it cookies are asked for");
    pair.assert_agreed();
    pair.run_secs(60);
    assert_eq!(pair.right.engine.half_open(), 0);
}

#[test]
fn trap_6_a_forged_refusal_does_not_end_an_attempt() {
    let mut pair = Pair::new(connection());
    pair.initiate();
    let spi: [u8; 8] = pair.wire[0].bytes[..8].try_into().unwrap();
    // N(NO_PROPOSAL_CHOSEN) in answer to message 0.
    let mut bytes = [spi.as_slice(), &[0; 8], &[41, 0x20, 34, 0x20], &[0; 4], &[0, 0, 0, 36]].concat();
    bytes.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, 14]);
    let link = pair.link;
    pair.link.delay = Duration::from_millis(1);
    pair.inject(Datagram { from: right_address(), to: left_address(), bytes });
    pair.link = link;
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.left.ike.len(), 1);
}

#[test]
fn a_long_message_goes_in_fragments() {
    let config = EngineConfig { fragment_size: 200, ..EngineConfig::default() };
    let left = connection();
    for seed in 1..100 {
        let mut pair = Pair::of(left.clone(), flip(&left), config.clone(), seed);
        if seed > 1 {
            pair.link = Link { loss: 10, ..Link::BAD };
        }
        pair.initiate();
        pair.run_secs(150);
        pair.link = Link::GOOD;
        pair.run_secs(200);
        pair.assert_agreed();
        if pair.left.ike.is_empty() {
            continue;
        }
        assert!(pair.wire.len() > 4);
        let mut sealed = pair.wire.iter().filter(|datagram| datagram.bytes[18] != 34);
        assert!(sealed.all(|datagram| datagram.bytes.len() <= 172));
    }
}
