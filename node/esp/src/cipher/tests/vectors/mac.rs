//! Integrity: RFC 4868 §2.7.2, RFC 2202 §2 and §3 (with the truncation of RFC 2403 and RFC 2404), RFC 4543.

use ring::hmac;

use super::hex;
use crate::cipher::Mac;
use crate::cipher::tests::{material, text_of, unsealed};
use crate::cipher::{Cipher, Forged};
use crate::keys::{KeyError, KeyMaterial, Keyed};
use crate::suite::{Integrity, Suite};

fn run(integrity: Integrity, key: &[u8], message: &[u8], icv: &str) {
    let error = KeyError { needed: 0, given: 0, suite: Keyed::Ah(integrity) };
    let mac = Mac::with_key(integrity, key, error).unwrap();
    let mut out = vec![0; integrity.icv_len()];
    mac.compute(&[message], [0; 8], &mut out);
    assert_eq!(out, hex(icv), "{integrity}");
    assert_eq!(mac.verify(&[message], [0; 8], &out), Ok(()));
    out[0] ^= 1;
    assert_eq!(mac.verify(&[message], [0; 8], &out), Err(Forged));
}

fn counting(length: u8) -> Vec<u8> {
    (1..=length).collect()
}

#[test]
fn hmac_sha2_authenticates_the_messages_of_rfc_4868() {
    let jefe = |length: usize| b"Jefe".repeat(length / 4);
    let question = b"what do ya want for nothing?";

    let sha256 = Integrity::HmacSha256;
    run(sha256, &[0x0b; 32], b"Hi There", "198a607eb44bfbc69903a0f1cf2bbdc5");
    run(sha256, &jefe(32), question, "167f928588c5cc2eef8e3093caa0e87c");
    run(sha256, &[0xaa; 32], &[0xdd; 50], "cdcb1220d1ecccea91e53aba3092f962");
    run(sha256, &counting(32), &[0xcd; 50], "372efcf9b40b35c2115b1346903d2ef4");

    let sha384 = Integrity::HmacSha384;
    run(sha384, &[0x0b; 48], b"Hi There", "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973");
    run(sha384, &jefe(48), question, "2c7353974f1842fd66d53c452ca42122b28c0b594cfb184d");
    run(sha384, &[0xaa; 48], &[0xdd; 50], "809f439be00274321d4a538652164b53554a508184a0c316");
    // The RFC's key ends with 0a0b…1920, where 2122… is expected.
    let key = hex("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\
                   0a0b0c0d0e0f10111213141516171819");
    run(sha384, &key, &[0xcd; 50], "5b540085c6e6358096532b2493609ed1cb298f774f87bb5c");

    let sha512 = Integrity::HmacSha512;
    let icv = "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8";
    run(sha512, &[0x0b; 64], b"Hi There", icv);
    let icv = "cb370917ae8a7ce28cfd1d8f4705d6141c173b2a9362c15df235dfb251b15454";
    run(sha512, &jefe(64), question, icv);
    let icv = "2ee7acd783624ca9398710f3ee05ae41b9f9b0510c87e49e586cc9bf961733d8";
    run(sha512, &[0xaa; 64], &[0xdd; 50], icv);
    let icv = "5e6688e5a3daec826ca32eaea224eff5e700628947470e13ad01302561bab108";
    run(sha512, &counting(64), &[0xcd; 50], icv);
}

const LARGE_KEY: &[u8] = b"Test Using Larger Than Block-Size Key - Hash Key First";
const LARGE_BOTH: &[u8] = b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data";

#[test]
fn hmac_md5_96_authenticates_the_messages_of_rfc_2202() {
    let run = |key: &[u8], message: &[u8], icv| run(Integrity::HmacMd5, key, message, icv);
    run(&[0x0b; 16], b"Hi There", "9294727a3638bb1c13f48ef8");
    run(b"Jefe", b"what do ya want for nothing?", "750c783e6ab0b503eaa86e31");
    run(&[0xaa; 16], &[0xdd; 50], "56be34521d144c88dbb8c733");
    run(&counting(25), &[0xcd; 50], "697eaf0aca3a3aea3a751647");
    run(&[0x0c; 16], b"Test With Truncation", "56461ef2342edc00f9bab995");
    run(&[0xaa; 80], LARGE_KEY, "6b1ab7fe4bd7bf8f0b62e6ce");
    run(&[0xaa; 80], LARGE_BOTH, "6f630fad67cda0ee1fb1f562");
}

#[test]
fn hmac_sha1_96_authenticates_the_messages_of_rfc_2202() {
    let run = |key: &[u8], message: &[u8], icv| run(Integrity::HmacSha1, key, message, icv);
    run(&[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6");
    run(b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5");
    run(&[0xaa; 20], &[0xdd; 50], "125d7342b9ac11cd91a39af4");
    run(&counting(25), &[0xcd; 50], "4c9007f4026250c6bc8414f9");
    run(&[0x0c; 20], b"Test With Truncation", "4c1a03424b55e07fe7f27be1");
    run(&[0xaa; 80], LARGE_KEY, "aa4ae5e15272d00e95705637");
    run(&[0xaa; 80], LARGE_BOTH, "e8e99d0f45237d786d6bbaa7");
}

/// The whole packet, by another implementation: `ring` has HMAC-SHA1 and -SHA2.
#[test]
fn hmac_covers_the_packet_as_sent_and_then_the_high_half_of_the_sequence_number() {
    let algorithms = [
        (Integrity::HmacSha256, hmac::HMAC_SHA256),
        (Integrity::HmacSha384, hmac::HMAC_SHA384),
        (Integrity::HmacSha512, hmac::HMAC_SHA512),
        (Integrity::HmacSha1, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
    ];
    let sequence = 0x0000_0007_8000_0001_u64;
    for suite in Suite::all() {
        let algorithm = algorithms.iter().find(|(integrity, _)| Some(*integrity) == suite.integrity());
        let Some((_, algorithm)) = algorithm else { continue };
        let keys = material(suite);
        let key = hmac::Key::new(*algorithm, keys.split(suite).unwrap().integrity);
        for esn in [false, true] {
            let mut packet = unsealed(suite, sequence, &[0x5a; 96]);
            Cipher::new(suite, &keys).unwrap().seal(sequence, esn, &mut packet);
            let (sent, icv) = packet.split_at(packet.len() - suite.icv_len());
            let high: &[u8] = if esn { &[0, 0, 0, 7] } else { &[] };
            let expected = hmac::sign(&key, &[sent, high].concat());
            assert_eq!(icv, &expected.as_ref()[..icv.len()], "{suite}, ESN {esn}");
        }
    }
}

/// RFC 4543 §3.3: GMAC is AES-GCM with nothing to encrypt, here as `ring` computes it.
#[test]
fn gmac_covers_header_iv_and_payload() {
    use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let sequence = 0x0000_0007_8000_0001_u64;
    for (name, algorithm) in [("aes128gmac", &AES_128_GCM), ("aes256gmac", &AES_256_GCM)] {
        let suite: Suite = name.parse().unwrap();
        let keys = material(suite);
        let cut = keys.split(suite).unwrap();
        let key = LessSafeKey::new(UnboundKey::new(algorithm, cut.encryption).unwrap());
        for esn in [false, true] {
            let text = [0x5a; 97];
            let mut packet = unsealed(suite, sequence, &text);
            Cipher::new(suite, &keys).unwrap().seal(sequence, esn, &mut packet);
            assert_eq!(text_of(suite, &packet), text);
            let (sent, icv) = packet.split_at(packet.len() - suite.icv_len());
            let high: &[u8] = if esn { &[0, 0, 0, 7] } else { &[] };
            let aad = [&sent[..4], high, &sent[4..]].concat();
            let nonce = [&cut.salt[..], &sequence.to_be_bytes()].concat().try_into().unwrap();
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut []).unwrap();
            assert_eq!(icv, tag.as_ref(), "{suite}, ESN {esn}");
        }
    }
}

#[test]
fn in_ah_the_salt_of_gmac_ends_the_key() {
    let whole = KeyMaterial::new(counting(20));
    let ah = Mac::new(Integrity::Aes128Gmac, &whole).unwrap();
    let suite: Suite = "aes128gmac".parse().unwrap();
    let keys = whole.split(suite).unwrap();
    let esp = Mac::gmac(keys.encryption, keys.salt, keys.error).unwrap();
    let mut icv = [0; 16];
    esp.compute(&[b"authenticated"], [7; 8], &mut icv);
    assert_eq!(ah.verify(&[b"authenticated"], [7; 8], &icv), Ok(()));
}
