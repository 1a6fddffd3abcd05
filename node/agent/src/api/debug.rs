//! `twinmesh debug ike`, and the shape of its `--json`. Stable: fields may be added, never renamed or given another
//! meaning.

use serde::{Deserialize, Serialize};

use super::SecretText;

/// Which IKE messages a client wants to see. Answered by `{}`, then an [`IkeTrace`] a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugIke {
    /// All if `null`.
    #[serde(default)]
    pub site: Option<String>,
    /// Also those to come, until the client goes away.
    #[serde(default)]
    pub follow: bool,
    #[serde(default)]
    pub keys: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IkeTrace {
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// `null` while it is not known whom a message is from.
    pub site: Option<String>,
    /// Number of the IKE SA since the daemon began; `null` if it belongs to none.
    pub ike_sa: Option<u64>,
    pub local: Option<String>,
    pub remote: Option<String>,
    pub kind: IkeTraceKind,
    /// Why a message was dropped, or what happened.
    pub text: Option<String>,
    pub message: Option<IkeMessage>,
    /// Only if they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<IkeKeyLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IkeTraceKind {
    Sent,
    Received,
    /// A request without an answer went out once more.
    Retransmitted,
    /// The peer repeated a request and got its answer once more.
    AnsweredAgain,
    /// A part of a message that is not whole yet came in.
    Fragment,
    Dropped,
    Established,
    Rekeyed,
    Deleted,
    Failed,
    Keys,
    /// The reader is too slow.
    Lost,
}

/// An IKE message, or its header alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IkeMessage {
    /// Such as `IKE_AUTH`.
    pub exchange: String,
    pub response: bool,
    pub message_id: u32,
    /// Sixteen hexadecimal digits each.
    pub initiator_spi: String,
    pub responder_spi: String,
    /// Whether it was encrypted; `null` of a header alone.
    pub encrypted: Option<bool>,
    pub bytes: Option<u64>,
    /// More than one: in fragments.
    pub datagrams: u64,
    pub payloads: Vec<IkePayload>,
}

/// A payload in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IkePayload {
    pub name: String,
    pub text: String,
    pub details: Vec<String>,
}

/// A line of one of Wireshark's tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IkeKeyLine {
    /// `ikev2_decryption_table` or `esp_sa`.
    pub table: String,
    pub line: SecretText,
}
