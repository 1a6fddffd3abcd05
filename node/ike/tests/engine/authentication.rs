use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use twinmesh_ike::auth::{
    CertifiedKey, Credentials, LocalCredential, PrivateKey, PublicKey, RawKeys, RemoteCredential,
    Sha1Signatures, TrustAnchors,
};
use twinmesh_ike::config::ConnectionConfig;
use twinmesh_ike::wire::NotifyType;
use twinmesh_ike::{EngineConfig, IkeError};

use crate::pair::{Link, Pair, connection, flip, psk};

fn raw(own: &PrivateKey, peer: &PublicKey) -> Credentials {
    Credentials {
        local: LocalCredential::RawKey(own.clone()),
        remote: RemoteCredential::RawKeys(RawKeys {
            keys: vec![peer.clone()],
            sha1: Sha1Signatures::Refused,
        }),
    }
}

fn key(pem: &str) -> PrivateKey {
    PrivateKey::from_pem(pem).unwrap()
}

/// Both ends of a connection, with credentials of their own.
fn ends(left: Credentials, right: Credentials) -> (ConnectionConfig, ConnectionConfig) {
    let mut here = connection();
    here.credentials = left;
    let mut there = flip(&here);
    there.credentials = right;
    (here, there)
}

fn shake((left, right): (ConnectionConfig, ConnectionConfig)) -> Pair {
    let mut pair = Pair::of(left, right, EngineConfig::default(), 1);
    pair.initiate();
    pair.run_secs(1);
    pair
}

#[test]
fn raw_public_keys_of_every_kind_authenticate() {
    let keys = [
        include_str!("../keys/ed25519.pem"),
        include_str!("../keys/p256.pem"),
        include_str!("../keys/p384.pem"),
        include_str!("../keys/p521.pem"),
        include_str!("../keys/rsa.pem"),
    ];
    let other = key(include_str!("../keys/ed25519.pem"));
    for own in keys.map(key) {
        let pair = shake(ends(raw(&own, other.public_key()), raw(&other, own.public_key())));
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 1), "{:?}", pair.left.failures);
    }
}

#[test]
fn another_raw_public_key_is_refused() {
    let own = key(include_str!("../keys/ed25519.pem"));
    let other = key(include_str!("../keys/p256.pem"));
    let mut pair = shake(ends(raw(&own, other.public_key()), raw(&other, other.public_key())));
    assert!(pair.right.ike.is_empty());
    assert!(matches!(pair.right.failures[0].error, IkeError::Authentication(_)));
    let told = &pair.left.failures[0].error;
    assert!(matches!(told, IkeError::Refused { notify: NotifyType::AuthenticationFailed, .. }), "{told}");

    // The initiator likes the responder as little, and says so.
    pair = shake(ends(raw(&own, own.public_key()), raw(&other, own.public_key())));
    assert!(matches!(pair.left.failures[0].error, IkeError::Authentication(_)));
    pair.run_secs(1);
    assert!(pair.left.ike.is_empty() && pair.right.ike.is_empty());
    assert!(pair.right.esp.is_empty());
}

#[test]
fn one_side_may_have_a_secret_and_the_other_a_key() {
    let own = key(include_str!("../keys/ed25519.pem"));
    let secret = psk("uT7.kQ_2mVx9eR4pLs0b");
    let raw = raw(&own, own.public_key());
    let left = Credentials { local: raw.local.clone(), remote: secret.remote.clone() };
    let right = Credentials { local: secret.local, remote: raw.remote };
    let pair = shake(ends(left, right));
    pair.assert_agreed();
    assert_eq!(pair.left.ike.len(), 1);
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let pem = pem(params.self_signed(&key).unwrap().der());
    Authority { params, key, pem }
}

impl Authority {
    fn issue(&self, name: &str) -> LocalCredential {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let pem = pem(params.signed_by(&key, &issuer).unwrap().der());
        let own = PrivateKey::from_pkcs8(&key.serialize_der()).unwrap();
        LocalCredential::Certificate(CertifiedKey::from_pem(own, &pem).unwrap())
    }

    fn anchors(&self) -> RemoteCredential {
        RemoteCredential::Certificates(TrustAnchors::from_pem(&self.pem).unwrap())
    }
}

fn certified(authority: &Authority) -> (ConnectionConfig, ConnectionConfig) {
    let end = |name: &str| Credentials { local: authority.issue(name), remote: authority.anchors() };
    ends(end("left.example.org"), end("right.example.org"))
}

#[test]
fn certificates_of_one_authority_authenticate() {
    let pair = shake(certified(&authority()));
    pair.assert_agreed();
    assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 1), "{:?}", pair.right.failures);
}

#[test]
fn certificates_go_in_fragments_over_a_bad_link() {
    let (left, right) = certified(&authority());
    let config = EngineConfig { fragment_size: 576, ..EngineConfig::default() };
    for seed in 1..50 {
        let mut pair = Pair::of(left.clone(), right.clone(), config.clone(), seed);
        pair.link = Link { loss: 5, ..Link::BAD };
        pair.initiate();
        pair.run_secs(200);
        pair.assert_agreed();
        assert_eq!(pair.left.ike.len(), 1, "seed {seed}");
        assert!(pair.wire.iter().filter(|datagram| datagram.bytes[16] == 53).count() >= 2);
        assert!(pair.wire.iter().all(|datagram| datagram.bytes.len() <= 576 - 28));
    }
}

#[test]
fn a_certificate_of_another_name_or_another_authority_is_refused() {
    let (here, elsewhere) = (authority(), authority());
    let end = |local, by: &Authority| Credentials { local, remote: by.anchors() };
    for wrong in [here.issue("mallory.example.org"), elsewhere.issue("left.example.org")] {
        let right = end(here.issue("right.example.org"), &here);
        let pair = shake(ends(end(wrong, &here), right));
        assert!(pair.left.ike.is_empty() && pair.right.ike.is_empty());
        assert!(matches!(pair.right.failures[0].error, IkeError::Authentication(_)));
    }
}
