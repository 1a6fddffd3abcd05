//! The shape of `twinmesh explain --json`. Stable: fields may be added, never renamed or given another meaning.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use twinmesh_control::{EndpointKind, Generation, NatReport};

use super::{CheckStatus, PeerStatus};

/// All of `explain --json`: one peer, what carries its traffic, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The address of the peer that was asked for, or its first.
    pub address: IpAddr,
    pub peer: PeerStatus,
    pub tags: Vec<String>,
    /// Whether only approved algorithms may protect the traffic.
    pub compliance: bool,
    /// Number of the coordinator's choice for this pair.
    #[serde(default)]
    pub generation: Generation,
    /// What stands before this node.
    pub nat: NatReport,
    /// What stands before the peer.
    #[serde(default)]
    pub peer_nat: NatReport,
    pub candidates: Vec<Candidate>,
    /// What happened to the tunnel, the oldest first.
    pub history: Vec<Happening>,
    /// What it means, in sentences.
    pub meaning: Vec<String>,
}

/// A place where the peer may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub address: SocketAddr,
    /// How it was learnt; `null`: nobody reported it, the peer was heard there.
    pub kind: Option<EndpointKind>,
    /// Whether the tunnel's packets go there.
    pub used: bool,
    /// Why it is never tried.
    pub problem: Option<String>,
    /// What came of its checks; `null`: there are none, as of a peer without an agent.
    #[serde(default)]
    pub check: Option<CheckStatus>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    pub text: String,
}
