//! Views over IP packets, checksums, and the ICMP errors a node answers with.
//!
//! Pure functions over byte slices: no allocation, no I/O, and no input makes them panic.
//! A view is made by a `parse` that checks every length once; its accessors cannot fail.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod checksum;
mod fragment;
mod icmp;
mod ip;
mod mss;

pub use checksum::{Checksum, pseudo_header};
pub use fragment::Fragments;
pub use icmp::{IcmpError, MAX_ERROR_LEN, write_error};
pub use ip::{IpPacket, Malformed, protocol};
pub use mss::{clamp_mss, is_syn};
