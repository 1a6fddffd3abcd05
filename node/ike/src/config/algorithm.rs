//! The algorithms that a proposal can name: strongSwan's words, IANA's numbers, and how far each may be trusted.

mod table;

use std::fmt;

use crate::crypto::Group;
use table::{Class, row_of, unsupported_name};
pub(super) use table::{of_name, prf_beside};

/// What a transform decides (IANA "Transform Type Values"; RFC 7296 §3.3.2, RFC 9370 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TransformKind {
    Encryption,
    Prf,
    Integrity,
    KeyExchange,
    SequenceNumbers,
    /// The additional key exchanges, 1 to 7.
    AdditionalKeyExchange(u8),
    /// A proposal with it cannot be chosen (RFC 7296 §3.3.6).
    Unknown(u8),
}

impl TransformKind {
    pub const fn number(self) -> u8 {
        match self {
            Self::Encryption => 1,
            Self::Prf => 2,
            Self::Integrity => 3,
            Self::KeyExchange => 4,
            Self::SequenceNumbers => 5,
            Self::AdditionalKeyExchange(round) => round.saturating_add(5),
            Self::Unknown(number) => number,
        }
    }

    pub const fn of_number(number: u8) -> Self {
        match number {
            1 => Self::Encryption,
            2 => Self::Prf,
            3 => Self::Integrity,
            4 => Self::KeyExchange,
            5 => Self::SequenceNumbers,
            6..=12 => Self::AdditionalKeyExchange(number - 5),
            other => Self::Unknown(other),
        }
    }

    /// In words, for a diagnosis.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Encryption => "encryption",
            Self::Prf => "PRF",
            Self::Integrity => "integrity",
            Self::KeyExchange => "key exchange",
            Self::SequenceNumbers => "extended sequence numbers",
            Self::AdditionalKeyExchange(_) => "additional key exchange",
            Self::Unknown(_) => "unknown transform",
        }
    }
}

/// One algorithm in one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transform {
    pub kind: TransformKind,
    /// IANA's number.
    pub id: u16,
    /// The Key Length attribute (RFC 7296 §3.3.5), for ciphers of several key lengths only.
    pub key_bits: Option<u16>,
}

impl Transform {
    pub const fn new(kind: TransformKind, id: u16) -> Self {
        Self { kind, id, key_bits: None }
    }

    /// 32-bit sequence numbers.
    pub const NO_ESN: Self = Self::new(TransformKind::SequenceNumbers, 0);
    /// 64-bit sequence numbers.
    pub const ESN: Self = Self::new(TransformKind::SequenceNumbers, 1);

    /// NONE, which is 0 for integrity and key exchanges alike.
    pub const fn is_none(self) -> bool {
        self.id == 0
            && matches!(
                self.kind,
                TransformKind::Integrity
                    | TransformKind::KeyExchange
                    | TransformKind::AdditionalKeyExchange(_)
            )
    }

    /// Encrypts and authenticates at once (RFC 5282, RFC 7634).
    pub fn is_combined(self) -> bool {
        self.kind == TransformKind::Encryption && matches!(self.id, 18..=20 | 28)
    }

    /// Too weak to be offered to anybody (RFC 8247, RFC 8221), but all that some old routers know.
    pub fn is_legacy(self) -> bool {
        row_of(self).is_some_and(|row| row.class == Class::Legacy)
    }

    /// Of an algorithm that this crate can name, in the place where it can stand.
    pub fn is_known(self) -> bool {
        self.is_none() || row_of(self).is_some() && !self.is_misplaced()
    }

    /// Too long for a message that nothing fragments: to be an additional key exchange, not the first.
    pub fn is_misplaced(self) -> bool {
        self.kind == TransformKind::KeyExchange
            && Group::try_from(self.id).is_ok_and(Group::is_additional_only)
    }
}

/// In strongSwan's notation; what has no name there is shown by its numbers.
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let TransformKind::AdditionalKeyExchange(round) = self.kind {
            write!(f, "ke{round}_")?;
        }
        if self.is_none() {
            return f.write_str(if self.kind == TransformKind::KeyExchange { "modpnone" } else { "none" });
        }
        if let Some(row) = row_of(*self) {
            return f.write_str(row.name);
        }
        let word = match self.kind {
            TransformKind::Encryption => "encr",
            TransformKind::Prf => "prf",
            TransformKind::Integrity => "integ",
            TransformKind::KeyExchange | TransformKind::AdditionalKeyExchange(_) => "ke",
            TransformKind::SequenceNumbers => "esn",
            TransformKind::Unknown(number) => {
                return write!(f, "type{number}:{}", self.id);
            }
        };
        let name = unsupported_name(self.kind, self.id);
        match (name, self.key_bits) {
            (Some(name), None) => f.write_str(name),
            (Some(name), Some(bits)) => write!(f, "{name}_{bits}"),
            (None, None) => write!(f, "{word}:{}", self.id),
            (None, Some(bits)) => write!(f, "{word}:{}_{bits}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_their_numbers_belong_together() {
        for number in 0..=u8::MAX {
            assert_eq!(TransformKind::of_number(number).number(), number);
        }
    }

    #[test]
    fn what_is_not_supported_is_still_shown() {
        assert_eq!(Transform::new(TransformKind::KeyExchange, 24).to_string(), "modp2048s256");
        let second = TransformKind::AdditionalKeyExchange(2);
        assert_eq!(Transform::new(second, 36).to_string(), "ke2_mlkem768");
        assert_eq!(Transform::new(TransformKind::Unknown(200), 3).to_string(), "type200:3");
        let camellia = Transform { kind: TransformKind::Encryption, id: 23, key_bits: Some(256) };
        assert_eq!(camellia.to_string(), "camellia_256");
    }
}
