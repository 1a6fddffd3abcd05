use proptest::prelude::*;

use super::super::Legacy;
use super::*;

fn proposal(protocol: Protocol, text: &str) -> Proposal {
    Proposal::parse(protocol, text, Legacy::Allowed).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn proposals(protocol: Protocol, texts: &[&str]) -> Vec<Proposal> {
    texts.iter().map(|text| proposal(protocol, text)).collect()
}

fn offers(protocol: Protocol, texts: &[&str]) -> Vec<Offer> {
    (1..).zip(proposals(protocol, texts)).map(|(number, proposal)| Offer { number, proposal }).collect()
}

fn ike(offered: &[&str], allowed: &[&str]) -> Result<Choice, NoProposalChosen> {
    select(&offers(Protocol::Ike, offered), &proposals(Protocol::Ike, allowed), KeyExchanges::Negotiated)
}

fn esp(offered: &[&str], allowed: &[&str]) -> Result<Choice, NoProposalChosen> {
    select(&offers(Protocol::Esp, offered), &proposals(Protocol::Esp, allowed), KeyExchanges::Negotiated)
}

#[test]
fn our_preference_decides() {
    let choice = ike(
        &["aes128-aes256-sha256-modp2048-x25519", "aes128gcm16-prfsha256-x25519"],
        &["aes128gcm16-prfsha256-x25519", "aes256-sha256-x25519"],
    )
    .unwrap();
    assert_eq!((choice.number, choice.name().as_str()), (2, "aes128gcm16-prfsha256-x25519"));
    let choice =
        ike(&["aes128-aes256-sha256-modp2048-x25519"], &["aes256-aes128-sha256-x25519-modp2048"]).unwrap();
    assert_eq!((choice.name().as_str(), choice.key_exchange()), ("aes256-sha256-x25519", Some(31)));
    assert_eq!(choice.prf().map(|prf| prf.id), Some(5));
}

#[test]
fn a_child_without_a_key_exchange_agrees_where_both_can_do_without() {
    assert_eq!(esp(&["aes128gcm16"], &["aes128gcm16"]).unwrap().key_exchange(), None);
    assert_eq!(esp(&["aes128gcm16"], &["aes128gcm16-x25519-none"]).unwrap().key_exchange(), None);
    assert_eq!(esp(&["aes128gcm16-x25519-none"], &["aes128gcm16"]).unwrap().key_exchange(), None);
    assert_eq!(esp(&["aes128gcm16-x25519"], &["aes128gcm16-x25519-none"]).unwrap().key_exchange(), Some(31));
    assert!(esp(&["aes128gcm16-x25519"], &["aes128gcm16"]).is_err());
    assert!(esp(&["aes128gcm16"], &["aes128gcm16-x25519"]).is_err());
}

#[test]
fn the_child_of_ike_auth_ignores_key_exchanges() {
    let choose = |offered, allowed| {
        select(&offers(Protocol::Esp, offered), &proposals(Protocol::Esp, allowed), KeyExchanges::Ignored)
    };
    let choice = choose(&["aes256-sha256-modp2048"], &["aes256-sha256-x25519"]).unwrap();
    assert_eq!((choice.suite().as_str(), choice.key_exchange()), ("aes256-sha256", None));
}

#[test]
fn long_sequence_numbers_are_chosen_where_both_want_them() {
    assert!(esp(&["aes128gcm16-esn-noesn"], &["aes128gcm16-esn"]).unwrap().esn());
    assert!(!esp(&["aes128gcm16"], &["aes128gcm16-esn-noesn"]).unwrap().esn());
    assert!(esp(&["aes128gcm16"], &["aes128gcm16-esn"]).is_err());
    // A peer that leaves the transform out, which is against RFC 7296 §3.3.3, means short ones.
    let bare = proposal(Protocol::Esp, "aes128gcm16").transforms().first().copied().unwrap();
    let offer = Offer { number: 1, proposal: Proposal::offered(Protocol::Esp, vec![bare]) };
    let choice =
        select(&[offer], &proposals(Protocol::Esp, &["aes128gcm16"]), KeyExchanges::Negotiated).unwrap();
    assert!(!choice.esn() && choice.transforms() == [bare]);
}

#[test]
fn an_integrity_algorithm_none_beside_a_combined_cipher_is_said_again() {
    let mut transforms = proposal(Protocol::Ike, "aes128gcm16-prfsha256-x25519").transforms().to_vec();
    let none = Transform::new(TransformKind::Integrity, 0);
    transforms.push(none);
    let offer = Offer { number: 1, proposal: Proposal::offered(Protocol::Ike, transforms) };
    let ours = proposals(Protocol::Ike, &["aes128gcm16-prfsha256-x25519"]);
    let choice = select(&[offer], &ours, KeyExchanges::Negotiated).unwrap();
    assert!(choice.transforms().contains(&none));
    assert_eq!(choice.integrity(), None);
    let answer =
        Offer { number: 1, proposal: Proposal::offered(Protocol::Ike, choice.transforms().to_vec()) };
    assert!(check_answer(&answer, &ours, KeyExchanges::Negotiated).is_ok());
}

#[test]
fn a_proposal_with_something_unknown_is_not_chosen() {
    let mut transforms = proposal(Protocol::Ike, "aes128gcm16-prfsha256-x25519").transforms().to_vec();
    transforms.push(Transform::new(TransformKind::Unknown(200), 1));
    let offer = Offer { number: 1, proposal: Proposal::offered(Protocol::Ike, transforms) };
    let ours = proposals(Protocol::Ike, &["aes128gcm16-prfsha256-x25519"]);
    assert!(select(&[offer], &ours, KeyExchanges::Negotiated).is_err());
}

#[test]
fn an_additional_key_exchange_is_refused_unless_the_peer_can_do_without() {
    let with = |rounds: &[u16]| {
        let mut transforms = proposal(Protocol::Ike, "aes256gcm16-prfsha384-x25519").transforms().to_vec();
        transforms
            .extend(rounds.iter().map(|id| Transform::new(TransformKind::AdditionalKeyExchange(1), *id)));
        let offer = Offer { number: 1, proposal: Proposal::offered(Protocol::Ike, transforms) };
        select(
            &[offer],
            &proposals(Protocol::Ike, &["aes256gcm16-prfsha384-x25519"]),
            KeyExchanges::Negotiated,
        )
    };
    assert!(with(&[36]).unwrap_err().to_string().contains("ke1_mlkem768"));
    assert_eq!(with(&[36, 0]).unwrap().key_exchange(), Some(31));
}

#[test]
fn additional_key_exchanges_are_chosen_each_for_itself_and_no_method_twice() {
    let base = "aes256gcm16-prfsha384-x25519";
    let choose = |offered: &str, allowed: &str| {
        let (offered, allowed) = (format!("{base}{offered}"), format!("{base}{allowed}"));
        ike(&[&offered], &[&allowed]).map(|choice| choice.additional_key_exchanges().collect::<Vec<_>>())
    };
    assert_eq!(choose("-ke1_mlkem768", "-ke1_mlkem768-ke1_none"), Ok(vec![36]));
    assert_eq!(choose("-ke1_mlkem768-ke1_none", "-ke1_none-ke1_mlkem768"), Ok(vec![]));
    assert_eq!(choose("-ke1_mlkem768-ke1_none", ""), Ok(vec![]));
    assert!(choose("-ke1_mlkem768", "").is_err());
    assert!(choose("", "-ke1_mlkem768").is_err());
    assert_eq!(choose("-ke2_ecp384-ke7_mlkem768", "-ke7_mlkem768-ke2_ecp384"), Ok(vec![20, 36]));
    // The first choice of one round must leave something to the next.
    let both = "-ke1_mlkem768-ke1_ecp384-ke2_mlkem768";
    assert_eq!(choose(both, both), Ok(vec![20, 36]));
    assert!(choose("-ke1_mlkem768-ke2_mlkem768", "-ke1_mlkem768-ke2_mlkem768").is_err());
    assert!(choose("-ke1_x25519", "-ke1_x25519").is_err(), "the first counts too");
}

#[test]
fn without_a_first_key_exchange_there_is_no_additional_one() {
    let ours = "aes128gcm16-x25519-modpnone-ke1_mlkem768-ke1_none";
    let rounds = |choice: Choice| (choice.key_exchange(), choice.additional_key_exchanges().next());
    assert_eq!(esp(&["aes128gcm16"], &[ours]).map(rounds), Ok((None, None)));
    assert_eq!(esp(&["aes128gcm16-x25519"], &[ours]).map(rounds), Ok((Some(31), None)));
    assert_eq!(esp(&[ours], &[ours]).map(rounds), Ok((Some(31), Some(36))));
    let mut transforms = proposal(Protocol::Esp, "aes128gcm16").transforms().to_vec();
    transforms.push(Transform::new(TransformKind::AdditionalKeyExchange(1), 36));
    let offer = Offer { number: 1, proposal: Proposal::offered(Protocol::Esp, transforms) };
    assert!(
        select(std::slice::from_ref(&offer), &proposals(Protocol::Esp, &[ours]), KeyExchanges::Negotiated)
            .is_err()
    );
    let answer = check_answer(&offer, &proposals(Protocol::Esp, &[ours]), KeyExchanges::Negotiated);
    assert!(matches!(answer, Err(BadAnswer::WithoutFirst(_))));
}

#[test]
fn an_answer_is_one_of_what_was_offered() {
    let ours =
        proposals(Protocol::Ike, &["aes256gcm16-aes128gcm16-prfsha256-x25519", "aes128-sha256-modp2048"]);
    let answer = |number, text: &str| Offer { number, proposal: proposal(Protocol::Ike, text) };
    let check = |answer| check_answer(&answer, &ours, KeyExchanges::Negotiated);
    assert_eq!(check(answer(1, "aes128gcm16-prfsha256-x25519")).unwrap().key_exchange(), Some(31));
    assert_eq!(check(answer(3, "aes128gcm16-prfsha256-x25519")), Err(BadAnswer::Number(3)));
    assert_eq!(check(answer(0, "aes128gcm16-prfsha256-x25519")), Err(BadAnswer::Number(0)));
    assert!(matches!(check(answer(2, "aes128-sha256-modp1024")), Err(BadAnswer::NotOffered(_))));
    assert_eq!(
        check(answer(1, "aes256gcm16-aes128gcm16-prfsha256-x25519")),
        Err(BadAnswer::Twice(TransformKind::Encryption))
    );
    let short = Proposal::offered(
        Protocol::Ike,
        proposal(Protocol::Ike, "aes128gcm16-prfsha256-x25519").of_kind(TransformKind::Encryption).collect(),
    );
    assert_eq!(check(Offer { number: 1, proposal: short }), Err(BadAnswer::Missing(TransformKind::Prf)));
}

#[test]
fn a_refusal_says_what_to_add() {
    let refused = ike(&["aes256-sha1-modp1024"], &["aes128gcm16-prfsha256-x25519"]).unwrap_err().to_string();
    assert_eq!(
        refused,
        "peer proposed aes256-sha1-modp1024; this site allows aes128gcm16-prfsha256-x25519; the nearest two differ \
         in encryption and PRF and integrity and key exchange; add \"aes256-sha1-modp1024\" to `proposals` and mark \
         the site legacy (allow_legacy = true)"
    );
    let refused = ike(
        &["aes128gcm16-prfsha256-modp2048-ecp256"],
        &["aes128gcm16-prfsha256-x25519", "aes256-sha512-x25519"],
    )
    .unwrap_err()
    .to_string();
    assert!(
        refused.contains("differ in key exchange; add \"aes128gcm16-prfsha256-modp2048\" to `proposals`"),
        "{refused}"
    );
    let camellia = Transform { kind: TransformKind::Encryption, id: 23, key_bits: Some(256) };
    let offer = Offer { number: 1, proposal: Proposal::offered(Protocol::Esp, vec![camellia]) };
    let refused = select(&[offer], &proposals(Protocol::Esp, &["aes128gcm16"]), KeyExchanges::Negotiated)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("camellia_256") && refused.contains("nothing of it is supported"), "{refused}");
    assert!(ike(&[], &["aes128gcm16-prfsha256-x25519"]).unwrap_err().to_string().contains("nothing"));
}

/// Transforms as a stranger may send them.
fn any_proposal(protocol: Protocol) -> impl Strategy<Value = Proposal> {
    let id = prop_oneof![0u16..6, Just(12), Just(20), Just(31), Just(14), any::<u16>()];
    let bits = prop_oneof![Just(None), Just(Some(128)), Just(Some(256)), any::<u16>().prop_map(Some)];
    let transform = (0u8..14, id, bits).prop_map(|(kind, id, key_bits)| Transform {
        kind: TransformKind::of_number(kind),
        id,
        key_bits,
    });
    prop::collection::vec(transform, 0..12)
        .prop_map(move |transforms| Proposal::offered(protocol, transforms))
}

proptest! {
    #[test]
    fn what_one_side_chooses_the_other_accepts(
        ours in prop::sample::subsequence(vec![
            "aes128gcm16-prfsha256-x25519", "aes256-aes128-sha256-sha1-modp2048-modp1024",
            "chacha20poly1305-prfsha512-ecp256",
        ], 1..=3),
        theirs in prop::sample::subsequence(vec![
            "aes256gcm16-aes128gcm16-prfsha384-prfsha256-ecp256-x25519", "aes128-sha1-modp1024",
            "chacha20poly1305-prfsha512-ecp256", "aes128-aes256-sha256-modp2048",
        ], 1..=4),
    ) {
        let offered = proposals(Protocol::Ike, &theirs);
        if let Ok(choice) = ike(&theirs, &ours) {
            let answer = Offer {
                number: choice.number,
                proposal: Proposal::offered(Protocol::Ike, choice.transforms().to_vec()),
            };
            let checked = check_answer(&answer, &offered, KeyExchanges::Negotiated);
            prop_assert_eq!(checked, Ok(choice));
        }
    }

    #[test]
    fn nothing_that_a_stranger_proposes_makes_trouble(
        offered in prop::collection::vec(any_proposal(Protocol::Esp), 0..5),
        number in any::<u8>(),
    ) {
        let ours = Proposal::defaults(Protocol::Esp);
        let offers: Vec<Offer> =
            offered.iter().map(|proposal| Offer { number, proposal: proposal.clone() }).collect();
        for exchanges in [KeyExchanges::Negotiated, KeyExchanges::Ignored] {
            match select(&offers, &ours, exchanges) {
                Ok(choice) => prop_assert!(choice.encryption().is_some_and(Transform::is_known)),
                Err(refused) => prop_assert!(refused.to_string().starts_with("peer proposed")),
            }
            for offer in &offers {
                let _ = check_answer(offer, &ours, exchanges);
            }
        }
    }
}
