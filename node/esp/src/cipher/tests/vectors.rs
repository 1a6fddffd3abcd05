//! Packets and messages that the RFCs and NIST published.

mod block;
mod chacha;
mod gcm;
mod mac;

use super::*;

/// A packet of an AEAD, in hexadecimal.
struct EspVector {
    key: &'static str,
    /// Salt and IV.
    nonce: &'static str,
    /// SPI and sequence number, of 4 bytes or of 8.
    header: &'static str,
    /// With padding, pad length and next header.
    text: &'static str,
    sealed: &'static str,
    /// Of 16 bytes.
    icv: &'static str,
}

/// Seals and opens, by `ring` where it can and by `aes-gcm`.
fn run(vector: &EspVector, suite: &str, icv_len: usize) {
    let suite: Suite = suite.parse().unwrap();
    let nonce = hex(vector.nonce);
    let (salt, iv) = nonce.split_at(4);
    let material = KeyMaterial::new([&hex(vector.key), salt].concat());
    let header = hex(vector.header);
    let (spi, sequence) = header.split_at(4);
    let esn = sequence.len() == 8;
    let low = &sequence[sequence.len() - 4..];
    let sequence = sequence.iter().fold(0, |number, &byte| (number << 8) | u64::from(byte));
    let text = hex(vector.text);
    let unsealed = [spi, low, iv, &text, &vec![0; icv_len]].concat();
    let sealed = [spi, low, iv, &hex(vector.sealed), &hex(vector.icv)[..icv_len]].concat();

    for constructor in [Cipher::new, Cipher::new_portable] {
        let cipher = constructor(suite, &material).unwrap();
        let mut packet = unsealed.clone();
        cipher.seal_with_its_iv(sequence, esn, &mut packet);
        assert_eq!(packet, sealed, "{suite} seals {}", vector.header);
        assert_eq!(cipher.open(sequence, esn, &mut packet), Ok(()), "{suite} opens {}", vector.header);
        assert_eq!(text_of(suite, &packet), text);
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4) | pair[1]).collect()
}
