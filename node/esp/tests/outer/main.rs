//! The header around a sealed packet: its fields, ECN, NAT, path MTU.
#![expect(clippy::unwrap_used, reason = "a failed test may panic, and its helpers too")]

mod ecn;
mod fields;
mod header;
mod nat;
mod packets;
mod path_mtu;
mod too_big;
