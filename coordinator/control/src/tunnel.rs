//! What a node says of its tunnels.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::{Generation, NodeId, Protocol};

/// State of one tunnel: what is in the last report holds, what is in it no more has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelReport {
    pub peer: NodeId,
    /// What the node sends by at present.
    #[serde(default)]
    pub protocol: Protocol,
    /// Of the choice that the node sends by.
    #[serde(default)]
    pub generation: Generation,
    /// Where the peer's authenticated packets come from.
    pub endpoint: Option<SocketAddr>,
    /// Where the node sends to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathReport>,
    /// Protocols that the node tried with this peer, or used, and that do not work now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedProtocol>,
    /// Seconds since the last handshake.
    pub handshake_age: Option<u64>,
    /// Bytes of inner packets.
    pub received: u64,
    pub sent: u64,
}

/// The way that a node's packets take to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathReport {
    /// Whether over relays, else direct.
    pub relayed: bool,
    pub remote: SocketAddr,
    /// How that address was learnt.
    pub kind: PathKind,
    /// Round trip of the last check, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// Longest IP packet that passes, in bytes: outside; of a relayed path inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
}

open_enum! {
    /// How the far address of a path was learnt; the words of [`crate::EndpointKind`], and one more.
    PathKind {
        Host = "host",
        Reflexive = "reflexive",
        Mapped = "mapped",
        Configured = "configured",
        Relayed = "relayed",
        /// Nobody named it: a check came from there (RFC 8445 §7.3.1.3).
        PeerReflexive = "peer-reflexive",
    }
}

/// A protocol that does not work between the node and a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedProtocol {
    pub protocol: Protocol,
    /// Of the choice under which it failed. A coordinator counts a failure once for each choice that it made.
    #[serde(default)]
    pub generation: Generation,
    pub code: FailureCode,
    /// For people.
    pub text: String,
}

open_enum! {
    /// How a protocol failed; stable, for programs.
    FailureCode {
        /// No answer to the handshake or the key exchange.
        NoHandshake = "no-handshake",
        /// Keys were agreed, and then nothing came back, also not to probes.
        NoAnswer = "no-answer",
        /// Chosen, and not in working order within the time that a change may take.
        NotUpInTime = "not-up-in-time",
        /// The two ends do not agree on algorithms or identities.
        NotAgreed = "not-agreed",
    }
}
