//! What the caller tells of this node and its peers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::secret::PairSecret;
use crate::behaviour::Mapping;

/// Addresses of a peer's beyond these are not tried.
pub const MAX_CANDIDATES: usize = 8;
/// Where the life of a mapping is not known: routers that keep one for less than 30 s are rare (RFC 4787 §4.3 demands
/// two minutes).
pub const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(20);
pub(super) const LEAST_KEEPALIVE: Duration = Duration::from_secs(5);
pub(super) const MOST_KEEPALIVE: Duration = Duration::from_mins(1);

/// What concerns all pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSettings {
    /// This node has an allocation at a relay: peers' relayed addresses are usable only then.
    pub has_relay: bool,
    /// Addresses of all known relays: what comes from one is relayed, whatever its port.
    pub relays: Vec<IpAddr>,
    /// This node's NAT by IPv4; `None`: not known.
    pub mapping: Option<Mapping>,
    /// Time between two checks of an unused direct path; held between 5 s and a minute. A pair whose mappings live
    /// shorter halves it for itself.
    pub keepalive: Duration,
    /// Longest IP packet outside that is of use, in bytes.
    pub mtu: u16,
}

impl Default for LocalSettings {
    fn default() -> Self {
        Self { has_relay: false, relays: Vec::new(), mapping: None, keepalive: DEFAULT_KEEPALIVE, mtu: 1500 }
    }
}

/// What is known of a peer.
pub struct PeerSettings {
    pub secret: PairSecret,
    /// Where it may be reached; the first [`MAX_CANDIDATES`] count.
    pub candidates: Vec<Candidate>,
    /// The peer's NAT by IPv4; `None`: not known.
    pub mapping: Option<Mapping>,
}

/// A place where the peer may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub address: SocketAddr,
    pub kind: Kind,
}

/// How a place was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An address of the peer's own interface.
    Host,
    /// What a STUN server saw.
    Reflexive,
    /// What a router forwards on request.
    Mapped,
    /// Written down by a person.
    Configured,
    /// At a relay.
    Relayed,
    /// Nobody named it: the peer was heard from there (RFC 8445 §7.3.1.3).
    PeerReflexive,
    /// Guessed from what a STUN server saw of a NAT that maps by destination. One that answers is [`Self::PeerReflexive`].
    Predicted,
}

impl Kind {
    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Reflexive => "reflexive",
            Self::Mapped => "mapped",
            Self::Configured => "configured",
            Self::Relayed => "relayed",
            Self::PeerReflexive => "peer-reflexive",
            Self::Predicted => "predicted",
        }
    }
}
