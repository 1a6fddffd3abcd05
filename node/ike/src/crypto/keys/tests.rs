use super::*;
use crate::crypto::algorithm::{Encryption, Group, Integrity};
use crate::crypto::key_exchange::KeyExchange;

const NI: &[u8] = b"nonce of the initiator";
const NR: &[u8] = b"nonce of the responder";
const PRF: Prf = Prf::HmacSha384;

fn suite() -> Suite {
    Suite::new(Encryption::Aes256Cbc, Some(Integrity::HmacSha256), PRF).unwrap()
}

fn shared(fill: u8) -> SharedSecret {
    let mut random = |bytes: &mut [u8]| bytes.fill(fill);
    let own = KeyExchange::generate(Group::X25519, &mut random);
    KeyExchange::respond(Group::X25519, own.public(), &mut random).unwrap().secret
}

fn keys() -> SaKeys {
    SkeySeed::initial(PRF, &shared(1), NI, NR).keys(suite(), NI, NR, [3; 8], [4; 8])
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// RFC 7296 §2.14, written out.
#[test]
fn keys_are_cut_in_the_order_of_the_rfc() {
    let seed = PRF.compute(&join(&[NI, NR]), &[shared(1).as_bytes()]);
    let stream = PRF.expand(&seed, &[&join(&[NI, NR, &[3; 8], &[4; 8]])], 3 * 48 + 2 * 32 + 2 * 32);
    let SaKeys { d, ai, ar, ei, er, pi, pr } = keys();
    assert_eq!(join(&[&d, &ai, &ar, &ei, &er, &pi, &pr]), *stream);
    assert_eq!(
        [d.len(), ai.len(), ar.len(), ei.len(), er.len(), pi.len(), pr.len()],
        [48, 32, 32, 32, 32, 48, 48]
    );
}

#[test]
fn an_aead_has_no_integrity_keys_and_a_salt() {
    let suite = Suite::new(Encryption::Aes128Gcm16, None, PRF).unwrap();
    let keys = SkeySeed::initial(PRF, &shared(1), NI, NR).keys(suite, NI, NR, [3; 8], [4; 8]);
    assert_eq!((keys.ai.len(), keys.ar.len(), keys.ei.len(), keys.er.len()), (0, 0, 20, 20));
}

/// RFC 7296 §2.18, RFC 9370 §2.2.4.
#[test]
fn a_rekeyed_seed_mixes_the_old_sk_d_and_every_secret() {
    let old = keys();
    let next = SkeySeed::next(PRF, &old.d, &[&shared(1), &shared(2)], NI, NR);
    let input = join(&[shared(1).as_bytes(), NI, NR, shared(2).as_bytes()]);
    assert_eq!(next.0, PRF.compute(&old.d, &[&input]));
}

/// RFC 7296 §2.17.
#[test]
fn a_child_has_its_own_secret_or_none() {
    let keys = keys();
    assert_eq!(keys.child_keymat(PRF, &[], NI, NR, 72), PRF.expand(&keys.d, &[&join(&[NI, NR])], 72));
    assert_eq!(
        keys.child_keymat(PRF, &[&shared(2)], NI, NR, 72),
        PRF.expand(&keys.d, &[&join(&[shared(2).as_bytes(), NI, NR])], 72)
    );
}

/// RFC 8784 §3.
#[test]
fn a_postquantum_key_changes_what_authenticates_and_derives_and_nothing_else() {
    let keys = keys();
    let mixed = keys.with_ppk(PRF, b"postquantum");
    assert_eq!(mixed.d, PRF.expand(b"postquantum", &[&keys.d], 48));
    assert_eq!(mixed.pi, PRF.expand(b"postquantum", &[&keys.pi], 48));
    assert_eq!(mixed.pr, PRF.expand(b"postquantum", &[&keys.pr], 48));
    assert_eq!((&mixed.ai, &mixed.ar, &mixed.ei, &mixed.er), (&keys.ai, &keys.ar, &keys.ei, &keys.er));
}
