//! IKEv2 (RFC 7296) without sockets: exchanges and sessions of initiator and responder.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod auth;
pub mod config;
pub mod crypto;
mod engine;
mod error;
mod output;
mod session;
pub mod trace;
pub mod wire;

pub use engine::Engine;
pub use error::IkeError;
pub use output::{
    ChildKeys, ChildSaDeleted, ChildSaEstablished, ChildSaId, ChildSpis, Command, DeleteReason,
    Encapsulation, EngineConfig, Event, Failed, HalfOpenLimits, IkeSaEstablished, IkeSaId, Nat,
    OriginalAddresses, OutboundStart, Output, Retransmission, Schedule, Transmit,
};
pub use session::Random;
