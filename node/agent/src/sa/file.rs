//! The file as it is written: its tables one to one, each value with its place in the text.

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;

use super::key::Key;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) sa: Vec<SaTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SaTable {
    pub(super) name: Spanned<String>,
    pub(super) mode: Spanned<ModeName>,
    pub(super) suite: Spanned<String>,
    #[serde(default)]
    pub(super) esn: bool,
    pub(super) replay_window: Option<Spanned<Number>>,
    #[serde(default)]
    pub(super) encapsulation: EncapsulationName,
    pub(super) remote: Spanned<String>,
    pub(super) local: Option<Spanned<String>>,
    pub(super) local_ts: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) remote_ts: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) inbound: DirectionTable,
    pub(super) outbound: DirectionTable,
    pub(super) lifetime: Option<LifetimeTable>,
    pub(super) tfc: Option<Spanned<Number>>,
    pub(super) dscp: Option<Spanned<Number>>,
    pub(super) follow_remote: Option<Spanned<bool>>,
    pub(super) path_mtu: Option<Spanned<Number>>,
    pub(super) partial_checksums: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) allow_legacy: bool,
    #[serde(default)]
    pub(super) allow_null: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EncapsulationName {
    #[default]
    Udp,
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ModeName {
    Tunnel,
    Transport,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DirectionTable {
    pub(super) spi: Spanned<Number>,
    pub(super) key: Spanned<Key>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LifetimeTable {
    #[serde(default)]
    pub(super) soft: LimitsTable,
    #[serde(default)]
    pub(super) hard: LimitsTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsTable {
    pub(super) bytes: Option<Spanned<Number>>,
    pub(super) packets: Option<Spanned<Number>>,
    pub(super) time: Option<Spanned<Number>>,
}

/// `5`, or `"5 GiB"`.
#[derive(Debug)]
pub(crate) enum Number {
    Integer(i64),
    Text(String),
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, or a text in quotes")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number::Integer(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                Ok(Number::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}
