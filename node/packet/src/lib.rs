//! Views over IP packets, checksums, the ICMP errors a node answers with, and segmentation.
//!
//! Pure functions over byte slices: no allocation, no I/O, and no input makes them panic.
//! A view is made by a `parse` that checks every length once; its accessors cannot fail.
//!
//! ```text
//! TUN ── virtio header ── Offload::read ── SuperPacket::parse ── write: segment by segment ──▶ sealed, sent
//! TUN ◀─ virtio header ── Offload::write ── Join::finish ── Join::add ── Candidate::parse ─── received, opened
//! ```
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod candidate;
mod checksum;
mod cut;
mod field;
mod flow;
mod fragment;
mod icmp;
mod ip;
mod join;
mod layout;
mod mss;
mod offload;
mod template;

pub use candidate::{Candidate, Sums, is_mistakable, single};
pub use checksum::{Checksum, pseudo_header};
pub use cut::SuperPacket;
pub use flow::FlowKey;
pub use fragment::Fragments;
pub use icmp::{IcmpError, MAX_ERROR_LEN, write_error};
pub use ip::{IpPacket, Malformed, protocol};
pub use join::{Join, MAX_PIECES, Verdict};
pub use layout::BadHeaders;
pub use mss::{clamp_mss, is_syn};
pub use offload::{BadOffload, Offload, PartialChecksum, Segmentation, Segmented, VIRTIO_HEADER_LEN};
