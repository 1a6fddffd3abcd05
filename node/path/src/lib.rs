//! What stands between this node and the others: STUN (RFC 8489) and the behaviour of NATs (RFC 4787), measured as
//! RFC 5780 says; and the paths to the others, found by checks. No sockets, no clock; random numbers come from the caller.
//!
//! ```text
//!   StunClient   the data port   ─ every 20 s ─► server        the address that others see, kept alive
//!   Prober       two fresh ports ─ now and then ► server       mapping, filtering, hairpin, latency
//!                                                └ second port, second address
//!   LifetimeProber  ports that keep silent     ► server       how long an unused mapping lasts
//!   Pairs        the data port   ─ when needed ─► peers        the path to each, proven at both ends
//!   relay        the data port   ─ TURN ──────────► relays        an address at a relay, and the ways to peers there
//!   question     the data port   ─ when a user asks ─► peer    what the far end knows, outside the tunnel
//! ```
//!
//! [`Prober`]: after each `handle_*`, drain [`Prober::poll_transmit`] until `None`; then wait for a datagram or for
//! [`Prober::poll_timeout`], whose end is [`Prober::findings`].
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod behaviour;
mod binding;
mod lifetime;
mod message;
mod mtu;
pub mod pair;
mod prober;
pub mod question;
pub mod relay;

pub use behaviour::{Filtering, Findings, Latency, Mapping, NatClass};
pub use binding::{Request, StunClient};
pub use lifetime::{LIFETIMES, LifetimePort, LifetimeProber, LifetimeTransmit, MappingLifetime};
pub use prober::{Local, MAX_SERVERS, Prober, Server, Transmit};
