//! Text that nobody else should see.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use zeroize::{Zeroize as _, Zeroizing};

use crate::sa::{decode, encode};

/// Zeroized, and never shown. It travels as hexadecimal digits: they need no escapes, which a JSON parser would
/// resolve in memory of its own that nobody clears.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(self.0.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digits)
    }
}

struct Digits;

const WANTED: &str = "text in UTF-8 as hexadecimal digits";

impl Visitor<'_> for Digits {
    type Value = SecretText;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(WANTED)
    }

    fn visit_str<E: de::Error>(self, digits: &str) -> Result<SecretText, E> {
        let bytes = decode(digits).ok_or_else(|| E::custom(WANTED))?;
        let text = str::from_utf8(&bytes).map_err(|_| E::custom(WANTED))?;
        Ok(SecretText(Zeroizing::new(text.to_owned())))
    }

    fn visit_string<E: de::Error>(self, mut digits: String) -> Result<SecretText, E> {
        let text = self.visit_str(&digits);
        digits.zeroize();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown_and_reads_back() {
        let secret = SecretText::new(Zeroizing::new("key = \"00ff\"\n".to_owned()));
        assert!(!format!("{secret:?}").contains("00ff"));
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(json, "\"6b6579203d202230306666220a\"");
        assert_eq!(serde_json::from_str::<SecretText>(&json).unwrap(), secret);
        for bad in ["\"6b6\"", "\"ff\"", "7", "\"zz\""] {
            assert!(serde_json::from_str::<SecretText>(bad).is_err(), "{bad}");
        }
    }
}
