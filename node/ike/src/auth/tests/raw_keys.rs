use super::*;

fn verify(
    keys: &[&str],
    auth: &AuthData,
    octets: &SignedOctets,
    sha1: Sha1Signatures,
) -> Result<Authenticated, AuthError> {
    let sun = identity("sun.example.org");
    let keys = RawKeys { keys: keys.iter().map(|name| public_key(name)).collect(), sha1 };
    let presented = Presented { identity: &sun, method: auth.method, data: &auth.data, certificates: &[] };
    RemoteCredential::RawKeys(keys).verify(&presented, octets, &prf, now())
}

#[test]
fn every_kind_of_key_authenticates_with_every_set_of_hashes() {
    let octets = octets(&identity("sun.example.org"));
    let sets =
        [vec![], vec![0, 2], vec![0, 3], vec![0, 4], vec![0, 5], SignatureHashes::SUPPORTED.notify_data()];
    for name in KEYS {
        for padding in [RsaPadding::Pkcs1, RsaPadding::Pss] {
            let local = LocalCredential::RawKey(private_key(name).with_rsa_padding(padding));
            for set in &sets {
                let peer = SignatureHashes::from_notify_data(set);
                let auth = match local.prove(&octets, &prf, peer) {
                    Err(AuthError::PeerLacksHash { hash: SignatureHash::Identity }) if name == "ed25519" => {
                        continue;
                    }
                    auth => auth.expect("AUTH"),
                };
                let authenticated = verify(&[name], &auth, &octets, Sha1Signatures::Refused);
                assert_eq!(authenticated.expect(name).by(), AuthenticatedBy::RawKey);
                let all = verify(&KEYS, &auth, &octets, Sha1Signatures::Refused);
                assert!(all.is_ok(), "one of several keys: {name}");
            }
        }
    }
}

#[test]
fn trap_14_a_peer_without_rfc_7427_gets_the_old_methods() {
    let octets = octets(&identity("sun.example.org"));
    let method = |name, peer| {
        let local = LocalCredential::RawKey(private_key(name));
        local.prove(&octets, &prf, peer).map(|auth| auth.method)
    };
    for (name, old) in [("rsa", 1), ("p256", 9), ("p384", 10), ("p521", 11)] {
        assert_eq!(method(name, SignatureHashes::NONE), Ok(old));
        assert_eq!(method(name, SignatureHashes::SUPPORTED), Ok(14));
    }
    let lacks = AuthError::PeerLacksHash { hash: SignatureHash::Identity };
    assert_eq!(method("ed25519", SignatureHashes::NONE), Err(lacks));
}

#[test]
fn changed_octets_and_changed_signatures_are_refused() {
    let sun = identity("sun.example.org");
    for name in KEYS {
        let local = LocalCredential::RawKey(private_key(name));
        let auth = local.prove(&octets(&sun), &prf, SignatureHashes::SUPPORTED).expect("AUTH");
        let other = octets(&identity("moon.example.org"));
        assert_eq!(verify(&[name], &auth, &other, Sha1Signatures::Accepted), Err(AuthError::BadSignature));
        for position in (0..auth.data.len()).step_by(7) {
            let mut changed = auth.clone();
            changed.data[position] ^= 0x10;
            assert!(
                verify(&[name], &changed, &octets(&sun), Sha1Signatures::Accepted).is_err(),
                "{name} {position}"
            );
        }
        for length in 0..auth.data.len() {
            let cut = AuthData { method: 14, data: auth.data[..length].to_vec() };
            assert!(
                verify(&[name], &cut, &octets(&sun), Sha1Signatures::Accepted).is_err(),
                "{name} {length}"
            );
        }
    }
}

#[test]
fn the_key_of_another_is_refused() {
    let octets = octets(&identity("sun.example.org"));
    let stranger = PrivateKey::from_ed25519_seed(&[7; 32]).expect("a key");
    let auth =
        LocalCredential::RawKey(stranger).prove(&octets, &prf, SignatureHashes::SUPPORTED).expect("AUTH");
    assert_eq!(verify(&KEYS, &auth, &octets, Sha1Signatures::Refused), Err(AuthError::BadSignature));
    let kind = AuthError::KeyOfAnotherKind { method: 14 };
    assert_eq!(verify(&["p256"], &auth, &octets, Sha1Signatures::Refused), Err(kind));
    let psk = AuthData { method: 2, data: vec![0; 32] };
    let refused = AuthError::MethodRefused { method: 2, expected: "a signature" };
    assert_eq!(verify(&KEYS, &psk, &octets, Sha1Signatures::Accepted), Err(refused.clone()));
    assert_eq!(verify(&[], &psk, &octets, Sha1Signatures::Accepted), Err(refused));
}

#[test]
fn a_raw_key_travels_as_a_subject_public_key_info() {
    for name in KEYS {
        let certificates = LocalCredential::RawKey(private_key(name)).certificates();
        let [sent] = certificates.as_slice() else { panic!("one certificate") };
        assert_eq!(sent.encoding, CertificateEncoding::RawPublicKey);
        assert_eq!(PublicKey::from_der(&sent.data), Ok(public_key(name)));
    }
    let request =
        RemoteCredential::RawKeys(RawKeys::new(Vec::new())).certificate_request().expect("a request");
    assert_eq!(request, CertificateData { encoding: CertificateEncoding::RawPublicKey, data: Vec::new() });
}
