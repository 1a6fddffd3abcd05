use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::{PrfFn, SignedOctets};

/// RFC 7296 §2.15: 17 octets of ASCII without a terminator.
const KEY_PAD: &[u8; 17] = b"Key Pad for IKEv2";

/// Below this many bits, an active attacker who met one of our peers guesses the secret at his desk
/// (RFC 7296 §5: the secret should carry as much as the strongest key).
const STRONG_BITS: u32 = 96;

/// A secret that both sides know.
#[derive(Clone)]
pub struct PreSharedKey {
    secret: Zeroizing<Vec<u8>>,
    origin: Origin,
}

#[derive(Clone, Copy)]
enum Origin {
    Text,
    Binary,
}

/// Why a secret could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreSharedKeyError {
    #[error("the pre-shared key is empty")]
    Empty,
    #[error("the pre-shared key after 0x is not hexadecimal")]
    Hexadecimal,
    #[error("the pre-shared key after 0s is not base64")]
    Base64,
}

/// Why a secret deserves a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Weakness {
    #[error("the pre-shared key has at most {bits} bits; use 20 random characters or more")]
    Short { bits: u32 },
    #[error(
        "the ppk has at most {bits} bits, and a quantum computer halves them; write 0x and 64 random digits"
    )]
    Classical { bits: u32 },
    #[error("the pre-shared key repeats {distinct} characters; use random ones")]
    Repetitive { distinct: usize },
}

impl PreSharedKey {
    pub fn new(secret: &[u8]) -> Result<Self, PreSharedKeyError> {
        Self::of(Zeroizing::new(secret.to_vec()), Origin::Binary)
    }

    /// strongSwan's notation: the characters themselves, `0x` and hexadecimal, or `0s` and base64.
    pub fn parse(text: &str) -> Result<Self, PreSharedKeyError> {
        if let Some(digits) = text.strip_prefix("0x") {
            return Self::of(hexadecimal(digits).ok_or(PreSharedKeyError::Hexadecimal)?, Origin::Binary);
        }
        if let Some(encoded) = text.strip_prefix("0s") {
            let secret = STANDARD.decode(encoded).map_err(|_| PreSharedKeyError::Base64)?;
            return Self::of(Zeroizing::new(secret), Origin::Binary);
        }
        Self::of(Zeroizing::new(text.as_bytes().to_vec()), Origin::Text)
    }

    fn of(secret: Zeroizing<Vec<u8>>, origin: Origin) -> Result<Self, PreSharedKeyError> {
        if secret.is_empty() {
            return Err(PreSharedKeyError::Empty);
        }
        Ok(Self { secret, origin })
    }

    /// What to warn the user of, if anything: an upper bound of what the secret can carry, never a promise.
    pub fn weakness(&self) -> Option<Weakness> {
        let mut seen = [false; 256];
        for &byte in self.secret.iter() {
            if let Some(slot) = seen.get_mut(usize::from(byte)) {
                *slot = true;
            }
        }
        let distinct = seen.iter().filter(|slot| **slot).count();
        let bits = self.bits();
        if bits < STRONG_BITS {
            return Some(Weakness::Short { bits });
        }
        (distinct < 8).then_some(Weakness::Repetitive { distinct })
    }

    /// What it can carry at most.
    pub(super) fn bits(&self) -> u32 {
        let length = u32::try_from(self.secret.len()).unwrap_or(u32::MAX);
        let millibits = match self.origin {
            Origin::Binary => 8_000,
            Origin::Text => millibits_of_a_character(&self.secret),
        };
        length.saturating_mul(millibits) / 1_000
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.secret
    }

    /// AUTH = prf(prf(secret, "Key Pad for IKEv2"), signed octets).
    pub(crate) fn auth(&self, octets: &SignedOctets, prf: PrfFn<'_>) -> Zeroizing<Vec<u8>> {
        prf(&prf(&self.secret, KEY_PAD), octets.as_bytes())
    }

    pub(crate) fn verify(&self, data: &[u8], octets: &SignedOctets, prf: PrfFn<'_>) -> Choice {
        self.auth(octets, prf).ct_eq(data)
    }
}

/// What one character carries at most, by the classes of characters in use.
fn millibits_of_a_character(secret: &[u8]) -> u32 {
    let size_of_the_class =
        |class: fn(&u8) -> bool, size: u32| if secret.iter().any(class) { size } else { 0 };
    let alphabet = size_of_the_class(u8::is_ascii_lowercase, 26)
        + size_of_the_class(u8::is_ascii_uppercase, 26)
        + size_of_the_class(u8::is_ascii_digit, 10)
        + size_of_the_class(|byte| !byte.is_ascii_alphanumeric(), 33);
    match alphabet {
        0..=10 => 3_321,
        11..=26 => 4_700,
        27..=33 => 5_044,
        34..=52 => 5_700,
        53..=62 => 5_954,
        _ => 6_569,
    }
}

fn hexadecimal(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    super::identity::hexadecimal(digits).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_in_strongswans_notation() {
        let secret = |text: &str| PreSharedKey::parse(text).map(|key| key.secret.to_vec());
        assert_eq!(secret("a b"), Ok(b"a b".to_vec()));
        assert_eq!(secret("0x00fF"), Ok(vec![0, 255]));
        assert_eq!(secret("0sAAEC"), Ok(vec![0, 1, 2]));
        assert_eq!(secret(""), Err(PreSharedKeyError::Empty));
        assert_eq!(secret("0x"), Err(PreSharedKeyError::Empty));
        assert_eq!(secret("0x123"), Err(PreSharedKeyError::Hexadecimal));
        assert_eq!(secret("0x+1"), Err(PreSharedKeyError::Hexadecimal));
        assert_eq!(secret("0s%%"), Err(PreSharedKeyError::Base64));
    }

    #[test]
    fn trap_13_a_weak_secret_gets_a_warning() {
        let weakness = |text: &str| PreSharedKey::parse(text).expect("a secret").weakness();
        assert_eq!(weakness("12345678"), Some(Weakness::Short { bits: 26 }));
        assert!(matches!(weakness("secret"), Some(Weakness::Short { .. })));
        assert!(matches!(weakness("0x0011223344556677"), Some(Weakness::Short { bits: 64 })));
        assert_eq!(weakness("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), Some(Weakness::Repetitive { distinct: 1 }));
        assert_eq!(weakness("uT7.kQ_2mVx9eR4pLs0b"), None);
    }
}
