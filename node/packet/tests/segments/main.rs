//! Super-packets cut and joined, against a slow reference that does it plainly.
#![expect(clippy::unwrap_used, reason = "a failed test may panic, and its helpers too")]

mod captures;
mod corpus;
mod cut;
mod garbage;
mod headers;
mod join;
mod mistakable;
mod packets;
mod receive;
mod reference;
mod round_trip;

#[path = "../../../../tests/fuzz/src/packet_segments.rs"]
mod packet_segments;
#[path = "../../../../tests/fuzz/src/packet_virtio.rs"]
mod packet_virtio;
#[path = "../../../../tests/fuzz/src/replay.rs"]
mod replay;
#[path = "../../../../tests/fuzz/src/script.rs"]
mod script;
