//! The algorithms of an IKE SA: everything that depends on their numbers is read from these tables.

use std::fmt;

/// Encryption algorithms of the IKE SA (IKEv2 transform type 1).
///
/// AES-GCM and ChaCha20-Poly1305: RFC 5282, 7634. AES-CBC: RFC 3602. 3DES-CBC: RFC 2451, by opt-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Encryption {
    Aes128Gcm16,
    Aes256Gcm16,
    ChaCha20Poly1305,
    Aes128Cbc,
    Aes192Cbc,
    Aes256Cbc,
    TripleDesCbc,
}

/// Integrity algorithms of the IKE SA (IKEv2 transform type 3), beside CBC only.
///
/// HMAC-SHA2: RFC 4868. HMAC-SHA1-96: RFC 2404, by opt-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Integrity {
    HmacSha256,
    HmacSha384,
    HmacSha512,
    HmacSha1,
}

/// Pseudorandom functions (IKEv2 transform type 2): RFC 4868, and RFC 2104 with SHA-1 by opt-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Prf {
    HmacSha256,
    HmacSha384,
    HmacSha512,
    HmacSha1,
}

/// Key exchange methods (IKEv2 transform type 4; as additional exchange also 6 to 12, RFC 9370).
///
/// Curve25519: RFC 8031. ECP: RFC 5903. MODP: RFC 3526, and RFC 7296 appendix B for `Modp1024`, by opt-in as is
/// `Modp1536`. ML-KEM: draft-ietf-ipsecme-ikev2-mlkem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Group {
    X25519,
    Ecp256,
    Ecp384,
    Ecp521,
    Modp2048,
    Modp3072,
    Modp4096,
    MlKem768,
    Modp1536,
    Modp1024,
}

/// A number that is no algorithm of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("transform number {0} is not known here")]
pub struct UnknownTransform(pub u16);

/// Name as in strongSwan's configuration, number.
macro_rules! table {
    ($table:ident { $($variant:ident = $name:literal, $number:literal;)+ }) => {
        impl $table {
            /// Preferred first.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// In strongSwan's notation.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// IANA's transform number.
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)+ }
            }

            /// `None` for a word that names none; synonyms are the configuration's business.
            pub fn of_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $table {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl From<$table> for u16 {
            fn from(algorithm: $table) -> Self {
                algorithm.number()
            }
        }
    };
}

table! {
    Encryption {
        Aes256Gcm16 = "aes256gcm16", 20;
        Aes128Gcm16 = "aes128gcm16", 20;
        ChaCha20Poly1305 = "chacha20poly1305", 28;
        Aes256Cbc = "aes256", 12;
        Aes192Cbc = "aes192", 12;
        Aes128Cbc = "aes128", 12;
        TripleDesCbc = "3des", 3;
    }
}

table! {
    Integrity {
        HmacSha256 = "sha256", 12;
        HmacSha384 = "sha384", 13;
        HmacSha512 = "sha512", 14;
        HmacSha1 = "sha1", 2;
    }
}

table! {
    Prf {
        HmacSha256 = "prfsha256", 5;
        HmacSha384 = "prfsha384", 6;
        HmacSha512 = "prfsha512", 7;
        HmacSha1 = "prfsha1", 2;
    }
}

table! {
    Group {
        X25519 = "x25519", 31;
        Ecp256 = "ecp256", 19;
        Ecp384 = "ecp384", 20;
        Ecp521 = "ecp521", 21;
        Modp2048 = "modp2048", 14;
        Modp3072 = "modp3072", 15;
        Modp4096 = "modp4096", 16;
        MlKem768 = "mlkem768", 36;
        Modp1536 = "modp1536", 5;
        Modp1024 = "modp1024", 2;
    }
}

/// For the types whose number says it all.
macro_rules! from_number {
    ($($table:ident)+) => {$(
        impl TryFrom<u16> for $table {
            type Error = UnknownTransform;

            fn try_from(number: u16) -> Result<Self, UnknownTransform> {
                Self::ALL.iter().copied().find(|entry| entry.number() == number).ok_or(UnknownTransform(number))
            }
        }
    )+};
}

from_number!(Integrity Prf Group);

impl Encryption {
    /// The value of the Key Length attribute, which AES needs; ChaCha20-Poly1305 and 3DES must not have it
    /// (RFC 7296 §3.3.5, RFC 7634 §4).
    pub const fn key_bits(self) -> Option<u16> {
        match self {
            Self::Aes128Gcm16 | Self::Aes128Cbc => Some(128),
            Self::Aes192Cbc => Some(192),
            Self::Aes256Gcm16 | Self::Aes256Cbc => Some(256),
            Self::ChaCha20Poly1305 | Self::TripleDesCbc => None,
        }
    }

    /// From the transform's number and its Key Length attribute.
    pub fn of_transform(number: u16, key_bits: Option<u16>) -> Option<Self> {
        Self::ALL.iter().copied().find(|entry| entry.number() == number && entry.key_bits() == key_bits)
    }

    /// Bytes of SK_e: the key, and the salt of an AEAD (RFC 5282 §7.1).
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Cbc => 16,
            Self::Aes128Gcm16 => 20,
            Self::Aes192Cbc | Self::TripleDesCbc => 24,
            Self::Aes256Cbc => 32,
            Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => 36,
        }
    }

    /// Whether it authenticates too, so that no integrity algorithm is negotiated beside it.
    pub const fn is_aead(self) -> bool {
        match self {
            Self::Aes128Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => true,
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc | Self::TripleDesCbc => false,
        }
    }
}

impl Integrity {
    /// Bytes of SK_a (RFC 4868 §2.1.1).
    pub const fn key_len(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
            Self::HmacSha1 => 20,
        }
    }

    /// Bytes of the checksum at the message's end.
    pub const fn icv_len(self) -> usize {
        match self {
            Self::HmacSha256 => 16,
            Self::HmacSha384 => 24,
            Self::HmacSha512 => 32,
            Self::HmacSha1 => 12,
        }
    }
}

impl Prf {
    /// Bytes of its output, which is the preferred length of its key too (RFC 7296 §2.13).
    pub const fn output_len(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
            Self::HmacSha1 => 20,
        }
    }
}

impl Group {
    /// Bytes of the Key Exchange Data that the initiator sends.
    pub const fn public_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::Ecp256 => 64,
            Self::Ecp384 => 96,
            Self::Ecp521 => 132,
            Self::Modp1024 => 128,
            Self::Modp1536 => 192,
            Self::Modp2048 => 256,
            Self::Modp3072 => 384,
            Self::Modp4096 => 512,
            Self::MlKem768 => 1184,
        }
    }

    /// Bytes of the Key Exchange Data that the responder sends: a KEM's ciphertext, else the same as the initiator's.
    pub const fn response_len(self) -> usize {
        if matches!(self, Self::MlKem768) { 1088 } else { self.public_len() }
    }

    /// A KEM's keys need a reliable way and fragments: not for IKE_SA_INIT here, only as an additional exchange.
    pub const fn is_additional_only(self) -> bool {
        matches!(self, Self::MlKem768)
    }
}

#[cfg(test)]
mod tests;
