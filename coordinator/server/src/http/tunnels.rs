//! Tunnels, as the nodes at their ends report them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use twinmesh_control::{FailedProtocol, PathReport, TunnelReport};
use utoipa::ToSchema;

use crate::network::NetworkState;

/// A tunnel, as the node at one end reports it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TunnelView {
    /// Id of the node at the other end.
    pub peer: u64,
    /// Its name; null if it is gone by now.
    pub peer_name: Option<String>,
    /// What the node sends by: `wireguard` or `esp`.
    #[schema(example = "wireguard")]
    pub protocol: String,
    /// Of the choice that the node sends by.
    pub generation: u64,
    /// Where the peer's packets come from.
    #[schema(value_type = Option<String>)]
    pub endpoint: Option<SocketAddr>,
    /// Where the node sends to; null if it does not say.
    pub path: Option<PathView>,
    /// Protocols that do not work now, as the node says.
    pub failed: Vec<FailedView>,
    pub last_handshake_age_s: Option<u64>,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

/// The way that a node's packets take to a peer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PathView {
    /// Whether over a relay, else direct.
    pub relayed: bool,
    #[schema(value_type = String, example = "192.0.2.1:4500")]
    pub remote: SocketAddr,
    /// How that address was learnt: `host`, `reflexive`, `mapped`, `configured`, `relayed` or `peer-reflexive`.
    #[schema(example = "reflexive")]
    pub kind: String,
    /// Round trip of the last check, in microseconds.
    pub rtt_us: Option<u64>,
    /// Longest outer IP packet that passes, in bytes.
    pub mtu: Option<u16>,
}

/// A protocol that does not work between a node and a peer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FailedView {
    /// `wireguard` or `esp`.
    #[schema(example = "wireguard")]
    pub protocol: String,
    /// `no-handshake`, `no-answer`, `not-up-in-time` or `not-agreed`.
    #[schema(example = "no-answer")]
    pub code: String,
    /// For people.
    pub text: String,
}

impl TunnelView {
    pub(super) fn new(state: &NetworkState, tunnel: &TunnelReport) -> Self {
        Self {
            peer: tunnel.peer.0,
            peer_name: state.node(tunnel.peer).map(|node| node.name.clone()),
            protocol: tunnel.protocol.to_string(),
            generation: tunnel.generation.0,
            endpoint: tunnel.endpoint,
            path: tunnel.path.clone().map(PathView::from),
            failed: tunnel.failed.iter().cloned().map(FailedView::from).collect(),
            last_handshake_age_s: tunnel.handshake_age,
            received_bytes: tunnel.received,
            sent_bytes: tunnel.sent,
        }
    }
}

impl From<PathReport> for PathView {
    fn from(path: PathReport) -> Self {
        let PathReport { relayed, remote, kind, rtt_us, mtu } = path;
        Self { relayed, remote, kind: kind.to_string(), rtt_us, mtu }
    }
}

impl From<FailedProtocol> for FailedView {
    fn from(failed: FailedProtocol) -> Self {
        let FailedProtocol { protocol, code, text, .. } = failed;
        Self { protocol: protocol.to_string(), code: code.to_string(), text }
    }
}
