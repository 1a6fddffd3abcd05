//! Postquantum preshared keys (RFC 8784).

use twinmesh_ike::auth::PostquantumKey;
use twinmesh_ike::config::ConnectionConfig;
use twinmesh_ike::wire::NotifyType;
use twinmesh_ike::{Command, EngineConfig, HalfOpenLimits, IkeError};

use crate::key_exchanges::hybrid;
use crate::pair::{Link, Pair, connection, flip};

const SECRET: &str = "0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "0xff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn key(id: &str, secret: &str, required: bool) -> PostquantumKey {
    PostquantumKey::new(id, secret, required).unwrap()
}

fn pair_of(left: Option<PostquantumKey>, right: Option<PostquantumKey>) -> Pair {
    let left = ConnectionConfig { ppk: left, ..connection() };
    let right = ConnectionConfig { ppk: right, ..flip(&left) };
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(10);
    pair
}

#[track_caller]
fn assert_up(pair: &Pair, ppk: bool) {
    pair.assert_agreed();
    assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 1));
    assert_eq!((pair.left.established[0].ppk, pair.right.established[0].ppk), (ppk, ppk));
}

/// What each side's user hears.
fn failures(pair: &Pair) -> (String, String) {
    assert!(pair.left.ike.is_empty() && pair.right.ike.is_empty());
    let said = |failures: &[twinmesh_ike::Failed]| {
        failures.iter().map(|failed| failed.error.to_string()).collect::<Vec<_>>().join("; ")
    };
    (said(&pair.left.failures), said(&pair.right.failures))
}

#[test]
fn both_ends_mix_the_same_postquantum_key_into_their_keys() {
    let child_key = |pair: &Pair| pair.left.children_established[0].keys.inbound.to_vec();
    let mut seen = vec![child_key(&Pair::established(connection()))];
    for (left, right) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut pair = pair_of(Some(key("lab", SECRET, left)), Some(key("lab", SECRET, right)));
        assert_up(&pair, true);
        // The generators of both are the same each time: what differs is the key, and NO_PPK_AUTH.
        seen.push(child_key(&pair));
        let (ike_sa, child_sa) = (pair.left_ike(), pair.right_child());
        pair.left_does(Command::RekeyIke { ike_sa });
        pair.run_secs(1);
        pair.right_does(Command::RekeyChild { child_sa });
        pair.run_secs(1);
        pair.assert_agreed();
        assert_eq!((pair.left.rekeyed, pair.left.children_established.len()), (1, 2));
    }
    assert_ne!(seen[0], seen[1]);
    assert!(seen[1..].iter().all(|key| *key == seen[1]));
}

#[test]
fn a_postquantum_key_that_need_not_be_is_left_out_where_the_peer_has_none_or_another() {
    for (left, right) in [
        (Some(key("lab", SECRET, false)), None),
        (None, Some(key("lab", SECRET, false))),
        (Some(key("lab", SECRET, false)), Some(key("home", SECRET, false))),
        (None, None),
    ] {
        assert_up(&pair_of(left, right), false);
    }
}

#[test]
fn a_postquantum_key_that_must_be_is_asked_of_the_peer() {
    // The responder has none, and says so before anybody proves anything.
    let (left, right) = failures(&pair_of(Some(key("lab", SECRET, true)), None));
    assert!(left.contains("uses no postquantum key"), "{left}");
    assert!(right.is_empty(), "{right}");
    // The initiator has none.
    let pair = pair_of(None, Some(key("lab", SECRET, true)));
    let told = &pair.left.failures[0].error;
    assert!(matches!(told, IkeError::Refused { notify: NotifyType::AuthenticationFailed, .. }), "{told}");
    let (_, right) = failures(&pair);
    assert!(right.contains("uses no postquantum key"), "{right}");
    // Another one.
    for (left, right) in [(true, true), (true, false), (false, true)] {
        let (left, right) =
            failures(&pair_of(Some(key("lab", SECRET, left)), Some(key("home", SECRET, right))));
        assert!(left.contains("AUTHENTICATION_FAILED"), "{left}");
        assert!(right.contains("`lab`") && right.contains("`home`"), "{right}");
    }
}

#[test]
fn a_postquantum_key_of_the_same_name_and_another_value_is_refused_and_blamed() {
    for required in [true, false] {
        let (left, right) =
            failures(&pair_of(Some(key("lab", SECRET, required)), Some(key("lab", OTHER, required))));
        assert!(left.contains("AUTHENTICATION_FAILED"), "{left}");
        assert!(right.contains("ppk of `lab`"), "{right}");
    }
}

#[test]
fn a_postquantum_key_goes_with_cookies_and_additional_key_exchanges_over_a_bad_link() {
    for seed in 1..30 {
        let left = ConnectionConfig { ppk: Some(key("lab", SECRET, seed % 2 == 0)), ..hybrid() };
        let half_open = HalfOpenLimits { cookie_from: 0, ..HalfOpenLimits::default() };
        let config = EngineConfig { half_open, ..EngineConfig::default() };
        let mut pair = Pair::of(left.clone(), flip(&left), config, seed);
        pair.link = Link::BAD;
        pair.initiate();
        pair.run_secs(100);
        pair.link = Link::GOOD;
        pair.run_secs(200);
        assert_up(&pair, true);
    }
}
