//! A key as it is written.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use zeroize::{Zeroize as _, Zeroizing};

use super::hex;

/// Key material of one SA; zeroized, and never shown.
pub(super) struct Key(pub(super) Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digits)
    }
}

struct Digits;

const HOW: &str = "a key is written in quotes, two hexadecimal digits for each byte, such as \"0x0f1e2d…\"";

impl Visitor<'_> for Digits {
    type Value = Key;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HOW)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
        hex::decode(text).map(Key).ok_or_else(|| E::custom(HOW))
    }

    fn visit_string<E: de::Error>(self, mut text: String) -> Result<Key, E> {
        let key = self.visit_str(&text);
        text.zeroize();
        key
    }

    // The messages of serde repeat the value.
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Key, E> {
        Err(E::custom(HOW))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Key, E> {
        Err(E::custom(HOW))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Key, E> {
        Err(E::custom(HOW))
    }
}
