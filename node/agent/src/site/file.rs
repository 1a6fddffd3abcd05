//! The file as it is written: its tables one to one, each value with its place in the text.

use serde::Deserialize;
use toml::Spanned;

use super::secret::Secret;
use crate::sa::Number;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteTable {
    pub(super) name: Spanned<String>,
    pub(super) remote: Spanned<String>,
    pub(super) local: Option<Spanned<String>>,
    pub(super) vendor: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) encapsulation: EncapsulationName,
    pub(super) start: Option<Spanned<StartName>>,
    pub(super) proposals: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    pub(super) allow_legacy: bool,
    pub(super) rekey_time: Option<Spanned<Number>>,
    pub(super) dpd_delay: Option<Spanned<Number>>,
    pub(super) dpd_action: Option<Spanned<AfterLossName>>,
    pub(super) reauth_time: Option<Spanned<Number>>,
    pub(super) mobike: Option<bool>,
    #[serde(default)]
    pub(super) retransmission: RetransmissionTable,
    pub(super) fragment_size: Option<Spanned<Number>>,
    #[serde(default)]
    pub(super) childless: ChildlessName,
    #[serde(default)]
    pub(super) uniqueness: UniquenessName,
    #[serde(default)]
    pub(super) single_pair: bool,
    pub(super) auth: Spanned<AuthTable>,
    #[serde(default)]
    pub(super) child: Vec<Spanned<ChildTable>>,
}

/// UDP goes wherever IKE went, while many firewalls drop IP protocol 50.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EncapsulationName {
    Auto,
    #[default]
    Udp,
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StartName {
    Start,
    Trap,
    None,
}

/// What to do about a peer that answers no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AfterLossName {
    Restart,
    Trap,
    Clear,
}

/// Of requests that get no answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetransmissionTable {
    pub(super) first: Option<Spanned<Number>>,
    pub(super) factor: Option<Spanned<f64>>,
    pub(super) longest: Option<Spanned<Number>>,
    pub(super) tries: Option<Spanned<u32>>,
}

/// Whether the IKE SA comes with its first child (RFC 6023).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ChildlessName {
    #[default]
    Allow,
    Prefer,
    Require,
    Never,
}

/// How many IKE SAs with the same peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum UniquenessName {
    #[default]
    Replace,
    Keep,
    Multiple,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ModeName {
    #[default]
    Tunnel,
    Transport,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthTable {
    pub(super) psk: Option<Spanned<Secret>>,
    pub(super) ppk: Option<Spanned<Secret>>,
    pub(super) ppk_id: Option<Spanned<String>>,
    pub(super) ppk_required: Option<Spanned<bool>>,
    pub(super) certificate: Option<Spanned<String>>,
    pub(super) key: Option<Spanned<String>>,
    pub(super) ca: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) crl: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) remote_public_key: Option<Spanned<String>>,
    pub(super) local_id: Option<Spanned<String>>,
    pub(super) remote_id: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChildTable {
    pub(super) name: Spanned<String>,
    pub(super) local_ts: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) remote_ts: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) routes: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) proposals: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    pub(super) mode: ModeName,
    pub(super) start: Option<Spanned<StartName>>,
    pub(super) rekey_time: Option<Spanned<Number>>,
    pub(super) life_time: Option<Spanned<Number>>,
    pub(super) rekey_bytes: Option<Spanned<Number>>,
    pub(super) path_mtu: Option<Spanned<Number>>,
    pub(super) replay_window: Option<Spanned<Number>>,
}
