//! The coordinator: lets nodes join, hands out public keys and addresses, and tells each node what changes.
//!
//! ```text
//!   nodes ── QUIC ──► control ──┐
//!                               ├──► Mesh ──► NetworkState (memory: what each node sees, by revision)
//!   CLI ──── HTTP ──► http ─────┘      └────► Store (SQLite: what outlives the process)
//!   nodes ── UDP ───► stun, relay
//! ```
//!
//! A change is one transaction of the store, then one change in memory; then every connection asks for what
//! its node has missed. [`serve`] puts the parts together, [`cli`] is the command line.

pub mod choice;
pub mod cli;
pub mod clock;
pub mod control;
pub mod data;
mod endpoints;
pub mod http;
pub mod mesh;
mod name;
mod nat;
pub mod network;
mod password;
pub mod relay;
pub mod serve;
mod sockets;
pub mod store;
pub mod stun;
