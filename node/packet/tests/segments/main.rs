//! Super-packets cut and joined, against a slow reference that does it plainly.
#![expect(clippy::unwrap_used, reason = "a failed test may panic, and its helpers too")]

mod cut;
mod garbage;
mod join;
mod mistakable;
mod packets;
mod reference;
mod round_trip;
