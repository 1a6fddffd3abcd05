//! Which key and which name a certificate gives.

use rcgen::{KeyPair, SanType};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::authority::{Authority, authenticate, dns};
use super::*;

#[test]
fn a_chain_over_an_intermediate_authenticates_every_kind_of_key() {
    let root = Authority::root(|_| {});
    let intermediate = root.intermediate(|_| {});
    for name in ["rsa", "p256", "p384", "ed25519"] {
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(key_file(name).as_bytes()).expect("a key");
        let key = KeyPair::try_from(&pkcs8).expect("a key");
        let peer = intermediate.issue_for(&key, |_| {});
        let authenticated = authenticate(&peer, &intermediate.pem, &root.anchors(), "sun.example.org");
        let authenticated = authenticated.expect(name);
        assert_eq!(authenticated.identity(), &identity("sun.example.org"));
        assert!(
            matches!(authenticated.by(), AuthenticatedBy::Certificate { not_after } if not_after > now())
        );
    }
}

#[test]
fn a_chain_signed_with_p521_by_openssl_authenticates() {
    let anchors = TrustAnchors::from_pem(key_file("p521-authority")).expect("anchors");
    let peer = authority::Peer { key: private_key("p521"), pem: key_file("p521-certificate").to_owned() };
    assert!(authenticate(&peer, "", &anchors, "sun.example.org").is_ok());
    assert!(authenticate(&peer, "", &anchors, "C=CH, O=twinmesh, CN=sun").is_ok());
}

#[test]
fn trap_12_the_identity_is_a_name_of_the_certificate_and_never_its_common_name() {
    let root = Authority::root(|_| {});
    let peer = root.issue(|params| {
        params.subject_alt_names = vec![
            dns("sun.example.org"),
            dns("*.wild.example.org"),
            SanType::Rfc822Name("carol@example.org".try_into().expect("ASCII")),
            SanType::IpAddress("192.0.2.1".parse().expect("an address")),
            SanType::IpAddress("2001:db8::1".parse().expect("an address")),
        ];
    });
    let names = ["SUN.example.org", "carol@example.org", "192.0.2.1", "2001:db8::1", "C=CH, CN=sun"];
    for name in names {
        assert!(authenticate(&peer, "", &root.anchors(), name).is_ok(), "{name}");
    }
    let others = [
        "sun",
        "CN=sun",
        "C=CH, CN=moon",
        "example.org",
        "a.wild.example.org",
        "fqdn:carol@example.org",
        "carol@example.com",
        "192.0.2.2",
        "fqdn:192.0.2.1",
        "2001:db8::2",
        "keyid:sun.example.org",
    ];
    for name in others {
        let refused = AuthError::IdentityNotInCertificate {
            identity: identity(name),
            subject: Some(identity("C=CH, CN=sun")),
        };
        assert_eq!(authenticate(&peer, "", &root.anchors(), name), Err(refused), "{name}");
    }
}

#[test]
fn without_alternative_names_only_the_subject_identifies() {
    let root = Authority::root(|_| {});
    let peer = root.issue(|params| params.subject_alt_names = Vec::new());
    assert!(authenticate(&peer, "", &root.anchors(), "C=CH, CN=sun").is_ok());
    let refused = authenticate(&peer, "", &root.anchors(), "sun");
    assert!(matches!(refused, Err(AuthError::IdentityNotInCertificate { .. })));
}

#[test]
fn a_certificate_of_another_proves_nothing() {
    let root = Authority::root(|_| {});
    let (sun, mallory) = (root.issue(|_| {}), root.issue(|_| {}));
    assert!(matches!(
        CertifiedKey::from_pem(mallory.key.clone(), &sun.pem),
        Err(CertifiedKeyError::KeyMismatch)
    ));
    let name = identity("sun.example.org");
    let octets = octets(&name);
    let certificate = sun.der();
    let auth =
        LocalCredential::RawKey(mallory.key).prove(&octets, &prf, SignatureHashes::SUPPORTED).expect("AUTH");
    let certificates = [PresentedCertificate { encoding: 4, data: &certificate }];
    let presented =
        Presented { identity: &name, method: auth.method, data: &auth.data, certificates: &certificates };
    let remote = RemoteCredential::Certificates(root.anchors());
    assert_eq!(remote.verify(&presented, &octets, &prf, now()), Err(AuthError::BadSignature));
}

#[test]
fn a_certified_key_knows_its_names() {
    let root = Authority::root(|_| {});
    let peer = root.issue(|_| {});
    let own = CertifiedKey::from_pem(peer.key, &peer.pem).expect("a key with its certificate");
    assert!(own.names(&identity("sun.example.org")) && !own.names(&identity("sun")));
    assert_eq!(own.subject(), Some(identity("C=CH, CN=sun")));
    assert!(own.not_after() > Some(now()));
}

#[test]
fn the_request_lists_the_hashes_of_the_authorities_keys() {
    let (one, two) = (Authority::root(|_| {}), Authority::root(|_| {}));
    let anchors = TrustAnchors::from_pem(&format!("{}{}", one.pem, two.pem)).expect("anchors");
    let request = RemoteCredential::Certificates(anchors).certificate_request().expect("a request");
    let hash = |pem: &str| {
        let key = PublicKey::from_pem(pem).expect("a key");
        ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, key.as_der()).as_ref().to_vec()
    };
    assert_eq!(request.encoding, CertificateEncoding::X509Signature);
    assert_eq!(request.data, [hash(&one.pem), hash(&two.pem)].concat());
}

#[test]
fn a_certificate_is_told_in_a_line() {
    let dates = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    };
    let der = Authority::root(|_| {}).issue(dates).der();
    assert_eq!(
        CertificateSummary::of(&der).unwrap().to_string(),
        "\"C=CH, CN=sun\" for sun.example.org, issued by \"C=CH, CN=root\", valid from 2026-01-01T00:00:00Z to \
         2027-01-01T00:00:00Z, key ECDSA P-256"
    );
    assert!(CertificateSummary::of(&der[1..]).is_none());
}
