//! What holds for every suite.

use super::*;

const TEXT: [u8; 96] =
    *b"one inner packet that nobody on the way may read, trailer included, and of six blocks in length!";
const SEQUENCE: u64 = 0x0000_0007_8000_0001;

fn sealed(suite: Suite, esn: bool) -> (Cipher, Vec<u8>) {
    let cipher = Cipher::new(suite, &material(suite)).unwrap();
    let mut packet = unsealed(suite, SEQUENCE, &TEXT);
    cipher.seal(SEQUENCE, esn, &mut packet);
    (cipher, packet)
}

#[test]
fn every_suite_opens_what_it_sealed() {
    for suite in Suite::all() {
        for esn in [false, true] {
            let (cipher, mut packet) = sealed(suite, esn);
            let hidden = text_of(suite, &packet) != TEXT;
            assert_eq!(hidden, suite.is_confidential(), "{suite}");
            assert_eq!(cipher.open(SEQUENCE, esn, &mut packet), Ok(()), "{suite}");
            assert_eq!(text_of(suite, &packet), TEXT, "{suite}");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_forged_and_leaves_no_plaintext() {
    for suite in Suite::all() {
        let (cipher, packet) = sealed(suite, true);
        for at in 0..packet.len() {
            let mut flipped = packet.clone();
            flipped[at] ^= 1 << (at % 8);
            assert_eq!(cipher.open(SEQUENCE, true, &mut flipped), Err(Forged), "{suite}, byte {at}");
            if suite.is_confidential() {
                let left = text_of(suite, &flipped);
                assert!(
                    left.chunks(8).zip(TEXT.chunks(8)).all(|(left, was)| left != was),
                    "{suite}, byte {at}"
                );
            }
        }
    }
}

#[test]
fn trap_27_the_high_half_of_an_extended_sequence_number_is_authenticated_though_never_sent() {
    for suite in Suite::all() {
        let (cipher, packet) = sealed(suite, true);
        let other = SEQUENCE + (1 << 32);
        assert_eq!(cipher.open(other, true, &mut packet.clone()), Err(Forged), "{suite}");
        assert_eq!(cipher.open(SEQUENCE, false, &mut packet.clone()), Err(Forged), "{suite}");
    }
}

#[test]
fn a_packet_of_any_length_that_was_not_sealed_is_forged() {
    for suite in Suite::all() {
        let cipher = Cipher::new(suite, &material(suite)).unwrap();
        for length in 0..120 {
            assert_eq!(cipher.open(1, true, &mut vec![0; length]), Err(Forged), "{suite}, {length} bytes");
        }
    }
}

#[test]
fn an_authentic_packet_that_is_no_multiple_of_the_block_is_refused() {
    for suite in Suite::all().filter(|suite| suite.block() > 1) {
        let integrity = suite.integrity().unwrap();
        let null = Suite::new(crate::suite::Encryption::Null, Some(integrity)).unwrap();
        let key = material(suite);
        let only_integrity = key.split(suite).unwrap().integrity.to_vec();
        let forger = Cipher::new(null, &KeyMaterial::new(only_integrity)).unwrap();
        let mut packet = unsealed(suite, 1, &TEXT[..suite.block() + 4]);
        forger.seal(1, false, &mut packet);
        let cipher = Cipher::new(suite, &key).unwrap();
        assert_eq!(cipher.open(1, false, &mut packet), Err(Forged), "{suite}");
    }
}

#[test]
fn two_packets_never_carry_the_same_iv() {
    for suite in Suite::all().filter(|suite| suite.iv_len() > 0) {
        let cipher = Cipher::new(suite, &material(suite)).unwrap();
        let ivs: std::collections::BTreeSet<Vec<u8>> = [1, 2, 3, 1 << 32, (1 << 32) + 1, u64::MAX]
            .into_iter()
            .map(|sequence| {
                let mut packet = unsealed(suite, sequence, &TEXT);
                cipher.seal(sequence, true, &mut packet);
                packet[HEADER..HEADER + suite.iv_len()].to_vec()
            })
            .collect();
        assert_eq!(ivs.len(), 6, "{suite}");
    }
}

#[test]
#[should_panic(expected = "whole blocks")]
fn plaintext_that_is_no_multiple_of_the_block_never_leaves() {
    let suite: Suite = "aes128-sha256".parse().unwrap();
    let cipher = Cipher::new(suite, &material(suite)).unwrap();
    cipher.seal(1, false, &mut unsealed(suite, 1, &TEXT[..20]));
}
