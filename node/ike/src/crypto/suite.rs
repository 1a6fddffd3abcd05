//! The algorithms that protect one IKE SA.

use super::algorithm::{Encryption, Integrity, Prf};

/// What an IKE SA has agreed on beside its key exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Suite {
    encryption: Encryption,
    integrity: Option<Integrity>,
    prf: Prf,
}

/// Why two algorithms do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    #[error("{0} authenticates nothing: an integrity algorithm is needed, as in {0}-sha256")]
    IntegrityMissing(Encryption),
    /// RFC 5282 §8.
    #[error("{0} has its own integrity, none goes beside it")]
    IntegritySuperfluous(Encryption),
}

impl Suite {
    pub const fn new(
        encryption: Encryption,
        integrity: Option<Integrity>,
        prf: Prf,
    ) -> Result<Self, SuiteError> {
        match (encryption.is_aead(), integrity) {
            (true, Some(_)) => Err(SuiteError::IntegritySuperfluous(encryption)),
            (false, None) => Err(SuiteError::IntegrityMissing(encryption)),
            (true, None) | (false, Some(_)) => Ok(Self { encryption, integrity, prf }),
        }
    }

    pub const fn encryption(self) -> Encryption {
        self.encryption
    }

    /// `None` for an AEAD.
    pub const fn integrity(self) -> Option<Integrity> {
        self.integrity
    }

    pub const fn prf(self) -> Prf {
        self.prf
    }

    /// Bytes of SK_a in one direction; an AEAD has none (RFC 5282 §7.2).
    pub(super) fn integrity_key_len(self) -> usize {
        self.integrity.map_or(0, Integrity::key_len)
    }
}
