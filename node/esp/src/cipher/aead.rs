//! AEADs, each by the library that is fastest at it.

use aes::{Aes128, Aes192, Aes256};
use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey,
};

use super::Forged;
use super::gcm::Gcm;
use crate::keys::KeyError;
use crate::suite::{EncryptionKind, Suite};

/// How a suite's key becomes an AEAD; `None` if the suite is none that encrypts.
pub(super) type Constructor = fn(Suite, &[u8], KeyError) -> Result<Option<Aead>, KeyError>;

#[expect(clippy::large_enum_variant, reason = "one for each SA, which lives behind a pointer anyway")]
pub(super) enum Aead {
    /// `ring` does not wipe its key schedules.
    Ring(LessSafeKey),
    Aes128(Gcm<Aes128>),
    Aes192(Gcm<Aes192>),
    Aes256(Gcm<Aes256>),
}

impl Aead {
    /// On `ring` if it can.
    pub(super) fn new(suite: Suite, key: &[u8], error: KeyError) -> Result<Option<Self>, KeyError> {
        if suite == Suite::AES_128_GCM_16 {
            Self::ring(&AES_128_GCM, key, error).map(Some)
        } else if suite == Suite::AES_256_GCM_16 {
            Self::ring(&AES_256_GCM, key, error).map(Some)
        } else {
            Self::new_portable(suite, key, error)
        }
    }

    /// ChaCha20-Poly1305 has `ring` only.
    pub(super) fn new_portable(suite: Suite, key: &[u8], error: KeyError) -> Result<Option<Self>, KeyError> {
        use EncryptionKind as Kind;
        Ok(Some(match (suite.encryption().kind(), key.len()) {
            (Kind::Gcm, 16) => Self::Aes128(Gcm::new(key, error)?),
            (Kind::Gcm, 24) => Self::Aes192(Gcm::new(key, error)?),
            (Kind::Gcm, _) => Self::Aes256(Gcm::new(key, error)?),
            (Kind::ChaCha, _) => Self::ring(&CHACHA20_POLY1305, key, error)?,
            (Kind::Gmac | Kind::Cbc | Kind::TripleDes | Kind::Ctr | Kind::Null, _) => return Ok(None),
        }))
    }

    fn ring(algorithm: &'static Algorithm, key: &[u8], error: KeyError) -> Result<Self, KeyError> {
        let key = UnboundKey::new(algorithm, key).map_err(|_| error)?;
        Ok(Self::Ring(LessSafeKey::new(key)))
    }

    /// `icv` is as long as the suite says; a shorter one gets the tag's first bytes (RFC 4106 §6).
    pub(super) fn seal(&self, nonce: [u8; 12], aad: &[u8], text: &mut [u8], icv: &mut [u8]) {
        match self {
            Self::Ring(key) => {
                let tag = key
                    .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), text)
                    .expect("a packet is far below the 64 GiB that the AEAD can encrypt");
                icv.copy_from_slice(tag.as_ref());
            }
            Self::Aes128(gcm) => gcm.seal(nonce, aad, text, icv),
            Self::Aes192(gcm) => gcm.seal(nonce, aad, text, icv),
            Self::Aes256(gcm) => gcm.seal(nonce, aad, text, icv),
        }
    }

    pub(super) fn open(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        text: &mut [u8],
        icv: &[u8],
    ) -> Result<(), Forged> {
        match self {
            Self::Ring(key) => {
                let tag = Tag::try_from(icv).map_err(|_| Forged)?;
                let nonce = Nonce::assume_unique_for_key(nonce);
                let opened = key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, text, 0..).is_ok();
                if opened {
                    Ok(())
                } else {
                    // ring leaves unspecified what is in the buffer now.
                    text.fill(0);
                    Err(Forged)
                }
            }
            Self::Aes128(gcm) => gcm.open(nonce, aad, text, icv),
            Self::Aes192(gcm) => gcm.open(nonce, aad, text, icv),
            Self::Aes256(gcm) => gcm.open(nonce, aad, text, icv),
        }
    }
}
