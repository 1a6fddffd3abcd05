//! The node's agent: the daemon `twinmesh agent` and the commands that talk to it.
//!
//! ```text
//!   twinmesh up, status, … ── api ──► daemon ── control ──► coordinator
//!                                       │
//!                state (disk)  ◄────────┼────────►  network (addresses, routes, STUN)
//!                                       ▼
//!                              twinmesh-dataplane
//! ```
//!
//! [`daemon`] puts the parts together and decides; [`control`] speaks with the coordinator; [`network`]
//! knows this machine's interfaces; [`sa`] reads SAs keyed by hand; [`state`] keeps what must survive; [`api`] is
//! the local socket; [`log`] keeps the last lines for reports; [`cli`] is the command line.

pub mod api;
pub mod cli;
pub mod control;
pub mod daemon;
pub mod log;
pub mod network;
pub mod sa;
pub mod site;
pub mod state;
#[cfg(test)]
mod testing;
