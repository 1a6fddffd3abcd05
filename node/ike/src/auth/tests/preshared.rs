use super::*;

fn secret(text: &str) -> PreSharedKey {
    PreSharedKey::parse(text).expect("a secret")
}

fn verify(
    remote: &str,
    presented: &Presented<'_>,
    octets: &SignedOctets,
) -> Result<Authenticated, AuthError> {
    RemoteCredential::PreSharedKey(secret(remote)).verify(presented, octets, &prf, now())
}

#[test]
fn both_sides_of_a_pre_shared_key_agree() {
    let moon = identity("moon.example.org");
    let local = LocalCredential::PreSharedKey(secret("correct horse"));
    let auth = local.prove(&octets(&moon), &prf, SignatureHashes::SUPPORTED).expect("AUTH");
    // RFC 7296 §2.15, written out.
    let expected = prf(&prf(b"correct horse", b"Key Pad for IKEv2"), octets(&moon).as_bytes());
    assert_eq!((auth.method, &auth.data), (2, &*expected));
    let presented = Presented { identity: &moon, method: 2, data: &auth.data, certificates: &[] };
    let authenticated = verify("correct horse", &presented, &octets(&moon)).expect("the peer");
    assert_eq!((authenticated.identity(), authenticated.by()), (&moon, AuthenticatedBy::PreSharedKey));
}

#[test]
fn another_secret_identity_nonce_or_message_is_refused() {
    let moon = identity("moon.example.org");
    let local = LocalCredential::PreSharedKey(secret("correct horse"));
    let auth = local.prove(&octets(&moon), &prf, SignatureHashes::NONE).expect("AUTH");
    let presented = Presented { identity: &moon, method: 2, data: &auth.data, certificates: &[] };
    let mismatch = Err(AuthError::PreSharedKeyMismatch { identity: moon.clone() });
    assert_eq!(verify("correct horsf", &presented, &octets(&moon)), mismatch);
    assert_eq!(verify("correct horse", &presented, &octets(&identity("sun.example.org"))), mismatch);
    let other = SignedOctets::new(b"IKE_SA_INIT", b"other nonce", &moon, b"SK_p", &prf);
    assert_eq!(verify("correct horse", &presented, &other), mismatch);
    let other = SignedOctets::new(b"IKE_SA_INIT with cookie", b"nonce of the other", &moon, b"SK_p", &prf);
    assert_eq!(verify("correct horse", &presented, &other), mismatch);
    let other = octets(&moon).with_intermediate(b"IntAuth");
    assert_eq!(verify("correct horse", &presented, &other), mismatch);
    let short = Presented { data: &auth.data[..31], ..presented };
    assert_eq!(verify("correct horse", &short, &octets(&moon)), mismatch);
    assert_eq!(verify("correct horse", &Presented { data: &[], ..presented }, &octets(&moon)), mismatch);
}

#[test]
fn trap_12_reserved_octets_of_the_identity_are_signed_as_received() {
    let moon = identity("moon.example.org");
    let mut body = moon.payload_body();
    let same = SignedOctets::from_identity_payload(b"m", b"n", &body, b"SK_p", &prf);
    assert_eq!(same.as_bytes(), SignedOctets::new(b"m", b"n", &moon, b"SK_p", &prf).as_bytes());
    body[2] = 1;
    let other = SignedOctets::from_identity_payload(b"m", b"n", &body, b"SK_p", &prf);
    assert_ne!(same.as_bytes(), other.as_bytes());
}

#[test]
fn a_signature_does_not_stand_in_for_a_pre_shared_key() {
    let moon = identity("moon.example.org");
    let octets = octets(&moon);
    for method in [0, 1, 3, 9, 13, 14, 255] {
        let presented = Presented { identity: &moon, method, data: &[], certificates: &[] };
        assert_eq!(
            verify("correct horse", &presented, &octets),
            Err(AuthError::MethodRefused { method, expected: "a pre-shared key" })
        );
    }
}

#[test]
fn trap_13_the_proof_of_a_secret_is_compared_in_constant_time() {
    let octets = octets(&identity("moon.example.org"));
    let key = PreSharedKey::parse("correct horse battery staple").expect("a secret");
    let proof = key.auth(&octets, &prf);
    let same: subtle::Choice = key.verify(&proof, &octets, &prf);
    assert_eq!(same.unwrap_u8(), 1);
    for place in 0..proof.len() {
        let mut other = proof.to_vec();
        other[place] ^= 1;
        assert_eq!(key.verify(&other, &octets, &prf).unwrap_u8(), 0, "octet {place}");
    }
}
