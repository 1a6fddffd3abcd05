//! The control client: how a node speaks with its coordinator.
//!
//! [`Session`] decides (what to say, when to try again, when to give up) and has no sockets or clock;
//! [`Connection`] does (resolves, connects, reads and writes frames) and decides nothing.

mod address;
mod backoff;
mod connection;
mod features;
mod session;
mod tls;

pub use address::{AddressError, CoordinatorAddress};
pub use backoff::Backoff;
pub use connection::{Connection, ConnectionError, ConnectionEvent, Target};
pub use session::{Event, Greeting, Leaving, MapChange, Output, Session};
