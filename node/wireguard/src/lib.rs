//! WireGuard (whitepaper of Donenfeld, 2020) without sockets, threads or a clock of its own.
//!
//! `boringtun::noise` has the protocol of one tunnel: handshakes, sessions, replay windows, timers. Here is
//! what a node with many peers needs around it:
//!
//! ```text
//!   datagram ─► Device::admit ─┬─ receiver index ─► owner's table ─► Peer::open ─► inner packet
//!               MACs, cookies  ├─ initiator's key ► owner's table ─► Peer::open ─► response
//!                              └─ cookie reply (under load)
//!   inner packet ─────────────────────────────────────────────────► Peer::seal ─► datagram
//!   every tick ───────────────────────────────────────────────────► Peer::tick ─► handshake, keepalive
//! ```
//!
//! [`Device`] is shared and immutable; each [`Peer`] belongs to one holder at a time, who may put a lock
//! around it. The tables from key and index to peer belong to the caller, who knows what its threads share.
//!
//! Every output names a [`Destination`]: the confirmed endpoint, or all [`Peer::targets`] while the peer has
//! yet to be found. After each [`Peer::open`], drain [`Peer::next_waiting`] until `None`.
//!
//! `now` is the caller's clock. `boringtun` reads its own for the protocol's timers; simulations turn on the
//! feature `mock-clock`, which puts `mock_instant` in its place, and move both together.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod device;
mod index;
mod key;
mod message;
mod output;
mod paths;
mod peer;
mod reason;
mod tunnel;

pub use device::{Admission, Device, MAX_REPLY_LEN};
pub use index::{IndexAllocator, IndexError, PeerIndex};
pub use key::{KEY_LEN, KeyError, PresharedKey, PrivateKey, PublicKey};
pub use output::{Change, Destination, Opened, PeerState, Sealed, Traffic, Transmit};
pub use paths::{EndpointPolicy, MAX_CANDIDATES};
pub use peer::{MIN_BUFFER_LEN, OVERHEAD, Peer, PeerSettings};
pub use reason::DropReason;
