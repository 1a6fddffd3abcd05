//! What the agent tells the data plane.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use twinmesh_wireguard::{EndpointPolicy, PresharedKey, PrivateKey, PublicKey};

use crate::probe::ProbeAddresses;

/// Workers where the configuration leaves the number open: one per core, at most this many.
pub const MAX_DEFAULT_WORKERS: usize = 8;

/// How the data plane of this node starts.
pub struct Config {
    /// Name of the TUN device to make, 1 to 15 bytes.
    pub tun_name: String,
    /// MTU of the TUN device in bytes, 1280 to 65,535 − 80.
    pub mtu: u16,
    /// UDP port of the node, 0 for any free one.
    pub port: u16,
    /// Worker threads, 0 for one per core but at most [`MAX_DEFAULT_WORKERS`].
    pub workers: usize,
    /// `SO_MARK` of everything that the data plane itself sends, so that policy routing can tell it from what is
    /// to go into the TUN device.
    pub mark: Option<u32>,
    /// The node's WireGuard key.
    pub private_key: PrivateKey,
    /// What the kernel may do for us where it can.
    pub offload: Offload,
}

/// Work that is left to the kernel: packets of one flow go to it and come from it joined, and it sees to their checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offload {
    /// Of TCP, at the TUN device (TSO and GRO).
    pub tcp: bool,
    /// Of UDP, from the TUN device (USO); needs that of TCP.
    pub udp: bool,
    /// Of the sealed datagrams, at the UDP port (GSO and GRO).
    pub port: bool,
}

impl Offload {
    /// Everything that the kernel knows.
    pub const ALL: Self = Self { tcp: true, udp: true, port: true };
    /// Packets as they are.
    pub const NONE: Self = Self { tcp: false, udp: false, port: false };
}

/// One peer, whole: [`crate::Dataplane::set_peer`] makes the peer be exactly this.
#[derive(Clone)]
pub struct PeerConfig {
    pub public_key: PublicKey,
    pub preshared_key: Option<PresharedKey>,
    /// Where the peer may be reached, best first; only the first eight are tried.
    pub endpoints: Vec<SocketAddr>,
    /// Who decides where its datagrams go.
    pub endpoint: EndpointPolicy,
    /// Inner addresses that belong to the peer: routes towards it, and the sources it may use.
    pub allowed_ips: Vec<IpNet>,
    /// Send something at least this often, so that NATs keep their mapping.
    pub keepalive: Option<Duration>,
    /// Whether WireGuard is spoken with it at all.
    pub wireguard: bool,
    /// Between which addresses probes go inside the tunnels; none to what is not such a data plane.
    pub probe: Option<ProbeAddresses>,
    /// The peer is asked by probes whether it takes partial checksums of TCP and UDP, and answered that this node does.
    /// Nothing where there are no probes, or the TUN device has no offload of TCP.
    pub partial_checksums: bool,
}

/// The way to a managed peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerPath {
    pub remote: SocketAddr,
    /// Longest IP packet that it carries, in bytes: outside, with all headers; of a relayed one inside, since nobody
    /// here sees what lies between the relay and the peer.
    pub mtu: u16,
    /// `remote` is an address of a relay's, behind which the peer is.
    pub relayed: bool,
}
