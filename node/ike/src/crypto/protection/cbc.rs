//! AES-CBC or 3DES-CBC with HMAC: encrypted, then authenticated with the whole message (RFC 7296 §3.14).

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{
    BlockCipher, BlockDecrypt, BlockDecryptMut, BlockEncrypt, BlockEncryptMut, InnerIvInit, KeyInit,
};
use aes::{Aes128, Aes192, Aes256};
use des::TdesEde3;
use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Forged;
use crate::crypto::algorithm::{Encryption, Integrity};

pub(super) struct CbcHmac {
    cipher: Cipher,
    mac: hmac::Key,
    icv: usize,
}

enum Cipher {
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
    TripleDes(TdesEde3),
}

impl CbcHmac {
    /// # Panics
    /// If the keys are not as long as the algorithms say, or the first is an AEAD.
    pub(super) fn new(
        encryption: Encryption,
        encryption_key: &[u8],
        integrity: Integrity,
        integrity_key: &[u8],
    ) -> Self {
        let cipher = match encryption {
            Encryption::Aes128Cbc => Cipher::Aes128(keyed(encryption_key)),
            Encryption::Aes192Cbc => Cipher::Aes192(keyed(encryption_key)),
            Encryption::Aes256Cbc => Cipher::Aes256(keyed(encryption_key)),
            Encryption::TripleDesCbc => Cipher::TripleDes(keyed(encryption_key)),
            Encryption::Aes128Gcm16 | Encryption::Aes256Gcm16 | Encryption::ChaCha20Poly1305 => {
                panic!("a suite with an integrity algorithm has no AEAD")
            }
        };
        let algorithm = match integrity {
            Integrity::HmacSha256 => hmac::HMAC_SHA256,
            Integrity::HmacSha384 => hmac::HMAC_SHA384,
            Integrity::HmacSha512 => hmac::HMAC_SHA512,
            Integrity::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        };
        assert_eq!(integrity_key.len(), integrity.key_len(), "SK_a is as long as the suite says");
        Self { cipher, mac: hmac::Key::new(algorithm, integrity_key), icv: integrity.icv_len() }
    }

    /// Bytes of the cipher's block, which the IV has too.
    pub(super) fn block(&self) -> usize {
        self.cipher.block()
    }

    pub(super) fn icv_len(&self) -> usize {
        self.icv
    }

    pub(super) fn seal(&self, message: &mut Vec<u8>, counter: u64, inner: &[u8]) {
        // The counter, encrypted: nobody foretells it (NIST SP 800-38A appendix C).
        let block = self.block();
        let mut iv = vec![0; block];
        for (to, from) in iv.iter_mut().rev().zip(counter.to_le_bytes()) {
            *to = from;
        }
        self.cipher.encrypt_block(&mut iv);

        let padding = block - 1 - inner.len() % block;
        let mut text = Zeroizing::new(Vec::with_capacity(inner.len() + padding + 1));
        text.extend_from_slice(inner);
        text.resize(inner.len() + padding, 0);
        text.push(u8::try_from(padding).expect("less than a block"));
        self.cipher.encrypt(&iv, &mut text);

        message.extend_from_slice(&iv);
        message.extend_from_slice(&text);
        let tag = hmac::sign(&self.mac, message);
        message.extend(tag.as_ref().iter().take(self.icv));
    }

    pub(super) fn open(&self, header: &[u8], body: &[u8]) -> Result<Zeroizing<Vec<u8>>, Forged> {
        let authenticated = body.len().checked_sub(self.icv).ok_or(Forged)?;
        let (body, icv) = body.split_at_checked(authenticated).ok_or(Forged)?;
        let mut mac = hmac::Context::with_key(&self.mac);
        mac.update(header);
        mac.update(body);
        let tag = mac.sign();
        let expected = tag.as_ref().get(..self.icv).ok_or(Forged)?;
        if !bool::from(expected.ct_eq(icv)) {
            return Err(Forged);
        }
        let (iv, text) = body.split_at_checked(self.block()).ok_or(Forged)?;
        let mut text = Zeroizing::new(text.to_vec());
        self.cipher.decrypt(iv, &mut text)?;
        Ok(text)
    }
}

impl Cipher {
    fn block(&self) -> usize {
        match self {
            Self::Aes128(_) | Self::Aes192(_) | Self::Aes256(_) => 16,
            Self::TripleDes(_) => 8,
        }
    }

    fn encrypt_block(&self, block: &mut [u8]) {
        match self {
            Self::Aes128(cipher) => cipher.encrypt_block(block.into()),
            Self::Aes192(cipher) => cipher.encrypt_block(block.into()),
            Self::Aes256(cipher) => cipher.encrypt_block(block.into()),
            Self::TripleDes(cipher) => cipher.encrypt_block(block.into()),
        }
    }

    fn encrypt(&self, iv: &[u8], text: &mut [u8]) {
        match self {
            Self::Aes128(cipher) => cbc_encrypt(cipher, iv, text),
            Self::Aes192(cipher) => cbc_encrypt(cipher, iv, text),
            Self::Aes256(cipher) => cbc_encrypt(cipher, iv, text),
            Self::TripleDes(cipher) => cbc_encrypt(cipher, iv, text),
        }
    }

    fn decrypt(&self, iv: &[u8], text: &mut [u8]) -> Result<(), Forged> {
        match self {
            Self::Aes128(cipher) => cbc_decrypt(cipher, iv, text),
            Self::Aes192(cipher) => cbc_decrypt(cipher, iv, text),
            Self::Aes256(cipher) => cbc_decrypt(cipher, iv, text),
            Self::TripleDes(cipher) => cbc_decrypt(cipher, iv, text),
        }
    }
}

fn keyed<C: KeyInit>(key: &[u8]) -> C {
    C::new_from_slice(key).expect("SK_e is as long as the suite says")
}

fn cbc_encrypt<C: BlockCipher + BlockEncrypt>(cipher: &C, iv: &[u8], text: &mut [u8]) {
    cbc::Encryptor::inner_iv_slice_init(cipher, iv)
        .ok()
        .and_then(|mode| mode.encrypt_padded_mut::<NoPadding>(text, text.len()).ok())
        .expect("the IV is one block, and the text is padded to whole blocks");
}

/// Refuses what is not whole blocks.
fn cbc_decrypt<C: BlockCipher + BlockDecrypt>(cipher: &C, iv: &[u8], text: &mut [u8]) -> Result<(), Forged> {
    let mode = cbc::Decryptor::inner_iv_slice_init(cipher, iv).map_err(|_| Forged)?;
    mode.decrypt_padded_mut::<NoPadding>(text).map_err(|_| Forged)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hex;

    /// The example of NIST SP 800-67 (its appendix B) is in ECB: each block for itself, as CBC with an IV of zero does
    /// it.
    #[test]
    fn triple_des_does_the_example_of_sp_800_67() {
        let key = hex("0123456789abcdef23456789abcdef01456789abcdef0123");
        let cipher = Cipher::TripleDes(keyed(&key));
        for (text, sealed) in [
            (b"The qufc", "a826fd8ce53b855f"),
            (b"k brown ", "cce21c8112256fe6"),
            (b"fox jump", "68d5c05dd9b6b900"),
        ] {
            let mut block = text.to_vec();
            cipher.encrypt(&[0; 8], &mut block);
            assert_eq!(block, hex(sealed));
            cipher.decrypt(&[0; 8], &mut block).unwrap();
            assert_eq!(block, text);
        }
    }
}
