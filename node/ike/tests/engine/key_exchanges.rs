//! Additional key exchanges in the first handshake: IKE_INTERMEDIATE (RFC 9242, RFC 9370).

use std::time::Duration;

use twinmesh_ike::config::{ConnectionConfig, Protocol};
use twinmesh_ike::wire::{ExchangeType, NotifyType};
use twinmesh_ike::{EngineConfig, HalfOpenLimits, IkeError};

use crate::pair::{Datagram, Pair, connection, flip, proposals};

pub(crate) const HYBRID: &str = "aes128gcm16-prfsha256-x25519-ke1_mlkem768";

pub(crate) fn hybrid() -> ConnectionConfig {
    ConnectionConfig { proposals: proposals(Protocol::Ike, HYBRID), ..connection() }
}

/// Datagrams of an exchange. No NAT, so no marker before the header.
pub(crate) fn of_exchange(pair: &Pair, exchange: ExchangeType) -> Vec<&Datagram> {
    pair.wire.iter().filter(|datagram| datagram.bytes.get(18) == Some(&exchange.into())).collect()
}

#[test]
fn ml_kem_is_mixed_into_the_keys_before_anybody_says_who_they_are() {
    let pair = Pair::established(hybrid());
    assert_eq!(pair.left.established[0].proposal, HYBRID);
    assert_eq!(pair.right.established[0].proposal, HYBRID);
    let intermediate = of_exchange(&pair, ExchangeType::IkeIntermediate);
    assert_eq!(intermediate.len(), 3, "1184 bytes take two fragments, 1088 one message");
    assert!(intermediate.iter().all(|datagram| datagram.bytes.len() <= 1280 - 28));
    assert_eq!(pair.wire.last().unwrap().bytes[18], u8::from(ExchangeType::IkeAuth));
    let reference = Pair::established(connection());
    let key = |pair: &Pair| pair.left.children_established[0].keys.inbound.to_vec();
    assert_ne!(key(&pair), key(&reference));
}

#[test]
fn as_many_key_exchanges_as_are_agreed_upon_follow_one_another() {
    let rounds = "aes256-sha384-ecp256-ke1_mlkem768-ke1_none-ke2_ecp384-ke3_modp2048-ke5_none-ke7_x25519";
    let left = ConnectionConfig { proposals: proposals(Protocol::Ike, rounds), ..connection() };
    let mut right = flip(&left);
    right.proposals = proposals(
        Protocol::Ike,
        "aes256-sha384-ecp256-ke1_mlkem768-ke2_ecp521-ke2_ecp384-ke3_modp2048-ke7_ecp521-ke7_x25519",
    );
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(
        pair.left.established[0].proposal,
        "aes256-sha384-ecp256-ke1_mlkem768-ke2_ecp384-ke3_modp2048-ke5_none-ke7_x25519"
    );
    let message_id = |datagram: &Datagram| u32::from_be_bytes(datagram.bytes[20..24].try_into().unwrap());
    let ids: std::collections::BTreeSet<u32> =
        of_exchange(&pair, ExchangeType::IkeIntermediate).into_iter().map(message_id).collect();
    assert_eq!(ids, (1..=4).collect(), "four exchanges");
}

#[test]
fn an_additional_key_exchange_survives_loss_duplication_and_reordering() {
    for seed in 1..150 {
        let left = hybrid();
        let mut pair = Pair::of(left.clone(), flip(&left), EngineConfig::default(), seed);
        pair.initiate_over_a_bad_link();
        assert_eq!(pair.left.ike.len(), 1, "seed {seed}");
        assert_eq!(pair.right.engine.half_open(), 0);
    }
}

#[test]
fn a_peer_that_cannot_do_it_gets_the_proposal_without() {
    let without = "aes128gcm16-prfsha256-x25519";
    for (ours, theirs) in [
        (format!("{HYBRID},{without}"), without),
        (format!("{HYBRID}-ke1_none"), without),
        (without.into(), HYBRID),
    ] {
        let left = ConnectionConfig { proposals: proposals(Protocol::Ike, &ours), ..connection() };
        let mut right = flip(&left);
        right.proposals = proposals(Protocol::Ike, theirs);
        let can = ours != without;
        let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
        pair.initiate();
        pair.run_secs(10);
        pair.assert_agreed();
        assert_eq!(pair.left.ike.len(), usize::from(can));
        assert!(of_exchange(&pair, ExchangeType::IkeIntermediate).is_empty());
        if !can {
            let here = pair.right.failures[0].error.to_string();
            assert!(here.contains("additional key exchange"), "{here}");
        }
    }
}

#[test]
fn a_cookie_and_another_group_come_before_the_additional_key_exchange() {
    let left = ConnectionConfig {
        proposals: proposals(Protocol::Ike, "aes128gcm16-prfsha256-x25519-ecp256-ke1_mlkem768"),
        ..connection()
    };
    let mut right = flip(&left);
    right.proposals = proposals(Protocol::Ike, "aes128gcm16-prfsha256-ecp256-ke1_mlkem768");
    let half_open = HalfOpenLimits { cookie_from: 0, ..HalfOpenLimits::default() };
    let config = EngineConfig { half_open, ..EngineConfig::default() };
    let mut pair = Pair::of(left, right, config, 1);
    pair.initiate();
    pair.run_secs(1);
    pair.assert_agreed();
    assert_eq!(pair.left.established[0].proposal, "aes128gcm16-prfsha256-ecp256-ke1_mlkem768");
}

#[test]
fn a_repeated_request_is_answered_by_the_same_octets_though_the_keys_have_changed() {
    for (repeated, answers) in [(0, 2), (1, 1)] {
        let mut pair = Pair::new(hybrid());
        pair.initiate();
        // Until both parts of the request are there, and its answer is on its way.
        pair.run(Duration::from_millis(35));
        let sent: Vec<Datagram> =
            of_exchange(&pair, ExchangeType::IkeIntermediate).into_iter().cloned().collect();
        assert_eq!(sent.len(), 3, "a request in two parts, and its answer");
        pair.inject(sent[repeated].clone());
        pair.run_secs(1);
        let same = pair.wire.iter().filter(|datagram| datagram.bytes == sent[2].bytes).count();
        assert_eq!(same, answers, "the first fragment alone is answered again");
        pair.assert_agreed();
        assert_eq!(pair.left.ike.len(), 1);
    }
}

#[test]
fn a_downgrade_to_fewer_key_exchanges_is_noticed() {
    let left = ConnectionConfig {
        proposals: proposals(Protocol::Ike, &format!("{HYBRID}-ke1_none")),
        ..connection()
    };
    let mut pair = Pair::new(left);
    pair.initiate();
    pair.link.loss = 100;
    pair.run(Duration::from_millis(15));
    pair.link.loss = 0;
    // Somebody in between changes the responder's choice of ADDKE1 from ML-KEM-768 to NONE.
    let mut answer = pair.wire[1].clone();
    let transform = [0, 8, 6, 0, 0, 36];
    let at = answer.bytes.windows(6).position(|it| it == transform).expect("the transform");
    answer.bytes[at + 5] = 0;
    pair.inject(answer);
    pair.run_secs(1);
    assert!(pair.left.ike.is_empty() && pair.right.ike.is_empty());
    let missing = &pair.right.failures[0].error;
    assert!(matches!(missing, IkeError::Missing { exchange: ExchangeType::IkeAuth, .. }), "{missing}");
    let told = &pair.left.failures[0].error;
    assert!(matches!(told, IkeError::Refused { notify: NotifyType::InvalidSyntax, .. }), "{told}");
}

#[test]
fn an_initiator_that_stops_half_way_is_forgotten() {
    let mut pair = Pair::new(hybrid());
    pair.initiate();
    pair.run(Duration::from_millis(35));
    pair.link.loss = 100;
    assert_eq!(pair.right.engine.half_open(), 1);
    pair.run_secs(200);
    assert_eq!(pair.right.engine.half_open(), 0);
    assert_eq!(pair.right.engine.poll_timeout(), None);
    let silent = &pair.left.failures[0].error;
    assert!(matches!(silent, IkeError::NoAnswer { exchange: ExchangeType::IkeAuth, .. }), "{silent}");
}
