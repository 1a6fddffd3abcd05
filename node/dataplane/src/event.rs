//! What the data plane tells the agent.

use std::net::{IpAddr, SocketAddr};

use twinmesh_esp::Flow;
use twinmesh_wireguard::PublicKey;

use crate::engine::Engine;

/// Reported from a worker thread, which waits for the receiver: it must be quick. It may call the data plane,
/// but for its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A STUN message (RFC 8489) arrived on the shared port.
    Stun { from: SocketAddr, datagram: Vec<u8> },
    /// An IKE message (RFC 7296) arrived on the shared port, behind its non-ESP marker (RFC 3948 §2.2).
    /// `to`: which of this node's addresses it was sent to.
    Ike { from: SocketAddr, to: Option<IpAddr>, datagram: Vec<u8> },
    /// A session with the peer stands where there was none.
    PeerUp { peer: PublicKey, endpoint: SocketAddr },
    /// The peer was heard from a new address, and its datagrams go there now.
    EndpointChanged { peer: PublicKey, endpoint: SocketAddr },
    /// An authentic datagram of a managed peer came from elsewhere than where its path leads, or it has no path. Told
    /// once per peer and 200 ms at most, but not of what [`Self::PeerUp`] tells.
    Heard { peer: PublicKey, from: SocketAddr },
    /// A packet is to go to a peer, and there is no ESP tunnel, or to a managed one, and there is no session or no path
    /// yet. Told once per peer and second.
    Needed { peer: PublicKey },
    /// A packet waits for a tunnel of this guard's: its addresses, protocol and ports.
    Wanted { guard: String, flow: Flow },
    /// The peer answered [`crate::Dataplane::probe`].
    Probed { peer: PublicKey, engine: Engine, token: u64 },
    /// What was sent to the peer by this engine has had no answer, nor had probes: 2.5 s after it was sent.
    Silent { peer: PublicKey, engine: Engine },
    /// The peer is heard by this engine for the first time, or again.
    Answers { peer: PublicKey, engine: Engine },
    /// The peer asks by this engine for the third time: it hears nothing of us.
    Unheard { peer: PublicKey, engine: Engine },
}
