//! Encryption that authenticates nothing by itself: CBC, CTR, NULL.

use aes::cipher::block_padding::NoPadding;
use aes::cipher::consts::U16;
use aes::cipher::{
    BlockCipher, BlockDecrypt, BlockDecryptMut, BlockEncrypt, BlockEncryptMut, BlockSizeUser, InnerIvInit,
    KeyInit, StreamCipher,
};
use aes::{Aes128, Aes192, Aes256};
use ctr::{Ctr32BE, CtrCore};
use des::TdesEde3;

use super::{Forged, counter_block, nonce};
use crate::keys::KeyError;
use crate::suite::{Encryption, EncryptionKind};

pub(super) enum BlockMode {
    Cbc128(Aes128),
    Cbc192(Aes192),
    Cbc256(Aes256),
    CbcTripleDes(TdesEde3),
    Ctr128(Aes128, [u8; 4]),
    Ctr192(Aes192, [u8; 4]),
    Ctr256(Aes256, [u8; 4]),
    /// RFC 2410.
    Null,
}

impl BlockMode {
    pub(super) fn new(
        encryption: Encryption,
        key: &[u8],
        salt: [u8; 4],
        error: KeyError,
    ) -> Result<Self, KeyError> {
        use EncryptionKind as Kind;
        Ok(match (encryption.kind(), key.len()) {
            (Kind::Cbc, 16) => Self::Cbc128(keyed(key, error)?),
            (Kind::Cbc, 24) => Self::Cbc192(keyed(key, error)?),
            (Kind::Cbc, _) => Self::Cbc256(keyed(key, error)?),
            (Kind::TripleDes, _) => Self::CbcTripleDes(keyed(key, error)?),
            (Kind::Ctr, 16) => Self::Ctr128(keyed(key, error)?, salt),
            (Kind::Ctr, 24) => Self::Ctr192(keyed(key, error)?, salt),
            (Kind::Ctr, _) => Self::Ctr256(keyed(key, error)?, salt),
            (Kind::Null, _) => Self::Null,
            // `Suite` lets no integrity algorithm stand beside a combined mode.
            (Kind::Gcm | Kind::ChaCha | Kind::Gmac, _) => return Err(error),
        })
    }

    /// `iv` is as long as the suite says.
    pub(super) fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        match self {
            Self::Cbc128(cipher) => encrypt_counter(cipher, sequence, iv),
            Self::Cbc192(cipher) => encrypt_counter(cipher, sequence, iv),
            Self::Cbc256(cipher) => encrypt_counter(cipher, sequence, iv),
            Self::CbcTripleDes(cipher) => encrypt_counter(cipher, sequence, iv),
            Self::Ctr128(..) | Self::Ctr192(..) | Self::Ctr256(..) => {
                iv.copy_from_slice(&sequence.to_be_bytes());
            }
            Self::Null => {}
        }
    }

    /// # Panics
    /// If CBC's plaintext is no multiple of the block.
    pub(super) fn encrypt(&self, iv: &[u8], text: &mut [u8]) {
        match self {
            Self::Cbc128(cipher) => cbc_encrypt(cipher, iv, text),
            Self::Cbc192(cipher) => cbc_encrypt(cipher, iv, text),
            Self::Cbc256(cipher) => cbc_encrypt(cipher, iv, text),
            Self::CbcTripleDes(cipher) => cbc_encrypt(cipher, iv, text),
            Self::Ctr128(cipher, salt) => counter_mode(cipher, nonce(*salt, iv), 1, text),
            Self::Ctr192(cipher, salt) => counter_mode(cipher, nonce(*salt, iv), 1, text),
            Self::Ctr256(cipher, salt) => counter_mode(cipher, nonce(*salt, iv), 1, text),
            Self::Null => {}
        }
    }

    /// An authentic packet whose length is no multiple of the block is refused as if it were forged: no sender that
    /// follows RFC 4303 §2.4 makes one.
    pub(super) fn decrypt(&self, iv: &[u8], text: &mut [u8]) -> Result<(), Forged> {
        match self {
            Self::Cbc128(cipher) => cbc_decrypt(cipher, iv, text),
            Self::Cbc192(cipher) => cbc_decrypt(cipher, iv, text),
            Self::Cbc256(cipher) => cbc_decrypt(cipher, iv, text),
            Self::CbcTripleDes(cipher) => cbc_decrypt(cipher, iv, text),
            Self::Ctr128(..) | Self::Ctr192(..) | Self::Ctr256(..) | Self::Null => {
                self.encrypt(iv, text);
                Ok(())
            }
        }
    }
}

fn keyed<C: KeyInit>(key: &[u8], error: KeyError) -> Result<C, KeyError> {
    C::new_from_slice(key).map_err(|_| error)
}

/// The sequence number as one block, encrypted.
fn encrypt_counter<C: BlockEncrypt>(cipher: &C, sequence: u64, iv: &mut [u8]) {
    let mut block = aes::cipher::Block::<C>::default();
    for (to, from) in block.iter_mut().rev().zip(sequence.to_le_bytes()) {
        *to = from;
    }
    cipher.encrypt_block(&mut block);
    iv.copy_from_slice(&block);
}

fn cbc_encrypt<C: BlockCipher + BlockEncrypt>(cipher: &C, iv: &[u8], text: &mut [u8]) {
    cbc::Encryptor::inner_iv_slice_init(cipher, iv)
        .ok()
        .and_then(|mode| mode.encrypt_padded_mut::<NoPadding>(text, text.len()).ok())
        .expect("the table's IV is one block, and the caller pads to whole blocks");
}

fn cbc_decrypt<C: BlockCipher + BlockDecrypt>(cipher: &C, iv: &[u8], text: &mut [u8]) -> Result<(), Forged> {
    let mode = cbc::Decryptor::inner_iv_slice_init(cipher, iv).map_err(|_| Forged)?;
    mode.decrypt_padded_mut::<NoPadding>(text).map_err(|_| Forged)?;
    Ok(())
}

/// AES-CTR from the block number `first` on: 1 in RFC 3686 §4, 2 in GCM, whose tag has block 1 (NIST SP 800-38D §7.1).
pub(super) fn counter_mode<C>(cipher: &C, nonce: [u8; 12], first: u8, text: &mut [u8])
where
    C: BlockCipher + BlockSizeUser<BlockSize = U16> + BlockEncrypt,
{
    let start = counter_block(nonce, first);
    Ctr32BE::from_core(CtrCore::inner_iv_init(cipher, &start.into())).apply_keystream(text);
}
