//! The shape of `twinmesh status --json` and `twinmesh routes --json`. Stable: fields may be added, never
//! renamed or given another meaning. Ages are in seconds, `since` in seconds since the Unix epoch.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use twinmesh_control::{Endpoint, NodeId, PeerKind, Preference, Reason, Revision};

use super::PathStatus;

/// What the node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Tunnels are in place.
    Running,
    /// The node belongs to a network, but its tunnels are not in place; see [`Status::problem`].
    Stopped,
    /// The node belongs to no network.
    NeedsLogin,
    /// The node was removed from its network.
    Removed,
}

/// All of `status --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub state: State,
    /// Why the node is not running although it should be, or what else is wrong, and what to do.
    pub problem: Option<String>,
    pub version: String,
    pub name: Option<String>,
    pub id: Option<NodeId>,
    /// Overlay addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
    pub network: Option<NetworkStatus>,
    pub coordinator: Option<CoordinatorStatus>,
    /// Revision of the network map in force.
    pub revision: Option<Revision>,
    pub tun: Option<TunStatus>,
    /// UDP port of the data plane.
    pub port: Option<u16>,
    /// Where others may reach the port.
    pub endpoints: Vec<Endpoint>,
    /// `null` until STUN has answered.
    pub behind_nat: Option<bool>,
    /// The way by relay; `null` if the network has no relay.
    #[serde(default)]
    pub relay: Option<RelayStatus>,
    /// What this node wishes for its tunnels: `auto`, `wireguard` or `esp`.
    #[serde(default)]
    pub preference: Preference,
    pub peers: Vec<PeerStatus>,
    /// Received datagrams by kind, since the data plane started.
    pub datagrams: BTreeMap<String, u64>,
    /// Dropped packets by reason.
    pub drops: BTreeMap<String, u64>,
    /// Packets that were changed, or sent in pieces, so that they pass where the path is narrow.
    #[serde(default)]
    pub adjusted: BTreeMap<String, u64>,
    /// Calls of the system that moved packets.
    #[serde(default)]
    pub calls: BTreeMap<String, u64>,
    /// Threads of the data plane.
    pub workers: usize,
    /// What the kernel does for them: `tcp`, `udp`, `port`.
    #[serde(default)]
    pub offload: Vec<String>,
    /// Resident memory of the daemon.
    pub memory_kib: Option<u64>,
    pub pid: u32,
}

/// The node's way by relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayStatus {
    /// `null`: none serves this node.
    pub home: Option<RelayHome>,
    /// What was last wrong with a relay, until one serves.
    pub problem: Option<String>,
}

/// The relay that a node uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayHome {
    pub server: SocketAddr,
    /// `udp` or `tls`.
    pub transport: String,
    /// Where peers reach this node by it.
    pub relayed: SocketAddr,
    pub rtt_us: Option<u64>,
    pub answers: bool,
}

/// The network that the node belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    pub name: String,
    pub ipv4: Ipv4Net,
    pub ipv6: Ipv6Net,
}

/// How the node stands with its coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorStatus {
    /// `HOST:PORT`.
    pub address: String,
    pub connected: bool,
    /// When the connection was made or lost.
    pub since: Option<u64>,
    /// Why there is no connection.
    pub last_error: Option<String>,
}

/// The TUN device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunStatus {
    pub name: String,
    pub mtu: u16,
}

/// State of a peer's tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerActivity {
    /// A session stands.
    Active,
    /// A handshake is under way.
    Connecting,
    /// Nothing to send, no session.
    Idle,
}

/// What both ends agreed on in the present session, each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialChecksums {
    /// Packets to the peer leave with partial checksums.
    pub sent: bool,
    /// The peer may send such packets.
    pub taken: bool,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    pub id: NodeId,
    pub name: String,
    pub kind: PeerKind,
    pub addresses: Vec<IpAddr>,
    pub allowed_ips: Vec<IpNet>,
    /// `wireguard` or `esp`.
    pub protocol: String,
    /// Why the coordinator chose it.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// Why the tunnel does not stand, or what last failed; of ESP only.
    #[serde(default)]
    pub problem: Option<String>,
    /// Where the peer's packets go; or, before the first, where it was heard.
    pub endpoint: Option<SocketAddr>,
    /// The way that they take; `null` while none is known.
    #[serde(default)]
    pub path: Option<PathStatus>,
    /// The longest packet that goes to it whole, in bytes; `null` while the tunnels are down.
    #[serde(default)]
    pub mtu: Option<u16>,
    /// Whether checksums of TCP and UDP travel partial; the tunnel protects them.
    #[serde(default)]
    pub partial_checksums: PartialChecksums,
    pub state: PeerActivity,
    pub last_handshake_age_s: Option<u64>,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_packets: u64,
    pub tx_packets: u64,
}

/// One entry of `routes --json`: inner addresses that go to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    pub destination: IpNet,
    pub peer: String,
    pub id: NodeId,
    pub state: PeerActivity,
    pub endpoint: Option<SocketAddr>,
    /// Why the machine does not send this destination into the tunnel; `null` when it does.
    pub problem: Option<String>,
}
