//! What the data plane tells the agent.

use std::net::SocketAddr;

use twinmesh_wireguard::PublicKey;

/// Reported from a worker thread: the receiver must not block.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A STUN message (RFC 8489) arrived on the shared port.
    Stun { from: SocketAddr, datagram: Vec<u8> },
    /// A session with the peer stands where there was none.
    PeerUp { peer: PublicKey, endpoint: SocketAddr },
    /// The peer was heard from a new address.
    EndpointChanged { peer: PublicKey, endpoint: SocketAddr },
}
