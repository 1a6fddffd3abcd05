//! Integrity algorithms, over pieces that lie apart; for ESP and AH.

use aes::{Aes128, Aes192, Aes256};
use hmac::Hmac;
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::Forged;
use super::ghash::Gmac;
use crate::keys::{KeyError, KeyMaterial};
use crate::suite::Integrity;

/// The longest ICV: HMAC-SHA2-512-256.
const LONGEST: usize = 32;

/// An integrity algorithm with its key. HMAC keeps the state after the padded key, so a packet pays for its own bytes
/// and two blocks only. `hmac` of this generation does not wipe that state when dropped; AES keys and GHASH are wiped.
pub(crate) struct Mac(Algorithm);

enum Algorithm {
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
    Sha1(Hmac<Sha1>),
    Md5(Hmac<Md5>),
    Gmac128(Gmac<Aes128>),
    Gmac192(Gmac<Aes192>),
    Gmac256(Gmac<Aes256>),
}

impl Mac {
    /// For AH, where all the key material is one integrity key.
    pub(crate) fn new(integrity: Integrity, material: &KeyMaterial) -> Result<Self, KeyError> {
        let (key, error) = material.whole(integrity)?;
        Self::with_key(integrity, key, error)
    }

    pub(super) fn with_key(integrity: Integrity, key: &[u8], error: KeyError) -> Result<Self, KeyError> {
        Ok(Self(match integrity {
            Integrity::HmacSha256 => Algorithm::Sha256(hmac(key, error)?),
            Integrity::HmacSha384 => Algorithm::Sha384(hmac(key, error)?),
            Integrity::HmacSha512 => Algorithm::Sha512(hmac(key, error)?),
            Integrity::HmacSha1 => Algorithm::Sha1(hmac(key, error)?),
            Integrity::HmacMd5 => Algorithm::Md5(hmac(key, error)?),
            Integrity::Aes128Gmac | Integrity::Aes192Gmac | Integrity::Aes256Gmac => {
                let (key, salt) = key.split_last_chunk().ok_or(error)?;
                return Self::gmac(key, *salt, error);
            }
        }))
    }

    /// By the key's length, 16, 24 or 32 bytes.
    pub(super) fn gmac(key: &[u8], salt: [u8; 4], error: KeyError) -> Result<Self, KeyError> {
        Ok(Self(match key.len() {
            16 => Algorithm::Gmac128(Gmac::new(key, salt, error)?),
            24 => Algorithm::Gmac192(Gmac::new(key, salt, error)?),
            _ => Algorithm::Gmac256(Gmac::new(key, salt, error)?),
        }))
    }

    /// `out` is as long as the ICV shall be; it gets the first bytes of the authenticator (RFC 4868 §2.3). `iv`
    /// matters to GMAC only, to which it must never come twice.
    ///
    /// # Panics
    /// If `out` is longer than the authenticator.
    pub(crate) fn compute(&self, pieces: &[&[u8]], iv: [u8; 8], out: &mut [u8]) {
        match &self.0 {
            Algorithm::Sha256(mac) => digest(mac, pieces, out),
            Algorithm::Sha384(mac) => digest(mac, pieces, out),
            Algorithm::Sha512(mac) => digest(mac, pieces, out),
            Algorithm::Sha1(mac) => digest(mac, pieces, out),
            Algorithm::Md5(mac) => digest(mac, pieces, out),
            Algorithm::Gmac128(mac) => truncate(&mac.tag(pieces, iv), out),
            Algorithm::Gmac192(mac) => truncate(&mac.tag(pieces, iv), out),
            Algorithm::Gmac256(mac) => truncate(&mac.tag(pieces, iv), out),
        }
    }

    /// In constant time.
    pub(crate) fn verify(&self, pieces: &[&[u8]], iv: [u8; 8], icv: &[u8]) -> Result<(), Forged> {
        let mut room = [0; LONGEST];
        let expected = room.get_mut(..icv.len()).ok_or(Forged)?;
        self.compute(pieces, iv, expected);
        if bool::from(expected.ct_eq(icv)) { Ok(()) } else { Err(Forged) }
    }
}

fn hmac<M: hmac::digest::KeyInit>(key: &[u8], error: KeyError) -> Result<M, KeyError> {
    M::new_from_slice(key).map_err(|_| error)
}

fn digest<M: hmac::Mac + Clone>(keyed: &M, pieces: &[&[u8]], out: &mut [u8]) {
    let mut mac = keyed.clone();
    for piece in pieces {
        mac.update(piece);
    }
    truncate(&mac.finalize().into_bytes(), out);
}

fn truncate(authenticator: &[u8], out: &mut [u8]) {
    out.copy_from_slice(authenticator.get(..out.len()).expect("no ICV is longer than its authenticator"));
}
