//! AES-GCM (RFC 5282) and ChaCha20-Poly1305 (RFC 7634).

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::Forged;
use crate::crypto::algorithm::Encryption;

/// Bytes of the explicit IV.
pub(super) const IV: usize = 8;
pub(super) const ICV: usize = 16;

/// Bytes of the salt at the end of SK_e (RFC 5282 §7.1).
const SALT: usize = 4;

pub(super) struct Aead {
    key: LessSafeKey,
    salt: [u8; SALT],
}

impl Aead {
    /// # Panics
    /// If `key` is not as long as the algorithm says, or the algorithm is no AEAD.
    pub(super) fn new(encryption: Encryption, key: &[u8]) -> Self {
        let algorithm = match encryption {
            Encryption::Aes128Gcm16 => &AES_128_GCM,
            Encryption::Aes256Gcm16 => &AES_256_GCM,
            Encryption::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Encryption::Aes128Cbc
            | Encryption::Aes192Cbc
            | Encryption::Aes256Cbc
            | Encryption::TripleDesCbc => panic!("a suite without integrity algorithm has an AEAD"),
        };
        let (key, &salt) = key.split_last_chunk().expect("SK_e ends with the salt");
        let key = UnboundKey::new(algorithm, key).expect("SK_e is as long as the suite says");
        Self { key: LessSafeKey::new(key), salt }
    }

    fn nonce(&self, iv: [u8; IV]) -> Nonce {
        let mut nonce = [0; SALT + IV];
        for (to, from) in nonce.iter_mut().zip(self.salt.into_iter().chain(iv)) {
            *to = from;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// No padding is needed (RFC 5282 §3): its length is 0.
    pub(super) fn seal(&self, message: &mut Vec<u8>, counter: u64, inner: &[u8]) {
        self.seal_text(message, counter, [inner, &[0]].concat());
    }

    /// `text` ends with padding and its length. It is encrypted where it lies: no plaintext is left behind.
    pub(super) fn seal_text(&self, message: &mut Vec<u8>, counter: u64, mut text: Vec<u8>) {
        let iv = counter.to_be_bytes();
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(iv), Aad::from(&*message), &mut text)
            .expect("a message is far below the 64 GiB that the AEAD can encrypt");
        message.extend_from_slice(&iv);
        message.extend_from_slice(&text);
        message.extend_from_slice(tag.as_ref());
    }

    pub(super) fn open(&self, header: &[u8], body: &[u8]) -> Result<Zeroizing<Vec<u8>>, Forged> {
        let (&iv, sealed) = body.split_first_chunk().ok_or(Forged)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let opened = self.key.open_in_place(self.nonce(iv), Aad::from(header), &mut text);
        let len = opened.map_err(|_| Forged)?.len();
        text.truncate(len);
        Ok(text)
    }
}
