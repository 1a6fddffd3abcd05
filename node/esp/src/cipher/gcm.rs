//! AES-GCM with ICVs of 16, 12 and 8 bytes, on RustCrypto.

use aes::cipher::consts::{U12, U16};
use aes::cipher::{BlockCipher, BlockEncrypt, BlockSizeUser, KeyInit};
use aes_gcm::AesGcm;
use aes_gcm::aead::AeadInPlace;
use subtle::ConstantTimeEq;

use super::Forged;
use super::block::counter_mode;
use super::ghash::Authenticator;
use crate::keys::KeyError;

/// `aes-gcm` has no tag of 8 bytes, and RFC 4106's short ICV is nothing but the tag's beginning: so it seals, and the
/// tag that a packet should have had is computed apart.
pub(super) struct Gcm<C> {
    aead: AesGcm<C, U12>,
    authenticator: Authenticator<C>,
}

impl<C> Gcm<C>
where
    C: BlockCipher + BlockSizeUser<BlockSize = U16> + BlockEncrypt + KeyInit + Clone,
{
    pub(super) fn new(key: &[u8], error: KeyError) -> Result<Self, KeyError> {
        let cipher = C::new_from_slice(key).map_err(|_| error)?;
        Ok(Self { authenticator: Authenticator::new(cipher.clone()), aead: cipher.into() })
    }

    pub(super) fn seal(&self, nonce: [u8; 12], aad: &[u8], text: &mut [u8], icv: &mut [u8]) {
        let tag = self
            .aead
            .encrypt_in_place_detached(&nonce.into(), aad, text)
            .expect("a packet is far below the 64 GiB that GCM can encrypt");
        for (to, from) in icv.iter_mut().zip(tag) {
            *to = from;
        }
    }

    pub(super) fn open(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        text: &mut [u8],
        icv: &[u8],
    ) -> Result<(), Forged> {
        let tag = self.authenticator.tag(nonce, &[aad], text);
        let expected = tag.get(..icv.len()).ok_or(Forged)?;
        if !bool::from(expected.ct_eq(icv)) {
            return Err(Forged);
        }
        counter_mode(self.authenticator.cipher(), nonce, 2, text);
        Ok(())
    }
}
