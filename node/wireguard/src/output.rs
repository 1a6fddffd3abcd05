//! What a peer hands back to its caller.

use std::net::SocketAddr;

use crate::reason::DropReason;

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    Endpoint(SocketAddr),
    /// A copy to each of [`crate::Peer::targets`]; the responder's timestamp check takes the first to arrive.
    Candidates,
}

/// A datagram to send.
#[derive(Debug, PartialEq, Eq)]
pub struct Transmit<'b> {
    pub to: Destination,
    pub datagram: &'b [u8],
}

/// What became of an inner packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Sealed<'b> {
    Send(Transmit<'b>),
    /// It waits for a handshake under way, which the datagram, if any, begins.
    Waiting(Option<Transmit<'b>>),
    Dropped(DropReason),
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'b> {
    /// An inner packet that claims to be IPv4 or IPv6; the source is the caller's to check.
    Packet(&'b [u8]),
    /// A handshake message was good; this answers it.
    Answer(Transmit<'b>),
    /// A keepalive or cookie.
    Nothing,
    Dropped(DropReason),
}

/// What a datagram changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A session stands where there was none.
    Up(SocketAddr),
    /// The endpoint followed the peer there.
    Moved(SocketAddr),
    /// A managed peer was heard from elsewhere than where its datagrams go, or none is chosen for them.
    Heard(SocketAddr),
}

/// Life of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    Idle,
    Connecting,
    Up,
}

/// Inner packets and bytes since the peer was added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}
