//! What our user reads when it does not work: what was offered, what is allowed here, what to change.

use twinmesh_ike::auth::{AuthError, IdentityError};
use twinmesh_ike::config::{Protocol, Remote, SelectorPair, SelectorsRefused, TrafficSelector};
use twinmesh_ike::wire::{ExchangeType, NotifyType};
use twinmesh_ike::{EngineConfig, IkeError};

use crate::pair::{Datagram, Pair, connection, flip, left_address, proposals, psk, right_address, voice};

fn refused(exchange: ExchangeType, notify: NotifyType) -> IkeError {
    IkeError::Refused { exchange, notify, offered: "THIS".to_owned() }
}

fn subnets(local: &str, remote: &str) -> SelectorPair {
    let one = |address: &str| vec![TrafficSelector::host(address.parse().unwrap())];
    SelectorPair { local: one(local), remote: one(remote) }
}

#[test]
fn each_failure_says_what_was_wanted_and_what_to_change() {
    let remote = "198.51.100.1:4500".parse().unwrap();
    let plain = "198.51.100.1:500".parse().unwrap();
    let six = "[2001:db8::1]:4500".parse().unwrap();
    let (init, auth, create) = (ExchangeType::IkeSaInit, ExchangeType::IkeAuth, ExchangeType::CreateChildSa);
    let selectors = SelectorsRefused {
        offered: subnets("10.1.0.1", "10.2.0.1"),
        allowed: subnets("10.1.0.1", "10.9.0.1"),
    };
    let address = "198.51.100.1".parse().unwrap();
    let table: &[(IkeError, &[&str])] = &[
        (
            IkeError::NoAnswer { exchange: init, remote },
            &["198.51.100.1:4500", "remote = \"198.51.100.1:500\"", "IKEv1"],
        ),
        (IkeError::NoAnswer { exchange: init, remote: six }, &["remote = \"[2001:db8::1]:500\""]),
        (IkeError::NoAnswer { exchange: init, remote: plain }, &["UDP port 500", "IKEv1 only"]),
        (IkeError::NoAnswer { exchange: auth, remote }, &["it is there", "drop 4500", "`fragment_size`"]),
        (IkeError::NoAnswer { exchange: create, remote }, &["it is down"]),
        (refused(init, NotifyType::NoProposalChosen), &["we offered THIS", "at our address", "`proposals`"]),
        (refused(create, NotifyType::NoProposalChosen), &["`proposals` of the child", "-modpnone"]),
        (refused(create, NotifyType::InvalidKePayload), &["another key exchange", "`proposals`"]),
        (
            refused(auth, NotifyType::AuthenticationFailed),
            &["does not say why", "secret", "`local_id`", "`remote_id`"],
        ),
        (refused(auth, NotifyType::TsUnacceptable), &["subnets", "local_ts is its remote_ts"]),
        (refused(create, NotifyType::SinglePairRequired), &["one pair", "`vendor`"]),
        (refused(create, NotifyType::NoAdditionalSas), &["one [[child]]"]),
        (refused(auth, NotifyType::FailedCpRequired), &["remote users"]),
        (refused(init, NotifyType::InvalidMajorVersion), &["IKEv2"]),
        (refused(auth, NotifyType::InvalidSyntax), &["twinmesh debug ike"]),
        (refused(auth, NotifyType::Other(9_000)), &["NotifyType(9000)", "log"]),
        (
            IkeError::GroupRefused { group: 20, offered: "x25519".to_owned() },
            &["ecp384 (number 20)", "(x25519)", "add it"],
        ),
        (
            IkeError::GroupRefused { group: 2, offered: "x25519".to_owned() },
            &["modp1024", "allow_legacy = true"],
        ),
        (IkeError::NoConnection { address }, &["198.51.100.1", "`remote`", "\"any\""]),
        (
            IkeError::NoConnectionForIdentity {
                identity: "a".to_owned(),
                wanted: Some("b".to_owned()),
                address,
                allowed: vec!["c to d".to_owned()],
            },
            &["is a and wants b", "allowed from there: c to d", "`remote_id`"],
        ),
        (
            IkeError::UnexpectedIdentity { identity: "a".to_owned(), expected: "b".to_owned() },
            &["is a;", "expects b", "`remote_id`"],
        ),
        (IkeError::OtherVersion { major: 1 }, &["version 1", "IKEv1 is not supported"]),
        (IkeError::ModeRefused { wanted: "tunnel" }, &["tunnel mode", "`mode`"]),
        (
            IkeError::WidenedSelectors(Box::new(selectors.clone())),
            &["10.2.0.1/32", "10.9.0.1/32", "same subnets"],
        ),
        (
            IkeError::Selectors(Box::new(selectors)),
            &[
                "asked for 10.1.0.1/32 === 10.2.0.1/32",
                "allows 10.1.0.1/32 === 10.9.0.1/32",
                "correct remote_ts here",
            ],
        ),
        (IkeError::Identity(IdentityError::UnsupportedType { id_type: 13 }), &["type 13"]),
        (
            AuthError::PreSharedKeyMismatch { identity: "right".parse().unwrap() }.into(),
            &["the peer right", "another pre-shared key", "`psk`"],
        ),
        (
            AuthError::MethodRefused { method: 14, expected: "a pre-shared key" }.into(),
            &["14 (Digital Signature)", "expects a pre-shared key", "[auth]"],
        ),
        (AuthError::CertificateMissing.into(), &["no certificate", "send one always"]),
        (AuthError::UnsupportedSignature.into(), &["SHA-2", "allow_legacy"]),
        (
            AuthError::IdentityNotInCertificate { identity: "gw".parse().unwrap(), subject: None }.into(),
            &["calls itself gw", "subjectAltName"],
        ),
    ];
    for (error, parts) in table {
        let text = error.to_string();
        for part in *parts {
            assert!(text.contains(part), "no {part:?} in: {text}");
        }
    }
}

/// Runs until the left gives up; the first failure of each.
fn failures(mut pair: Pair) -> (Option<String>, Option<String>) {
    pair.initiate();
    pair.run_secs(10);
    let first = |failures: &[twinmesh_ike::Failed]| failures.first().map(|failed| failed.error.to_string());
    (first(&pair.left.failures), first(&pair.right.failures))
}

#[track_caller]
fn assert_says(text: Option<String>, parts: &[&str]) {
    let text = text.expect("a failure");
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

#[test]
fn a_wrong_secret_tells_the_initiator_who_it_said_it_is_and_the_responder_what_is_wrong() {
    let mut right = flip(&connection());
    right.credentials = psk("another secret of some length");
    let (left, right) = failures(Pair::of(connection(), right, EngineConfig::default(), 1));
    assert_says(left, &["left.example.org by a pre-shared key, to right.example.org", "compare the secret"]);
    assert_says(right, &["the peer left.example.org has another pre-shared key", "`psk`"]);
}

#[test]
fn an_unknown_identity_is_named_with_those_that_are_known() {
    let mut left = connection();
    left.local_identity = "stranger.example.org".parse().unwrap();
    let (told, known) = failures(Pair::of(left, flip(&connection()), EngineConfig::default(), 1));
    assert_says(told, &["AUTHENTICATION_FAILED", "stranger.example.org", "our `local_id`"]);
    assert_says(
        known,
        &[
            "192.0.2.1 says that it is stranger.example.org and wants right.example.org",
            "allowed from there: left.example.org to right.example.org",
        ],
    );
}

#[test]
fn a_responder_of_another_name_is_named_with_the_one_that_was_expected() {
    let mut right = flip(&connection());
    right.local_identity = "other.example.org".parse().unwrap();
    let mut left = connection();
    // So that it is not asked for by name.
    left.remote_identity = "*.example.net".parse().unwrap();
    let (left, right) = failures(Pair::of(left, right, EngineConfig::default(), 1));
    assert_says(
        left,
        &["the peer says that it is other.example.org", "expects *.example.net", "`remote_id`"],
    );
    assert_says(
        right,
        &["AUTHENTICATION_FAILED", "other.example.org by a pre-shared key, to left.example.org"],
    );
}

#[test]
fn selectors_that_do_not_fit_are_named_on_both_sides() {
    let mut right = flip(&connection());
    let mut other = voice();
    std::mem::swap(&mut other.selectors.local, &mut other.selectors.remote);
    right.children = vec![other];
    let (left, right) = failures(Pair::of(connection(), right, EngineConfig::default(), 1));
    assert_says(left, &["TS_UNACCEPTABLE", "for 10.1.1.0/24 === 10.2.1.0/24", "exchanged"]);
    assert_says(
        right,
        &[
            "peer asked for 10.2.1.0/24 === 10.1.1.0/24",
            "allows 10.2.9.0/24 === 10.1.9.0/24",
            "local_ts and remote_ts",
        ],
    );
}

#[test]
fn without_a_common_proposal_each_side_says_what_to_add() {
    let mut right = flip(&connection());
    right.proposals = proposals(Protocol::Ike, "aes256gcm16-prfsha384-ecp384");
    let (left, right) = failures(Pair::of(connection(), right, EngineConfig::default(), 1));
    assert_says(left, &["NO_PROPOSAL_CHOSEN", "aes128gcm16-prfsha256-x25519", "set `proposals` to that"]);
    assert_says(
        right,
        &[
            "peer proposed aes128gcm16-prfsha256-x25519",
            "this site allows aes256gcm16-prfsha384-ecp384",
            "; add \"aes128",
        ],
    );
}

/// The header of an IKEv1 message: INFORMATIONAL, in the clear.
fn version_one(initiator_spi: &[u8]) -> Vec<u8> {
    [initiator_spi, &[0; 8], &[11, 0x10, 5, 0], &[0; 4], &28_u32.to_be_bytes()].concat()
}

#[test]
fn a_peer_that_answers_in_ikev1_is_called_that() {
    let mut pair = Pair::new(connection());
    pair.link.loss = 100;
    pair.initiate();
    pair.link.loss = 0;
    let spi = pair.wire[0].bytes[..8].to_vec();
    let answer = |from| Datagram { from, to: left_address(), bytes: version_one(&spi) };
    pair.inject(answer("203.0.113.9:500".parse().unwrap()));
    pair.run(std::time::Duration::from_millis(100));
    pair.inject(answer(right_address()));
    pair.link.loss = 100;
    pair.run_secs(10);
    assert_eq!(pair.left.failures.len(), 1);
    assert_eq!(pair.left.failures[0].error, IkeError::OtherVersion { major: 1 });
    assert_eq!(pair.left.failures[0].connection.as_deref(), Some("site"));
}

#[test]
fn a_peer_that_begins_in_ikev1_is_called_that_if_it_is_expected_there() {
    let mut pair = Pair::new(connection());
    let begins = |from| Datagram { from, to: right_address(), bytes: version_one(&[7; 8]) };
    pair.inject(begins("203.0.113.9:500".parse().unwrap()));
    pair.run_secs(1);
    assert!(pair.right.failures.is_empty());
    pair.inject(begins(left_address()));
    pair.run_secs(1);
    assert_eq!(pair.right.failures[0].error, IkeError::OtherVersion { major: 1 });
    let mut anywhere = flip(&connection());
    anywhere.remote = Remote::Anywhere;
    let mut pair = Pair::of(connection(), anywhere, EngineConfig::default(), 1);
    pair.inject(begins(left_address()));
    pair.run_secs(1);
    assert!(pair.right.failures.is_empty(), "strangers write no log");
}
