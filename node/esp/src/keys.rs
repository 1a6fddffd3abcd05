//! Key material of one SA.

use std::fmt;

use zeroize::Zeroizing;

use crate::suite::{Integrity, Suite};

/// The keys of one direction, as IKE cuts them from KEYMAT: encryption key, salt, integrity key (RFC 7296 §2.17,
/// RFC 4106 §8.1). Wiped when dropped, and never printed.
pub struct KeyMaterial(Zeroizing<Vec<u8>>);

/// Which algorithm a key did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    Esp(Suite),
    Ah(Integrity),
}

/// Key material of the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{suite} needs {needed} bytes of key material, got {given}")]
pub struct KeyError {
    pub needed: usize,
    pub given: usize,
    pub suite: Keyed,
}

/// Cut as the suite wants it.
pub(crate) struct Keys<'a> {
    pub(crate) encryption: &'a [u8],
    /// All zero if the suite has none.
    pub(crate) salt: [u8; 4],
    pub(crate) integrity: &'a [u8],
    /// Of the whole, for constructors that check lengths once more.
    pub(crate) error: KeyError,
}

impl KeyMaterial {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// For an ESP SA.
    pub(crate) fn split(&self, suite: Suite) -> Result<Keys<'_>, KeyError> {
        let error = self.error(suite.key_len(), Keyed::Esp(suite));
        if self.0.len() != suite.key_len() {
            return Err(error);
        }
        let (encryption, rest) = self.0.split_at_checked(suite.encryption_key_len()).ok_or(error)?;
        let (salt, integrity) = rest.split_at_checked(suite.salt_len()).ok_or(error)?;
        Ok(Keys { encryption, salt: salt.first_chunk().copied().unwrap_or_default(), integrity, error })
    }

    /// For an AH SA: one key, with GMAC's salt at its end.
    pub(crate) fn whole(&self, integrity: Integrity) -> Result<(&[u8], KeyError), KeyError> {
        let error = self.error(integrity.key_len(), Keyed::Ah(integrity));
        if self.0.len() == integrity.key_len() { Ok((&self.0, error)) } else { Err(error) }
    }

    fn error(&self, needed: usize, suite: Keyed) -> KeyError {
        KeyError { needed, given: self.0.len(), suite }
    }
}

impl fmt::Display for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Esp(suite) => write!(f, "esp {suite}"),
            Self::Ah(integrity) => write!(f, "ah {integrity}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_is_cut_into_encryption_key_salt_and_integrity_key() {
        let suite: Suite = "aes128ctr-sha256".parse().unwrap();
        let material = KeyMaterial::new((0..52).collect());
        let keys = material.split(suite).unwrap();
        assert_eq!(keys.encryption, (0..16).collect::<Vec<_>>());
        assert_eq!(keys.salt, [16, 17, 18, 19]);
        assert_eq!(keys.integrity, (20..52).collect::<Vec<_>>());
    }

    #[test]
    fn material_of_the_wrong_length_says_what_is_needed() {
        let error = KeyMaterial::new(vec![0; 16]).split(Suite::AES_128_GCM_16).err().unwrap();
        assert_eq!(error.to_string(), "esp aes128gcm16 needs 20 bytes of key material, got 16");
        let error = KeyMaterial::new(vec![0; 33]).whole(Integrity::HmacSha256).err().unwrap();
        assert_eq!(error.to_string(), "ah sha256 needs 32 bytes of key material, got 33");
    }
}
