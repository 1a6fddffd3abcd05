use super::identity::hexadecimal;
use super::scheme::{Scheme, Sha2};
use super::*;

const VECTORS: &str = include_str!("../../../tests/keys/signatures.txt");
const OCTETS: &[u8] = b"signed octets";

fn vectors() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    VECTORS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let [key, scheme, signature] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("three fields")
        };
        (key, scheme, hexadecimal(signature).expect("digits"))
    })
}

fn scheme(name: &str) -> Option<Scheme> {
    let (kind, bits) = name.split_once('-').unwrap_or((name, "256"));
    let sha2 = match bits {
        "256" => Sha2::Sha256,
        "384" => Sha2::Sha384,
        "512" => Sha2::Sha512,
        _ => return None,
    };
    match kind {
        "pkcs1" => Some(Scheme::RsaPkcs1(sha2)),
        "pss" => Some(Scheme::RsaPss(sha2)),
        "ecdsa" => Some(Scheme::Ecdsa(sha2)),
        _ => Some(Scheme::Ed25519),
    }
}

#[test]
fn signatures_by_openssl_are_verified_in_the_format_of_rfc_7427() {
    let mut seen = 0;
    for (key, name, signature) in vectors() {
        let Some(scheme) = scheme(name) else { continue };
        let identifier = scheme.algorithm_identifier();
        let length = u8::try_from(identifier.len()).expect("a short identifier");
        let data = [&[length], identifier.as_slice(), &signature].concat();
        assert_eq!(
            public_key(key).verify(14, &data, OCTETS, Sha1Signatures::Refused),
            Ok(()),
            "{key} {name}"
        );
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[test]
fn trap_14_sha1_is_verified_in_method_1_only_where_it_is_accepted() {
    let (key, _, signature) = vectors().find(|(_, name, _)| *name == "pkcs1-1").expect("the vector");
    let verify = |method, data: &[u8], sha1| public_key(key).verify(method, data, OCTETS, sha1);
    assert_eq!(verify(1, &signature, Sha1Signatures::Refused), Err(AuthError::BadSignature));
    assert_eq!(verify(1, &signature, Sha1Signatures::Accepted), Ok(()));
    let sha1_with_rsa = hexadecimal("300d06092a864886f70d0101050500").expect("digits");
    let data = [&[15], sha1_with_rsa.as_slice(), &signature].concat();
    assert_eq!(verify(14, &data, Sha1Signatures::Accepted), Err(AuthError::UnsupportedSignature));
}

#[test]
fn keys_are_read_from_each_kind_of_file() {
    for (other, name) in
        [("rsa-pkcs1", "rsa"), ("p256-sec1", "p256"), ("p384-sec1", "p384"), ("p521-sec1", "p521")]
    {
        assert_eq!(private_key(other).public_key(), &public_key(name));
    }
    for name in KEYS {
        assert_eq!(private_key(name).public_key(), &public_key(name));
    }
    let seed = PrivateKey::from_ed25519_seed(&[1; 32]).expect("a key");
    let raw = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
    assert_eq!(PublicKey::from_ed25519(&raw).as_ref(), Ok(seed.public_key()));
    assert_eq!(PrivateKey::from_pem("hello").err(), Some(KeyError::Pem));
    assert_eq!(PrivateKey::from_pkcs8(&[0x30, 0]).err(), Some(KeyError::Algorithm));
    assert_eq!(PublicKey::from_pem(key_file("p256")).err(), Some(KeyError::Pem));
}

#[test]
fn a_point_off_its_curve_is_refused() {
    for name in ["p256", "p384", "p521"] {
        let mut spki = public_key(name).as_der().to_vec();
        *spki.last_mut().expect("an octet") ^= 1;
        assert_eq!(PublicKey::from_der(&spki), Err(KeyError::Point), "{name}");
    }
    let spki = public_key("ed25519").as_der().to_vec();
    for length in 0..spki.len() {
        assert_eq!(PublicKey::from_der(&spki[..length]), Err(KeyError::Der));
    }
}
