//! What goes into the engine and what comes out of it.

mod command;
mod id;
mod settings;
mod words;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

pub use self::command::Command;
pub use self::id::{ChildSaId, IkeSaId};
pub use self::settings::{EngineConfig, HalfOpenLimits, Retransmission};
use crate::config::{Mode, TrafficSelector};
use crate::error::IkeError;
use crate::trace::Trace;

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
    /// Of an IKE SA: the ends prove anew who they are, in one from scratch; `None` also while they do.
    pub reauth: Option<Instant>,
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

impl fmt::Debug for ChildKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChildKeys")
    }
}
