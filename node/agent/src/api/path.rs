//! The path of a peer, as `twinmesh status --json`, `explain --json` and `ping --json` show it. Stable: fields may be
//! added, never renamed or given another meaning.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use twinmesh_control::PathKind;

/// Where this node's packets to a peer go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// Whether relays carry the packets, else they go straight to the peer.
    pub relayed: bool,
    /// Where they go; of a relayed path the peer's port at its relay.
    pub remote: SocketAddr,
    /// How that address was learnt.
    pub kind: PathKind,
    /// Whether checks have proven it in both directions; else the peer is sent to wherever it was heard from.
    pub proven: bool,
    /// Round trip of the last check, in microseconds.
    pub rtt_us: Option<u64>,
    /// Longest IP packet that passes, in bytes: outside; of a relayed path inside.
    pub mtu: Option<u16>,
    /// For how many seconds the packets have gone this way.
    pub since_s: Option<u64>,
    /// What stands in the way of a direct path; empty where there is one.
    #[serde(default)]
    pub why_relayed: Vec<RelayReason>,
}

/// Why a path is not direct.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayReason {
    /// For programs: `no-common-ip-version`, `udp-blocked`, `both-map-by-destination`, `maps-by-destination`,
    /// `nat-not-known`, `no-answer`, `not-stable`, `checking`, `idle`; there may be more.
    pub code: String,
    /// For people: one sentence without its stop.
    pub text: String,
}

/// What came of checking one address of a peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStatus {
    pub state: CheckState,
    /// Round trip of the last answer, in microseconds.
    pub rtt_us: Option<u64>,
}

/// How far the checks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    Never,
    Waiting,
    Answered,
    Silent,
}
