//! Which algorithms an ESP SA uses.

mod tables;

use std::fmt;
use std::str::FromStr;

pub(crate) use tables::EncryptionKind;
pub use tables::{Encryption, Integrity};

/// How far a suite may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SuiteClass {
    /// Offered to anyone (RFC 8221 §5 and §6).
    Default,
    /// Only where a site opts in, because its router knows nothing better: 3DES, HMAC-SHA1-96, HMAC-MD5-96.
    Legacy,
    /// Encrypts nothing: NULL.
    TestOnly,
}

/// An encryption algorithm, and an integrity algorithm unless the first brings its own.
///
/// Written as in strongSwan's configuration: `aes128gcm16`, `aes256-sha384`, `3des-sha1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Suite {
    encryption: Encryption,
    integrity: Option<Integrity>,
}

/// Why a text or a pair of algorithms is no suite of ESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    #[error("unknown encryption algorithm")]
    UnknownEncryption,
    #[error("unknown integrity algorithm")]
    UnknownIntegrity,
    #[error("an ESP suite is an encryption and at most one integrity algorithm, nothing more")]
    TooManyParts,
    #[error("{0} authenticates nothing: an integrity algorithm is needed, as in {0}-sha256")]
    IntegrityMissing(Encryption),
    #[error("{0} has its own integrity, none goes beside it")]
    IntegritySuperfluous(Encryption),
    #[error("{0} is an integrity algorithm of AH; in ESP it stands alone, without encryption")]
    OnlyInAh(Integrity),
}

impl Suite {
    pub const AES_128_GCM_16: Self = Self { encryption: Encryption::Aes128Gcm16, integrity: None };
    pub const AES_256_GCM_16: Self = Self { encryption: Encryption::Aes256Gcm16, integrity: None };
    pub const CHACHA20_POLY1305: Self = Self { encryption: Encryption::ChaCha20Poly1305, integrity: None };

    /// Refuses what is not authenticated, or twice.
    pub const fn new(encryption: Encryption, integrity: Option<Integrity>) -> Result<Self, SuiteError> {
        match integrity {
            #[cfg(feature = "null")]
            None if matches!(encryption, Encryption::Null) => Ok(Self { encryption, integrity }),
            None if !encryption.is_combined() => Err(SuiteError::IntegrityMissing(encryption)),
            Some(integrity) if integrity.is_gmac() => Err(SuiteError::OnlyInAh(integrity)),
            Some(_) if encryption.is_combined() => Err(SuiteError::IntegritySuperfluous(encryption)),
            None | Some(_) => Ok(Self { encryption, integrity }),
        }
    }

    /// Every suite that exists, preferred first within its algorithm.
    pub fn all() -> impl Iterator<Item = Self> {
        Encryption::ALL.iter().flat_map(|&encryption| {
            let beside = Integrity::ALL.iter().copied().map(Some);
            std::iter::once(None)
                .chain(beside)
                .filter_map(move |integrity| Self::new(encryption, integrity).ok())
        })
    }

    pub const fn encryption(self) -> Encryption {
        self.encryption
    }

    /// `None` for an AEAD.
    pub const fn integrity(self) -> Option<Integrity> {
        self.integrity
    }

    /// Of the weaker half.
    pub const fn class(self) -> SuiteClass {
        let encryption = self.encryption.row().class;
        match self.integrity {
            Some(integrity) if integrity.row().class as u8 > encryption as u8 => integrity.row().class,
            Some(_) | None => encryption,
        }
    }

    /// Whether the payload is hidden: not with GMAC, not with NULL.
    pub const fn is_confidential(self) -> bool {
        self.encryption.is_confidential()
    }

    /// Bytes of the IV that travels in each packet.
    pub const fn iv_len(self) -> usize {
        self.encryption.row().iv
    }

    /// Bytes of the ICV at each packet's end.
    pub const fn icv_len(self) -> usize {
        match self.integrity {
            Some(integrity) => integrity.icv_len(),
            None => self.encryption.row().icv,
        }
    }

    /// The plaintext, trailer included, is a multiple of this; ESP itself asks for a multiple of 4 beside it.
    pub const fn block(self) -> usize {
        self.encryption.row().block
    }

    /// Bytes of key material in one direction: encryption key, salt, integrity key (RFC 7296 §2.17).
    pub const fn key_len(self) -> usize {
        let encryption = self.encryption_key_len() + self.salt_len();
        match self.integrity {
            Some(integrity) => encryption + integrity.key_len(),
            None => encryption,
        }
    }

    pub(crate) const fn encryption_key_len(self) -> usize {
        self.encryption.row().key
    }

    pub(crate) const fn salt_len(self) -> usize {
        self.encryption.row().salt
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encryption.name())?;
        self.integrity.map_or(Ok(()), |integrity| write!(f, "-{}", integrity.name()))
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Suite {
    type Err = SuiteError;

    fn from_str(text: &str) -> Result<Self, SuiteError> {
        let mut parts = text.split('-');
        let encryption = parts.next().and_then(Encryption::of_name).ok_or(SuiteError::UnknownEncryption)?;
        let integrity = parts
            .next()
            .map(|name| Integrity::of_name(name).ok_or(SuiteError::UnknownIntegrity))
            .transpose()?;
        if parts.next().is_some() {
            return Err(SuiteError::TooManyParts);
        }
        Self::new(encryption, integrity)
    }
}

#[cfg(test)]
mod tests;
