use proptest::prelude::*;

use super::*;
use crate::crypto::algorithm::{Encryption, Integrity, Prf};
use crate::crypto::keys::SkeySeed;
use crate::crypto::{Group, KeyExchange};

const HEADER: &[u8] = b"the IKE header, and the header of SK";

fn suites() -> Vec<Suite> {
    let beside = || std::iter::once(None).chain(Integrity::ALL.iter().copied().map(Some));
    let pairs =
        Encryption::ALL.iter().flat_map(|&encryption| beside().map(move |integrity| (encryption, integrity)));
    pairs
        .filter_map(|(encryption, integrity)| Suite::new(encryption, integrity, Prf::HmacSha256).ok())
        .collect()
}

fn pair(suite: Suite) -> (Protection, Protection) {
    let mut random = |bytes: &mut [u8]| bytes.fill(7);
    let own = KeyExchange::generate(Group::X25519, &mut random);
    let shared = KeyExchange::respond(Group::X25519, own.public(), &mut random).unwrap().secret;
    let keys =
        SkeySeed::initial(suite.prf(), &shared, b"ni", b"nr").keys(suite, b"ni", b"nr", [1; 8], [2; 8]);
    (Protection::new(suite, &keys, Role::Initiator), Protection::new(suite, &keys, Role::Responder))
}

fn sealed(by: &mut Protection, inner: &[u8]) -> Vec<u8> {
    let mut message = HEADER.to_vec();
    by.seal(&mut message, inner);
    message
}

fn opened(by: &Protection, message: &[u8]) -> Result<Vec<u8>, Forged> {
    by.open(message, HEADER.len()..message.len()).map(|text| text.to_vec())
}

#[test]
fn each_end_opens_what_the_other_sealed_and_not_its_own() {
    assert_eq!(suites().len(), 3 + 4 * 4);
    for suite in suites() {
        let (mut initiator, mut responder) = pair(suite);
        let request = sealed(&mut initiator, b"request");
        let response = sealed(&mut responder, b"response");
        assert_eq!(opened(&responder, &request).as_deref(), Ok(&b"request"[..]));
        assert_eq!(opened(&initiator, &response).as_deref(), Ok(&b"response"[..]));
        assert_eq!(opened(&initiator, &request), Err(Forged));
        assert_eq!(opened(&responder, &response), Err(Forged));
    }
}

/// Made with Python's `cryptography` and `hmac`, from the key exchange on.
#[test]
fn another_implementation_derives_and_seals_the_same() {
    let sha256 = Some(Integrity::HmacSha256);
    for (encryption, integrity, body) in [
        (
            Encryption::Aes128Gcm16,
            None,
            "0000000000000000b083cb748f2955b9f183dc020103874414755f265d8cb609659cb96c9d7bbb",
        ),
        (
            Encryption::ChaCha20Poly1305,
            None,
            "0000000000000000c5d428614a45c95f249272ed586a1ae12adf51e4a64444757313d64536de52",
        ),
        (
            Encryption::Aes256Cbc,
            sha256,
            "d64b92f593e2887d8865e1907cb2f8ca02435ed4763046117a2df7e7298029
             7b9b298693ef075dc2229a696789a53747",
        ),
        (
            Encryption::TripleDesCbc,
            sha256,
            "bbafb474e27a49ba661ac621b87f963e655969102936998b64100605eddcba202a9f77a9d465e76b",
        ),
    ] {
        let (mut initiator, _) = pair(Suite::new(encryption, integrity, Prf::HmacSha256).unwrap());
        assert_eq!(sealed(&mut initiator, b"inner payloads")[HEADER.len()..], crate::crypto::hex(body));
    }
}

#[test]
fn lengths_are_known_before_sealing() {
    for suite in suites() {
        let (mut initiator, responder) = pair(suite);
        for len in 0..50 {
            let message = sealed(&mut initiator, &vec![5; len]);
            assert_eq!(message.len() - HEADER.len(), initiator.sealed_len(len));
            assert_eq!(opened(&responder, &message), Ok(vec![5; len]));
        }
        for body in 0..200 {
            match initiator.capacity(body) {
                Some(most) => {
                    assert!(initiator.sealed_len(most) <= body);
                    assert!(initiator.sealed_len(most + 1) > body);
                }
                None => assert!(initiator.sealed_len(0) > body),
            }
        }
    }
}

#[test]
fn any_changed_bit_and_any_truncation_is_forged() {
    for suite in suites() {
        let (mut initiator, responder) = pair(suite);
        let message = sealed(&mut initiator, b"inner payloads");
        for bit in 0..message.len() * 8 {
            let mut changed = message.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&responder, &changed), Err(Forged));
        }
        for len in HEADER.len()..message.len() {
            assert_eq!(opened(&responder, &message[..len]), Err(Forged));
        }
    }
}

#[test]
fn the_same_text_is_never_sealed_alike() {
    for suite in suites() {
        let (mut initiator, _) = pair(suite);
        assert_ne!(sealed(&mut initiator, b"text"), sealed(&mut initiator, b"text"));
    }
}

#[test]
fn padding_longer_than_the_text_is_refused_though_authentic() {
    let suite = Suite::new(Encryption::Aes128Gcm16, None, Prf::HmacSha256).unwrap();
    let (initiator, responder) = pair(suite);
    let Cipher::Aead(aead) = &initiator.outbound else { unreachable!() };
    let mut message = HEADER.to_vec();
    aead.seal_text(&mut message, 0, vec![1, 2, 3, 4]);
    assert_eq!(opened(&responder, &message), Err(Forged));
    let mut message = HEADER.to_vec();
    aead.seal_text(&mut message, 1, vec![1, 2, 3, 2]);
    assert_eq!(opened(&responder, &message), Ok(vec![1]));
    let mut message = HEADER.to_vec();
    aead.seal_text(&mut message, 2, vec![]);
    assert_eq!(opened(&responder, &message), Err(Forged));
}

proptest! {
    #[test]
    fn garbage_is_forged(message in prop::collection::vec(any::<u8>(), 0..200), start in 0_usize..220, end in 0_usize..220) {
        for suite in suites() {
            let (initiator, _) = pair(suite);
            prop_assert_eq!(initiator.open(&message, start..end).err(), Some(Forged));
        }
    }
}
