//! Who speaks to a relay.

use std::net::{IpAddr, SocketAddr};

/// The client's part of the 5-tuple (RFC 8656 §3): what an allocation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientId {
    Udp {
        address: SocketAddr,
        /// Which of the relay's addresses it speaks to, if the relay listens at all.
        local: Option<IpAddr>,
    },
    /// A TLS connection; a number is given once.
    Stream { address: SocketAddr, connection: u64 },
}

impl ClientId {
    /// Where it is seen.
    pub fn address(self) -> SocketAddr {
        match self {
            Self::Udp { address, .. } | Self::Stream { address, .. } => address,
        }
    }
}
