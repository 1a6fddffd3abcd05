//! ESP tunnels as the agent sets them and as they show themselves.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use twinmesh_esp::{
    CountersSnapshot, KeyMaterial, LifetimeState, OriginalAddresses, OuterPolicy, SaParameters, Spi,
};
use twinmesh_wireguard::PublicKey;

use crate::status::PartialChecksums;

/// How ESP packets travel. What comes in is taken either way (RFC 7296 §2.23).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encapsulation {
    /// From the node's shared port (RFC 3948).
    Udp,
    /// As IP protocol 50 (RFC 4303).
    Raw,
}

/// Where the ends of a tunnel are, outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EspPath {
    /// This node's address, which ESP is sent from; in UDP only while the machine has it. None: whichever leads to the
    /// peer.
    pub local: Option<IpAddr>,
    /// Raw ESP has no use for the port.
    pub remote: SocketAddr,
    pub encapsulation: Encapsulation,
}

/// A pair of SAs with one peer.
pub struct EspConfig {
    /// Unique in this node.
    pub name: String,
    /// What we receive with; its SPI has the top bit set.
    pub inbound: SaParameters,
    pub inbound_key: KeyMaterial,
    /// What we send with.
    pub outbound: SaParameters,
    pub outbound_key: KeyMaterial,
    /// Transport mode needs this node's address: inner packets are addressed to it.
    pub path: EspPath,
    /// Send to wherever the newest authentic datagram came from: the peer is behind a NAT. Nothing to raw ESP.
    pub follow_remote: bool,
    /// Transport mode through a NAT: the addresses as the peer has them.
    pub original: Option<OriginalAddresses>,
    /// The tunnel that this one follows: its policies stand right behind that one's, and apply once that one sends
    /// no more.
    pub follows: Option<String>,
    /// The guard whose traffic it carries: its policies stand right before that one's.
    pub guard: Option<String>,
    /// The peer whose traffic it carries where that goes by [`crate::Engine::Esp`]: routes lead to it, and no policy.
    pub peer: Option<PublicKey>,
    /// How the outer header follows the inner one.
    pub outer: OuterPolicy,
    /// MTU of the path outside the tunnel, until an ICMP error says otherwise.
    pub path_mtu: u16,
    /// Checksums of TCP and UDP are partial both ways from the start, in tunnel mode: whoever holds the keys of the other
    /// end was told the same. With a peer it is agreed on instead ([`crate::PeerConfig::partial_checksums`]).
    pub partial_checksums: bool,
}

/// An ESP tunnel at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct EspStatus {
    pub name: String,
    pub path: EspPath,
    /// It only receives, and goes soon.
    pub retired: bool,
    /// MTU inside the tunnel.
    pub mtu: u16,
    pub partial_checksums: PartialChecksums,
    pub inbound: SaStatus,
    pub outbound: SaStatus,
}

/// One SA at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct SaStatus {
    pub parameters: SaParameters,
    pub age: Duration,
    pub lifetime: LifetimeState,
    /// Last sequence number sent, or newest received.
    pub sequence: u64,
    pub counters: CountersSnapshot,
}

/// The data plane does not take an ESP tunnel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EspError {
    #[error("there is an ESP tunnel `{0}` already")]
    NameTaken(String),
    #[error("the inbound SPI {0} is in use")]
    SpiTaken(Spi),
    #[error(
        "the inbound SPI {0} needs its top bit set (80000000 to ffffffff): on the shared UDP port that tells ESP from other traffic"
    )]
    SpiNotOurs(Spi),
    #[error(
        "ESP without UDP needs a raw socket, and there is none: {}{}",
        .errno.desc(),
        if matches!(.errno, Errno::EPERM | Errno::EACCES) { " (the capability CAP_NET_RAW is missing)" } else { "" }
    )]
    RawSocket { errno: Errno },
    #[error("there is no peer {0} for the tunnel to be bound to")]
    NoPeer(PublicKey),
    #[error("transport mode needs the address of this node outside the tunnel")]
    NoLocalAddress,
    #[error(transparent)]
    Key(#[from] twinmesh_esp::KeyError),
}
