//! The relay: TURN (RFC 8656) over UDP, and over TLS where UDP is blocked, for pairs of nodes that have no direct
//! path. It forwards sealed packets, reads none of them, and needs to know nothing of the network but one secret.
//!
//! ```text
//!   node A ──► relay's port ─┬─► A's relayed port ──► other relay's relayed port ──► node B
//!                            └─► (B's relayed port is here too: straight to B, through no socket)
//! ```
//!
//! [`Relay`] is the server without sockets or clock; [`RelayServer`] its I/O. The codec is `stun-types` and
//! `turn-types`. A [credential](RelaySecret) says itself whose it is, until when, and which addresses it opens, so a
//! relay alone can check it, and a coturn with the same secret (`use-auth-secret`) can stand in its place.

mod allocate;
mod allocation;
mod certificate;
mod client;
mod credential;
mod forward;
mod framing;
mod limits;
mod nonce;
mod peering;
mod permissions;
mod request;
mod server;
mod service;
#[cfg(test)]
mod tests;

pub use certificate::CertificateError;
pub use client::ClientId;
pub use credential::{Credential, CredentialError, Place, RelaySecret, SecretError};
pub use peering::Peering;
pub use server::{Counters, Outcome, Parity, Ports, REALM, Relay, RelaySettings};
pub use service::{RelayAt, RelayError, RelayServer, TlsAt};
