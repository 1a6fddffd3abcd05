//! Both ends of an authentication, by topic.

mod authority;
mod certificates;
mod chains;
mod preshared;
mod raw_keys;
mod signatures;
mod wycheproof;

use std::time::{Duration, SystemTime};

use ring::hmac;
use zeroize::Zeroizing;

use super::*;

/// PRF_HMAC_SHA2_256.
fn prf(key: &[u8], data: &[u8]) -> Zeroizing<Vec<u8>> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    Zeroizing::new(hmac::sign(&key, data).as_ref().to_vec())
}

fn identity(text: &str) -> Identity {
    text.parse().expect("an identity")
}

fn octets(identity: &Identity) -> SignedOctets {
    SignedOctets::new(b"IKE_SA_INIT", b"nonce of the other", identity, b"SK_p", &prf)
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn private_key(name: &str) -> PrivateKey {
    PrivateKey::from_pem(key_file(name)).expect("a private key")
}

fn public_key(name: &str) -> PublicKey {
    PublicKey::from_pem(key_file(&format!("{name}-public"))).expect("a public key")
}

const KEYS: [&str; 5] = ["rsa", "p256", "p384", "p521", "ed25519"];

fn key_file(name: &str) -> &'static str {
    macro_rules! files {
        ($($name:literal),+) => {
            match name {
                $($name => include_str!(concat!("../../tests/keys/", $name, ".pem")),)+
                _ => unreachable!("no file {name}"),
            }
        };
    }
    files!(
        "rsa",
        "rsa-pkcs1",
        "rsa-public",
        "p256",
        "p256-sec1",
        "p256-public",
        "p384",
        "p384-sec1",
        "p384-public",
        "p521",
        "p521-sec1",
        "p521-public",
        "ed25519",
        "ed25519-public",
        "p521-authority",
        "p521-certificate"
    )
}
