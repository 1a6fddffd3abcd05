//! Authentication headers as RFC 4302 has them, compared with ICVs put together by hand.
#![expect(clippy::unwrap_used, reason = "a failed test may panic, and its helpers too")]

mod icv;
mod packets;
mod sa;
mod transit;
mod tunnel;
