//! Chains that do not convince, each for its reason.

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CustomExtension, ExtendedKeyUsagePurpose as Purpose,
    GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints, date_time_ymd,
};

use super::authority::{Authority, Peer, authenticate, purposes, refusal};
use super::*;

fn accepted(peer: &Peer, intermediates: &str, anchors: &TrustAnchors) {
    authenticate(peer, intermediates, anchors, "sun.example.org").expect("an authenticated peer");
}

#[test]
fn a_stranger_is_refused_even_under_the_same_name() {
    let (root, stranger) = (Authority::root(|_| {}), Authority::root(|_| {}));
    let other_name =
        Authority::root(|params| params.distinguished_name.push(rcgen::DnType::LocalityName, "Zug"));
    assert_eq!(refusal(&other_name.issue(|_| {}), "", &root.anchors()), CertificateError::UnknownIssuer);
    assert_eq!(refusal(&stranger.issue(|_| {}), "", &root.anchors()), CertificateError::Signature);
    // The stranger's root, sent along, is no anchor.
    assert_eq!(
        refusal(&other_name.issue(|_| {}), &other_name.pem, &root.anchors()),
        CertificateError::UnknownIssuer
    );
    let intermediate = root.intermediate(|_| {});
    assert_eq!(refusal(&intermediate.issue(|_| {}), "", &root.anchors()), CertificateError::UnknownIssuer);
}

#[test]
fn each_certificate_has_its_term() {
    let root = Authority::root(|_| {});
    let over = |params: &mut CertificateParams| params.not_after = date_time_ymd(2026, 12, 31);
    let ahead = |params: &mut CertificateParams| params.not_before = date_time_ymd(2027, 2, 1);
    assert!(matches!(refusal(&root.issue(over), "", &root.anchors()), CertificateError::Expired { .. }));
    assert!(matches!(refusal(&root.issue(ahead), "", &root.anchors()), CertificateError::NotYetValid { .. }));
    let intermediate = root.intermediate(over);
    let refused = refusal(&intermediate.issue(|_| {}), &intermediate.pem, &root.anchors());
    assert!(matches!(refused, CertificateError::Expired { .. }));
    let old = Authority::root(over);
    assert_eq!(refusal(&old.issue(|_| {}), "", &old.anchors()), CertificateError::AuthorityExpired);
}

#[test]
fn key_usages_are_asked_of_the_peer_and_of_its_issuers() {
    let root = Authority::root(|_| {});
    for usage in [KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment] {
        accepted(&root.issue(|params| params.key_usages = vec![usage]), "", &root.anchors());
    }
    let peer = root.issue(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    let own = CertifiedKey::from_pem(peer.key, &peer.pem);
    assert!(matches!(own, Err(CertifiedKeyError::KeyUsage)));
    let intermediate = root.intermediate(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    let refused = refusal(&intermediate.issue(|_| {}), &intermediate.pem, &root.anchors());
    assert_eq!(refused, CertificateError::KeyUsage);
}

#[test]
fn a_certificate_for_another_purpose_is_refused() {
    let root = Authority::root(|_| {});
    let ipsec_ike = Purpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 17]);
    for purpose in [ipsec_ike, Purpose::Any, Purpose::ServerAuth, Purpose::ClientAuth] {
        let peer = root.issue(|params| purposes(params, &[Purpose::EmailProtection, purpose]));
        accepted(&peer, "", &root.anchors());
    }
    let peer = root.issue(|params| purposes(params, &[Purpose::CodeSigning, Purpose::EmailProtection]));
    assert_eq!(refusal(&peer, "", &root.anchors()), CertificateError::Purpose);
}

#[test]
fn only_an_authority_issues_and_only_so_deep() {
    let root = Authority::root(|_| {});
    let no_authority = root.intermediate(|params| params.is_ca = IsCa::ExplicitNoCa);
    let peer = no_authority.issue(|_| {});
    assert_eq!(refusal(&peer, &no_authority.pem, &root.anchors()), CertificateError::BasicConstraints);
    let shallow = root.intermediate(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    accepted(&shallow.issue(|_| {}), &shallow.pem, &root.anchors());
    let deeper = shallow.intermediate(|params| {
        params.distinguished_name.push(rcgen::DnType::LocalityName, "Zug");
    });
    let chain = format!("{}{}", deeper.pem, shallow.pem);
    let refused = refusal(&deeper.issue(|_| {}), &chain, &root.anchors());
    assert_eq!(refused, CertificateError::BasicConstraints);
    let peer = root.issue(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(refusal(&peer, "", &root.anchors()), CertificateError::BasicConstraints);
    let anchor = TrustAnchors::from_pem(&root.issue(|_| {}).pem);
    assert!(matches!(anchor, Err(TrustAnchorError::NotAnAuthority { position: 0 })));
}

#[test]
fn name_constraints_hold_and_those_not_supported_refuse() {
    let root = Authority::root(|_| {});
    let within = |permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>| {
        let intermediate = root.intermediate(|params| {
            params.name_constraints =
                Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
        });
        let peer = intermediate.issue(|params| {
            params.subject_alt_names.extend([
                rcgen::SanType::Rfc822Name("sun@example.org".try_into().expect("ASCII")),
                rcgen::SanType::IpAddress("192.0.2.1".parse().expect("an address")),
            ]);
        });
        authenticate(&peer, &intermediate.pem, &root.anchors(), "sun.example.org").map(|_| ())
    };
    let dns = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let refused = Err(AuthError::Certificate(CertificateError::NameConstraints));
    assert_eq!(within(vec![dns("example.org")], vec![]), Ok(()));
    assert_eq!(within(vec![dns("example.com")], vec![]), refused);
    assert_eq!(within(vec![], vec![dns("sun.example.org")]), refused);
    let network = GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([192, 0, 2, 0], 24));
    assert_eq!(within(vec![network.clone()], vec![]), Ok(()));
    assert_eq!(within(vec![], vec![network]), refused);
    // webpki compares neither of these: it must not let them pass.
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CountryName, "CH");
    assert_eq!(within(vec![GeneralSubtree::DirectoryName(name.clone())], vec![]), refused);
    assert_eq!(within(vec![], vec![GeneralSubtree::DirectoryName(name)]), refused);
    let email = GeneralSubtree::Rfc822Name("example.org".to_owned());
    assert_eq!(within(vec![email.clone()], vec![]), refused);
    assert_eq!(within(vec![], vec![email]), refused);
}

#[test]
fn a_revoked_certificate_is_refused_wherever_it_stands() {
    let root = Authority::root(|_| {});
    let intermediate = root.intermediate(|_| {});
    let peer = intermediate.issue(|_| {});
    let with = |lists: &[String], revocation| {
        let anchors = root.anchors().with_revocation_lists(&lists.concat()).expect("lists");
        let anchors = anchors.with_revocation(revocation);
        authenticate(&peer, &intermediate.pem, &anchors, "sun.example.org").map(|_| ())
    };
    let refused = |error| Err(AuthError::Certificate(error));
    let (relaxed, strict) = (Revocation::Relaxed, Revocation::Strict);
    let (root_list, list) = (root.revoke(&[], 2028), intermediate.revoke(&[41], 2028));
    assert_eq!(with(&[root_list.clone(), list.clone()], strict), Ok(()));
    for revocation in [relaxed, strict] {
        let revoked = refused(CertificateError::Revoked);
        assert_eq!(with(&[root_list.clone(), intermediate.revoke(&[42], 2028)], revocation), revoked);
        assert_eq!(with(&[root.revoke(&[7], 2028), list.clone()], revocation), revoked);
    }
    // Beyond its term a list still revokes, and only the strict want a new one.
    let old = intermediate.revoke(&[41], 2026);
    assert_eq!(with(&[root_list.clone(), old.clone()], relaxed), Ok(()));
    assert_eq!(with(&[root_list.clone(), old], strict), refused(CertificateError::RevocationUnknown));
    let old = intermediate.revoke(&[42], 2026);
    assert_eq!(with(&[root_list.clone(), old], relaxed), refused(CertificateError::Revoked));
    assert_eq!(with(std::slice::from_ref(&root_list), relaxed), Ok(()));
    assert_eq!(with(&[root_list], strict), refused(CertificateError::RevocationUnknown));
    let none = root.anchors().with_revocation(strict);
    assert_eq!(refusal(&peer, &intermediate.pem, &none), CertificateError::RevocationUnknown);
}

#[test]
fn an_unknown_critical_extension_is_refused() {
    let root = Authority::root(|_| {});
    let peer = |critical| {
        root.issue(|params| {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1, 1], vec![5, 0]);
            extension.set_criticality(critical);
            params.custom_extensions = vec![extension];
        })
    };
    accepted(&peer(false), "", &root.anchors());
    assert_eq!(refusal(&peer(true), "", &root.anchors()), CertificateError::CriticalExtension);
}

fn certificate(data: &[u8]) -> PresentedCertificate<'_> {
    PresentedCertificate { encoding: CertificateEncoding::X509Signature as u8, data }
}

/// Why an empty AUTH payload is refused behind these CERT payloads.
fn refused(anchors: &TrustAnchors, certificates: &[PresentedCertificate<'_>]) -> AuthError {
    let name = identity("sun.example.org");
    let presented = Presented { identity: &name, method: 14, data: &[], certificates };
    let remote = RemoteCredential::Certificates(anchors.clone());
    remote.verify(&presented, &octets(&name), &prf, now()).expect_err("a refusal")
}

#[test]
fn what_a_peer_may_send_is_bounded() {
    let root = Authority::root(|_| {});
    let (anchors, der) = (root.anchors(), root.issue(|_| {}).der());
    let other = |encoding| PresentedCertificate { encoding, data: &der };
    assert_eq!(refused(&anchors, &[]), AuthError::CertificateMissing);
    assert_eq!(refused(&anchors, &[other(7)]), AuthError::CertificateMissing);
    assert_eq!(refused(&anchors, &[other(12)]), AuthError::CertificateByUrl);
    let octets = 11 * der.len();
    let many = AuthError::ChainTooLarge { certificates: 11, octets };
    assert_eq!(refused(&anchors, &[certificate(&der); 11]), many);
    let large = AuthError::ChainTooLarge { certificates: 1, octets: 50_000 };
    assert_eq!(refused(&anchors, &[certificate(&vec![0; 50_000])]), large);
}

#[test]
fn a_damaged_certificate_is_refused_at_every_octet() {
    let root = Authority::root(|_| {});
    let (anchors, der) = (root.anchors(), root.issue(|_| {}).der());
    assert_eq!(refused(&anchors, &[certificate(&der)]), AuthError::MalformedSignature);
    assert_eq!(
        refused(&anchors, &[certificate(&der), certificate(&[0; 100])]),
        AuthError::MalformedSignature
    );
    for length in 0..der.len() {
        let error = refused(&anchors, &[certificate(&der[..length])]);
        assert_eq!(error, AuthError::Certificate(CertificateError::Malformed), "{length} octets");
    }
    for position in 0..der.len() {
        let mut changed = der.clone();
        changed[position] ^= 1;
        let error = refused(&anchors, &[certificate(&changed)]);
        assert!(matches!(error, AuthError::Certificate(_)), "octet {position}: {error:?}");
    }
}
