//! What goes into the engine and what comes out of it.

mod words;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::config::{ConnectionConfig, Mode, TrafficSelector};
use crate::error::IkeError;
use crate::trace::Trace;

/// One IKE SA of this engine. Never given twice, and kept by no other SA: a rekeyed IKE SA has an id of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IkeSaId(pub(crate) u64);

/// One child SA (a pair of ESP SAs) of this engine. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildSaId(pub(crate) u64);

/// What the caller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Sets up the IKE SA of a connection, with all its children.
    Initiate {
        connection: Arc<str>,
    },
    /// Another child of a connection, by its name in the configuration; the IKE SA is set up first if need be.
    CreateChild {
        connection: Arc<str>,
        child: Arc<str>,
        /// The packet that calls for it, this end's side first: it goes first in the selectors (RFC 7296 §2.9), and
        /// where the peer takes one pair of subnets only, it says which.
        trigger: Option<(TrafficSelector, TrafficSelector)>,
    },
    RekeyIke {
        ike_sa: IkeSaId,
    },
    RekeyChild {
        child_sa: ChildSaId,
    },
    TerminateChild {
        child_sa: ChildSaId,
    },
    Terminate {
        ike_sa: IkeSaId,
    },
    /// All IKE SAs of the connection, those being set up too.
    TerminateConnection {
        connection: Arc<str>,
    },
    /// Asks the peer for a sign of life now.
    CheckLiveness {
        ike_sa: IkeSaId,
    },
    /// This node's end has changed. The IKE SAs of the connection go on from `local`, and the peer hears of it, and
    /// that this node may be found at `additional` too (RFC 4555 §3.5, §3.6).
    AddressesChanged {
        connection: Arc<str>,
        local: IpAddr,
        additional: Vec<IpAddr>,
    },
    /// A new IKE SA from scratch with the same children; the old one goes on until nothing is missing in the new one
    /// (RFC 7296 §2.8.3).
    Reauthenticate {
        ike_sa: IkeSaId,
    },
    /// ESP of this IKE SA's children came in: a peer that sends data is alive.
    Heard {
        ike_sa: IkeSaId,
    },
}

/// What the engine wants done.
#[derive(Debug)]
pub enum Output {
    Transmit(Transmit),
    Event(Event),
    /// Only while [`Engine::set_tracing`](crate::Engine::set_tracing) asks for it.
    Trace(Box<Trace>),
}

/// A datagram as it goes on the wire: with the non-ESP marker unless `local` is port 500 (RFC 3948 §2.2); or one
/// byte `ff`, the NAT keepalive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub datagram: Vec<u8>,
}

#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    IkeSaEstablished(IkeSaEstablished),
    /// `new` has taken over the children of `old`, whose `IkeSaDeleted` follows.
    IkeSaRekeyed {
        connection: Arc<str>,
        old: IkeSaId,
        new: IkeSaId,
        /// Whether this end is the new IKE SA's initiator: whoever began the rekey is.
        initiator: bool,
        initiator_spi: u64,
        responder_spi: u64,
    },
    /// Both ends had begun, or one began anew: `new` is the one that stays, and has a child. The children of `old` go
    /// with it, whose `IkeSaDeleted` follows; what is missing in `new` is made there.
    IkeSaReplaced {
        connection: Arc<str>,
        old: IkeSaId,
        new: IkeSaId,
        initiator: bool,
        initiator_spi: u64,
        responder_spi: u64,
    },
    IkeSaDeleted {
        connection: Arc<str>,
        ike_sa: IkeSaId,
        reason: DeleteReason,
    },
    /// Install both directions. If `rekeyed` names an older child, that one stays until its `ChildSaDeleted`.
    ChildSaEstablished(Box<ChildSaEstablished>),
    ChildSaDeleted(ChildSaDeleted),
    /// An end is elsewhere, or a NAT maps it anew: ESP of all children goes between these two from now on.
    AddressChanged {
        connection: Arc<str>,
        ike_sa: IkeSaId,
        local: SocketAddr,
        remote: SocketAddr,
        nat: Nat,
        encapsulation: Encapsulation,
    },
    /// An attempt ended without the SA that it was for. With `ike_sa` absent, no IKE SA came to be.
    Failed(Failed),
}

#[derive(Debug, Clone)]
pub struct IkeSaEstablished {
    pub connection: Arc<str>,
    pub ike_sa: IkeSaId,
    /// Whether this side sent the first message.
    pub initiator: bool,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub local_identity: String,
    pub remote_identity: String,
    /// In the strongSwan notation.
    pub proposal: String,
    /// Whether a postquantum key is mixed into what its children's keys are drawn from (RFC 8784).
    pub ppk: bool,
    pub initiator_spi: u64,
    pub responder_spi: u64,
    pub nat: Nat,
}

/// Who sits behind a NAT (RFC 7296 §2.23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Nat {
    pub local: bool,
    pub remote: bool,
}

#[derive(Debug)]
pub struct ChildSaEstablished {
    pub connection: Arc<str>,
    /// The child's name in the configuration.
    pub child: Arc<str>,
    pub ike_sa: IkeSaId,
    pub child_sa: ChildSaId,
    pub spis: ChildSpis,
    pub keys: ChildKeys,
    /// Encryption and integrity in the strongSwan notation: `aes128gcm16`, `aes256-sha256`.
    pub suite: String,
    pub esn: bool,
    pub mode: Mode,
    /// The narrowed selectors.
    pub local_ts: Vec<TrafficSelector>,
    pub remote_ts: Vec<TrafficSelector>,
    pub encapsulation: Encapsulation,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Transport mode through a NAT.
    pub original: Option<OriginalAddresses>,
    pub rekeyed: Option<ChildSaId>,
    pub outbound: OutboundStart,
}

/// What the peer writes into the headers of its packets before a NAT changes them: their checksums cover these
/// addresses (RFC 7296 §2.23.1, RFC 3948 §3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginalAddresses {
    pub source: IpAddr,
    pub destination: IpAddr,
}

/// When something happens to an SA by this side's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// It gets new keys; `None` while it does, and if only the peer does it.
    pub rekey: Option<Instant>,
    /// It ends, whatever has become of its rekey.
    pub expiry: Option<Instant>,
}

/// SPIs of the two ESP SAs. Each side chooses the one that it receives with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildSpis {
    /// Drawn by the engine, with its top bit set.
    pub inbound: u32,
    pub outbound: u32,
}

/// KEYMAT of each direction: encryption key, salt, integrity key, one after the other (RFC 7296 §2.17).
pub struct ChildKeys {
    pub inbound: Zeroizing<Vec<u8>>,
    pub outbound: Zeroizing<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encapsulation {
    /// ESP straight in IP.
    None,
    /// In UDP, between the addresses of the event (RFC 3948).
    Udp,
}

/// When outbound traffic may move to a new child SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundStart {
    /// The peer can receive on it.
    Now,
    /// Once the peer has sent on it, or has deleted the old one (RFC 7296 §2.8): only then is it known to have it.
    AfterPeer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildSaDeleted {
    pub connection: Arc<str>,
    pub child: Arc<str>,
    pub ike_sa: IkeSaId,
    pub child_sa: ChildSaId,
    pub spis: ChildSpis,
    pub reason: DeleteReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeleteReason {
    /// A command of ours.
    Requested,
    /// A DELETE of the peer's.
    ByPeer,
    /// Another SA took its place.
    Rekeyed,
    /// Both ends rekeyed it at once, and this one lost (RFC 7296 §2.8.1).
    Redundant,
    /// The peer answered nothing, to the last retransmission.
    PeerDead,
    /// The same peer came with INITIAL_CONTACT (RFC 7296 §2.4).
    Replaced,
    /// Its lifetime ended before it could be rekeyed.
    Expired,
    /// Its IKE SA ended.
    IkeSaGone,
    /// The peer broke the protocol, or forgot the SA.
    Inconsistent,
}

#[derive(Debug)]
pub struct Failed {
    /// `None` if a peer came that no connection is for.
    pub connection: Option<Arc<str>>,
    pub child: Option<Arc<str>>,
    pub ike_sa: Option<IkeSaId>,
    pub remote: SocketAddr,
    pub error: IkeError,
}

/// Of the whole engine. What concerns one peer is in its `ConnectionConfig`.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    pub retransmission: Retransmission,
    pub half_open: HalfOpenLimits,
    /// Between keepalives, while this node is behind a NAT and sends nothing else (RFC 3948 §4).
    pub keepalive: Duration,
    /// Largest IP packet that carries an IKE message; a larger message is sent in fragments (RFC 7383 §2.5.1).
    pub fragment_size: usize,
    /// Says INITIAL_CONTACT in the first exchange with a peer.
    pub initial_contact: bool,
}

/// Retransmission of requests: after `first`, then each time `factor` tenths longer, `tries` times in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retransmission {
    pub first: Duration,
    /// In tenths: 18 is a factor of 1.8.
    pub factor: u32,
    pub longest: Duration,
    pub tries: u32,
}

/// Against floods of IKE_SA_INIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HalfOpenLimits {
    /// Cookies are asked for from so many half-open IKE SAs on.
    pub cookie_from: usize,
    /// The same, of one remote address.
    pub cookie_from_per_address: usize,
    /// No further half-open IKE SA.
    pub total: usize,
    pub per_address: usize,
    /// A responder waits so long for IKE_AUTH.
    pub lifetime: Duration,
}

impl EngineConfig {
    pub(crate) fn retransmission_to(&self, connection: &ConnectionConfig) -> Retransmission {
        connection.retransmission.unwrap_or(self.retransmission)
    }

    /// The smallest, where it is not yet known which of these connections it is.
    pub(crate) fn fragment_size_to<'a>(
        &self,
        connections: impl IntoIterator<Item = &'a ConnectionConfig>,
    ) -> usize {
        let sizes = connections.into_iter().map(|it| it.fragment_size.unwrap_or(self.fragment_size));
        sizes.min().unwrap_or(self.fragment_size)
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            retransmission: Retransmission::default(),
            half_open: HalfOpenLimits::default(),
            keepalive: Duration::from_secs(20),
            fragment_size: 1280,
            initial_contact: true,
        }
    }
}

impl Default for Retransmission {
    /// As strongSwan: 4 s, 7.2 s, 13 s, 23 s, 42 s, given up after 165 s.
    fn default() -> Self {
        Self { first: Duration::from_secs(4), factor: 18, longest: Duration::from_mins(1), tries: 5 }
    }
}

impl Default for HalfOpenLimits {
    fn default() -> Self {
        Self {
            cookie_from: 30,
            cookie_from_per_address: 3,
            total: 4096,
            per_address: 16,
            lifetime: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for ChildKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChildKeys")
    }
}

impl IkeSaId {
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for IkeSaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for ChildSaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
