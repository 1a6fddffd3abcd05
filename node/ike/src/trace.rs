//! What the engine tells of its messages and keys while somebody wants to see them.
//!
//! ```text
//!   Engine::set_tracing ─► Output::Trace ─┬─ Traced::Sent, Received … ─► Traced::describe ─► text for people
//!                                         └─ Traced::Keys ─► IkeKeys::wireshark
//! ```
//!
//! A message is kept as it was before it was sealed or after it was opened, and decoded only when it is shown. It has
//! no key in it; keys are told apart from messages, and only if they are asked for.

mod describe;
mod discarded;
mod message;
mod wireshark;

use std::net::SocketAddr;
use std::sync::Arc;

pub use self::describe::PayloadText;
pub use self::discarded::Discarded;
pub use self::message::TracedMessage;
pub use self::wireshark::WiresharkTable;
use crate::crypto::{Key, Suite};
use crate::output::IkeSaId;
use crate::wire::{Header, IkeSpi};

/// What an engine tells beside its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tracing {
    pub messages: bool,
    /// Of IKE SAs to come, as soon as they have any; [`Engine::keys`](crate::Engine::keys) has those of today.
    pub keys: bool,
}

/// One thing that happened to a message, or to keys.
#[derive(Debug)]
pub struct Trace {
    /// `None` while it is not known whom the message is from.
    pub connection: Option<Arc<str>>,
    /// `None` if it belongs to no IKE SA of ours.
    pub ike_sa: Option<IkeSaId>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub what: Traced,
}

#[derive(Debug)]
pub enum Traced {
    Sent(TracedMessage),
    /// Authentic, as far as its exchange is protected.
    Received(TracedMessage),
    /// A request of ours that has no answer goes out once more.
    Retransmitted(Header),
    /// The peer repeats a request, and gets the answer that it got before (RFC 7296 §2.1).
    AnsweredAgain(Header),
    /// An authentic part of a message that is not whole yet.
    Fragment {
        header: Header,
        number: u16,
        total: u16,
    },
    /// A message that came in and changes nothing.
    Dropped {
        header: Option<Header>,
        reason: Discarded,
    },
    Keys(Box<IkeKeys>),
}

/// What opens the messages of an IKE SA.
pub struct IkeKeys {
    pub initiator_spi: IkeSpi,
    pub responder_spi: IkeSpi,
    pub suite: Suite,
    /// SK_ei, SK_er (RFC 7296 §2.14), each with the salt of an AEAD at its end.
    pub encryption: [Key; 2],
    /// SK_ai, SK_ar; empty for an AEAD.
    pub integrity: [Key; 2],
}

impl std::fmt::Debug for IkeKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IkeKeys({} {})", self.initiator_spi, self.responder_spi)
    }
}
