//! What the data plane says about itself.

use std::net::SocketAddr;
use std::time::Duration;

use twinmesh_wireguard::PublicKey;

use crate::config::{Offload, PeerPath};
use crate::engine::Engine;

/// A picture of the data plane at one moment; counters run since its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub totals: Totals,
    /// What the kernel does for us.
    pub offload: Offload,
    /// Received datagrams by kind, under stable kebab-case names; every kind is listed.
    pub datagrams: Vec<(&'static str, u64)>,
    /// Dropped packets by reason, under stable kebab-case names; every reason is listed.
    pub drops: Vec<(&'static str, u64)>,
    /// Packets that were changed, or sent in pieces, so that they pass; under stable kebab-case names, all listed.
    pub adjusted: Vec<(&'static str, u64)>,
    /// Calls of the system that moved packets, under stable kebab-case names, all listed.
    pub calls: Vec<(&'static str, u64)>,
    /// Peers in the order of their keys.
    pub peers: Vec<PeerStatus>,
}

/// Sums over all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Inner packets and bytes written to the TUN device.
    pub rx_packets: u64,
    pub rx_bytes: u64,
    /// Inner packets and bytes read from the TUN device and sealed.
    pub tx_packets: u64,
    pub tx_bytes: u64,
}

/// One peer. Handshake, counters and state are WireGuard's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    pub public_key: PublicKey,
    /// What is sent to it goes by this one.
    pub engine: Engine,
    /// Where its datagrams go: to where the newest authenticated one came from, or along its path.
    pub endpoint: Option<SocketAddr>,
    /// Of a managed peer.
    pub path: Option<PeerPath>,
    /// The longest inner packet that its way carries whole by the engine in use.
    pub mtu: u16,
    /// Age of the present session.
    pub last_handshake: Option<Duration>,
    /// Since an agent was heard by each engine, to a tenth of a second.
    pub heard_wireguard: Option<Duration>,
    pub heard_esp: Option<Duration>,
    /// Whether an ESP tunnel that is bound to it sends.
    pub has_esp: bool,
    /// By the engine in use.
    pub partial_checksums: PartialChecksums,
    /// Inner packets and bytes from and to this peer.
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub state: PeerState,
}

/// What both ends agreed on: checksums of TCP and UDP that nobody completes on the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartialChecksums {
    /// Packets to the peer leave with them.
    pub sent: bool,
    /// The peer may send such packets.
    pub taken: bool,
}

/// Life of a peer's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerState {
    /// No session, and none is being made.
    Idle,
    /// A handshake is under way, no session yet.
    Connecting,
    /// A session stands.
    Up,
}

impl PeerState {
    /// Stable name for `status --json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Up => "up",
        }
    }
}
