//! Ends that move, NATs that change their mind, and those who only pretend (RFC 4555, RFC 7296 §2.23).

use std::net::SocketAddr;
use std::time::Duration;

use twinmesh_ike::config::{ConnectionConfig, EncapsulationPolicy, Remote};
use twinmesh_ike::wire::{ChainWriter, ExchangeType, Notify, NotifyType, Payload, ProtocolId};
use twinmesh_ike::{Command, DeleteReason, EngineConfig, IkeError};

use crate::pair::{Datagram, Link, Pair, connection, flip};
use crate::scripted::Scripted;

fn mobile() -> ConnectionConfig {
    ConnectionConfig { mobike: true, ..connection() }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Both can make requests, and hold the same.
#[track_caller]
fn assert_well(pair: &mut Pair) {
    let (left, right) = (pair.left_child(), pair.right_ike());
    pair.left_does(Command::RekeyChild { child_sa: left });
    pair.run_secs(1);
    pair.right_does(Command::RekeyIke { ike_sa: right });
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 1));
    assert_eq!((pair.left.rekeyed, pair.right.rekeyed), (1, 1));
    assert!(pair.left.failures.is_empty() && pair.right.failures.is_empty());
}

#[test]
fn with_mobike_both_ends_use_port_4500_from_the_start() {
    let pair = Pair::established(mobile());
    let (left, right) = (&pair.left.established[0], &pair.right.established[0]);
    assert_eq!((left.local.port(), left.remote.port(), right.remote.port()), (4500, 4500, 4500));
    assert!(!left.nat.local && !left.nat.remote);
}

#[test]
fn the_initiator_moves_and_its_ike_sa_and_children_go_along() {
    let mut pair = Pair::established(mobile());
    let child = pair.left_child();
    pair.move_left("192.0.2.77");
    pair.run_secs(1);
    assert_eq!(pair.left.data, Some((at("192.0.2.77:4500"), at("198.51.100.1:4500"))));
    assert_eq!(pair.right.data, Some((at("198.51.100.1:4500"), at("192.0.2.77:4500"))));
    assert_eq!(pair.left_child(), child, "the same SAs");
    assert_well(&mut pair);
    pair.run_secs(300);
    pair.assert_at_rest();
}

#[test]
fn the_responder_moves_and_the_initiator_follows() {
    let mut pair = Pair::established(mobile());
    pair.move_right("198.51.100.77");
    pair.run_secs(1);
    assert_eq!(pair.left.data, Some((at("192.0.2.1:4500"), at("198.51.100.77:4500"))));
    assert_eq!(pair.right.data, Some((at("198.51.100.77:4500"), at("192.0.2.1:4500"))));
    assert_well(&mut pair);
}

#[test]
fn trap_24_traffic_moves_once_the_peer_has_answered_from_its_new_address() {
    let mut pair = Pair::established(mobile());
    let before = pair.right.data;
    pair.move_left("192.0.2.77");
    pair.run(Duration::from_millis(15));
    let sent = pair.wire.last().unwrap();
    assert_eq!(sent.to, at("192.0.2.77:4500"), "IKE goes there at once, with a cookie");
    assert_eq!(pair.right.data, before, "ESP does not");
    pair.run(Duration::from_millis(10));
    assert_eq!(pair.right.data, before);
    pair.run(Duration::from_millis(10));
    assert_eq!(pair.right.data.unwrap().1, at("192.0.2.77:4500"), "after a round trip");
}

#[test]
fn trap_24_a_move_to_an_address_that_never_answers_moves_no_traffic() {
    let mut left = mobile();
    left.dpd_delay = Some(Duration::from_secs(10));
    let mut pair = Pair::established(left);
    let victim = at("203.0.113.66:4500");
    let before = pair.right.data;
    pair.move_left("192.0.2.77");
    // Somebody on the way takes the request and sends it on as if it came from elsewhere.
    let genuine = pair.wire.last().unwrap().clone();
    pair.link.delay = Duration::from_millis(1);
    pair.inject(Datagram { from: victim, ..genuine });
    pair.link = Link::GOOD;
    pair.run(Duration::from_millis(5));
    assert_eq!(pair.wire.last().unwrap().to, victim);
    pair.run_secs(5);
    assert_eq!(pair.right.data, before, "no ESP goes to who did not ask for it");
    // The initiator is told under which address it was seen, and says again where it is.
    pair.run_secs(60);
    assert_eq!(pair.right.data.unwrap().1, at("192.0.2.77:4500"));
    assert!(!pair.right.moved.contains(&victim));
    assert_well(&mut pair);
}

#[test]
fn trap_24_a_wrong_cookie_from_who_did_not_see_the_question_closes_the_ike_sa() {
    for (cookie, stays) in [(None, true), (Some([5; 16]), false)] {
        let mut scripted = Scripted::new(mobile());
        scripted.answer_init();
        let asked = scripted.asked();
        scripted.answer_auth(&asked, |asked, answer| {
            answer.push(&Payload::Notify(Notify::new(NotifyType::MobikeSupported, &[])));
            asked.accept(0x1000, answer);
        });
        let local = "192.0.2.77".parse().unwrap();
        scripted.does(Command::AddressesChanged { connection: "site".into(), local, additional: Vec::new() });
        let asked = scripted.asked();
        let mut answer = ChainWriter::new();
        for payload in asked.payloads() {
            let Payload::Notify(notify) = payload else { continue };
            if notify.kind == NotifyType::Cookie2 {
                let data = cookie.as_ref().map_or(notify.data, |cookie| cookie.as_slice());
                answer.push(&Payload::Notify(Notify::new(NotifyType::Cookie2, data)));
            }
        }
        scripted.answer(&asked, ExchangeType::Informational, &answer.finish().unwrap());
        let deletes = (!scripted.sent.is_empty()).then(|| scripted.asked()).is_some_and(|asked| {
            asked
                .payloads()
                .iter()
                .any(|it| matches!(it, Payload::Delete(it) if it.protocol == ProtocolId::Ike))
        });
        assert_eq!(deletes, !stays);
    }
}

#[test]
fn trap_8_what_was_sent_before_moves_nothing() {
    for left in [connection(), mobile()] {
        let mut right = flip(&left);
        right.remote = Remote::Anywhere;
        let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
        pair.nat = Some("203.0.113.9:20000".parse().unwrap());
        pair.initiate();
        pair.run_secs(1);
        let ike_sa = pair.left_ike();
        pair.left_does(Command::CheckLiveness { ike_sa });
        pair.run_secs(1);
        let before = pair.right.data;
        for old in pair.wire.clone() {
            pair.inject(Datagram { from: at("203.0.113.66:4500"), ..old });
        }
        pair.run_secs(1);
        assert_eq!(pair.right.data, before);
        assert!(pair.right.moved.is_empty());
        let ike_sa = pair.right_ike();
        pair.right_does(Command::CheckLiveness { ike_sa });
        // Behind the NAT.
        assert_eq!(pair.wire.last().unwrap().to, at("192.0.2.1:4500"));
    }
}

#[test]
fn a_sign_of_life_from_behind_a_nat_tells_that_it_maps_anew() {
    let mut left = mobile();
    left.dpd_delay = Some(Duration::from_secs(30));
    let mut right = flip(&left);
    right.dpd_delay = None;
    right.remote = Remote::Anywhere;
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.nat = Some("203.0.113.9:20000".parse().unwrap());
    pair.initiate();
    pair.run_secs(100);
    assert!(pair.right.moved.is_empty(), "a mapping that stays needs no update");
    pair.nat = Some("203.0.113.9:30000".parse().unwrap());
    pair.run_secs(40);
    assert_eq!(pair.right.moved, [at("203.0.113.9:30450")]);
    assert_eq!(pair.right.data.unwrap().1, at("203.0.113.9:30450"));
    assert_well(&mut pair);
}

#[test]
fn an_end_that_moves_behind_a_nat_is_followed_and_esp_goes_in_udp() {
    let mut right = flip(&mobile());
    right.remote = Remote::Anywhere;
    let mut pair = Pair::of(mobile(), right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    pair.nat = Some("203.0.113.9:20000".parse().unwrap());
    pair.move_left("10.9.9.9");
    pair.run_secs(1);
    assert_eq!(pair.right.data.unwrap().1, at("203.0.113.9:20450"));
    assert_eq!(pair.left.encapsulation, Some(twinmesh_ike::Encapsulation::Udp));
    assert_eq!(pair.right.encapsulation, Some(twinmesh_ike::Encapsulation::Udp));
    pair.run_secs(60);
    assert!(pair.wire.iter().any(|datagram| datagram.bytes == [0xff]), "the NAT is kept awake");
    assert_well(&mut pair);
}

/// Both ends behind NATs, and no MOBIKE.
fn behind_nats() -> Pair {
    let mut left = connection();
    left.local.set_port(4500);
    left.remote = Remote::At(at("203.0.113.200:40450"));
    left.dpd_delay = Some(Duration::from_secs(30));
    let mut right = flip(&connection());
    right.remote = Remote::Anywhere;
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.nat = Some(at("203.0.113.9:20000"));
    pair.right_nat = Some(at("203.0.113.200:40000"));
    pair.initiate();
    pair
}

#[test]
fn trap_8_behind_a_nat_a_peer_is_followed_once_it_answers_from_there() {
    let mut pair = behind_nats();
    pair.run_secs(1);
    pair.assert_agreed();
    let (left, right) = (&pair.left.established[0], &pair.right.established[0]);
    assert!(left.nat.local && left.nat.remote && right.nat.local && right.nat.remote);
    // Its NAT forgets: what goes to the old mapping is lost.
    pair.nat = Some(at("203.0.113.9:30000"));
    pair.run_secs(60);
    assert_eq!(pair.right.data.unwrap().1.port() / 10_000, 3, "{:?}", pair.right.data);
    assert_well(&mut pair);
}

#[test]
fn trap_8_behind_a_nat_one_message_with_another_source_moves_nothing() {
    let mut pair = behind_nats();
    pair.run_secs(1);
    let before = pair.right.data;
    let ike_sa = pair.left_ike();
    pair.left_does(Command::CheckLiveness { ike_sa });
    let genuine = pair.wire.last().unwrap().clone();
    pair.link.delay = Duration::from_millis(1);
    pair.inject(Datagram { from: at("203.0.113.66:4500"), ..genuine });
    pair.link = Link::GOOD;
    pair.run_secs(20);
    assert_eq!(pair.right.data, before);
    assert!(pair.right.moved.is_empty());
    assert_well(&mut pair);
}

#[test]
fn another_address_of_the_peer_takes_over_when_the_first_falls_silent() {
    let mut left = mobile();
    left.dpd_delay = Some(Duration::from_secs(30));
    let mut right = flip(&left);
    right.additional_addresses = vec!["198.51.100.1".parse().unwrap(), "203.0.113.20".parse().unwrap()];
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.right.also = vec!["203.0.113.20".parse().unwrap()];
    pair.initiate();
    pair.run_secs(1);
    pair.cut = vec!["198.51.100.1".parse().unwrap()];
    pair.run_secs(120);
    assert_eq!(pair.left.data.unwrap().1, at("203.0.113.20:4500"));
    assert_eq!(pair.right.data, Some((at("203.0.113.20:4500"), at("192.0.2.1:4500"))));
    assert!(pair.left.deleted.is_empty());
    assert_well(&mut pair);
}

#[test]
fn the_list_of_addresses_is_told_anew_when_it_changes() {
    let mut left = mobile();
    left.dpd_delay = Some(Duration::from_secs(30));
    let mut pair = Pair::established(left);
    let sent = pair.wire.len();
    pair.right.also = vec!["203.0.113.20".parse().unwrap()];
    pair.move_right("198.51.100.1");
    pair.run_secs(1);
    assert_eq!(pair.wire.len(), sent + 2, "one exchange");
    pair.move_right("198.51.100.1");
    pair.run_secs(1);
    assert_eq!(pair.wire.len(), sent + 2, "what is known is not said again");
    pair.cut = vec!["198.51.100.1".parse().unwrap()];
    pair.run_secs(120);
    assert_eq!(pair.left.data.unwrap().1, at("203.0.113.20:4500"));
}

#[test]
fn a_peer_without_mobike_is_asked_for_a_sign_of_life_from_the_new_address() {
    let left = mobile();
    let mut right = flip(&left);
    right.mobike = false;
    right.encapsulation = EncapsulationPolicy::Udp;
    let mut left = left;
    left.encapsulation = EncapsulationPolicy::Udp;
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    pair.move_left("192.0.2.77");
    pair.run_secs(1);
    assert_eq!(pair.right.data.unwrap().1, at("192.0.2.77:4500"), "followed as behind a NAT");
    assert_well(&mut pair);
}

#[test]
fn without_nat_traversal_a_nat_on_the_way_is_refused() {
    let mut left = mobile();
    left.encapsulation = EncapsulationPolicy::Raw;
    let mut pair = Pair::established(left.clone());
    pair.move_left("192.0.2.77");
    pair.run_secs(1);
    assert_eq!(pair.right.data.unwrap().1, at("192.0.2.77:500"), "a move needs no NAT traversal");

    pair.nat = Some(at("203.0.113.9:20000"));
    pair.move_left("10.9.9.9");
    pair.run_secs(1);
    let told = &pair.left.failures[0].error;
    let expected = NotifyType::UnexpectedNatDetected;
    assert!(matches!(told, IkeError::MoveRefused { notify, .. } if *notify == expected), "{told}");
    assert_eq!(pair.left.deleted, [DeleteReason::Inconsistent]);
    assert!(pair.right.moved.iter().all(|remote| *remote == at("192.0.2.77:500")));

    let mut right = flip(&left);
    right.remote = Remote::Anywhere;
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.nat = Some(at("203.0.113.9:20000"));
    pair.initiate();
    pair.run_secs(1);
    assert!(pair.left.ike.is_empty() && pair.right.ike.is_empty());
    assert!(matches!(pair.right.failures[0].error, IkeError::UnexpectedNat));
}

#[test]
fn a_move_to_no_single_machine_is_refused() {
    let mut pair = Pair::established(mobile());
    pair.move_left("192.0.2.77");
    let genuine = pair.wire.last().unwrap().clone();
    pair.link.delay = Duration::from_millis(1);
    pair.inject(Datagram { from: at("224.0.0.5:4500"), ..genuine });
    pair.link = Link::GOOD;
    pair.run_secs(10);
    let told = &pair.left.failures[0].error;
    let expected = NotifyType::UnacceptableAddresses;
    assert!(matches!(told, IkeError::MoveRefused { notify, .. } if *notify == expected), "{told}");
}

#[test]
fn a_move_survives_a_bad_link() {
    for seed in 1..100 {
        let left = mobile();
        let mut pair = Pair::of(left.clone(), flip(&left), EngineConfig::default(), seed);
        pair.initiate();
        pair.run_secs(1);
        pair.link = Link::BAD;
        pair.move_left("192.0.2.77");
        pair.run(Duration::from_millis(seed * 10));
        pair.move_left("192.0.2.78");
        pair.run(Duration::from_millis(seed * 7));
        pair.move_left("192.0.2.77");
        pair.run_secs(60);
        pair.link = Link::GOOD;
        pair.run_secs(60);
        pair.assert_agreed();
        assert_eq!(pair.right.data.map(|ends| ends.1), Some(at("192.0.2.77:4500")), "seed {seed}");
        assert_eq!(pair.left.data.map(|ends| ends.0), Some(at("192.0.2.77:4500")), "seed {seed}");
    }
}
