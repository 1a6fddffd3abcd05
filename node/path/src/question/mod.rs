//! Questions between two nodes outside their tunnel: what the far end knows of this one, also when no tunnel stands.
//!
//! ```text
//!   asker                                     answerer
//!   Question ── STUN request 0x7a1 ─────────► Incoming ─ Answerer::open ─► content
//!     to all candidates at 0, 250, 500, 1000, 2000 ms                        │
//!   Reply    ◄─ STUN success 0x7a1 ──────────────────── Incoming::answer ◄───┘
//! ```
//!
//! A message is STUN (RFC 8489) with an attribute of its own, so that it passes where checks of paths pass. Its content
//! is sealed with AES-256-GCM under keys of the two nodes' WireGuard keys, one key for each direction and role
//! ([`PairKeys`]). All messages are of one length: it says nothing of the content, and an answer that somebody's replay
//! sends elsewhere is no longer than the replay. A replayed question changes nothing and its answer can be opened by the
//! asker alone; a replayed answer belongs to no question that is open.
//!
//! What is asked and answered is the caller's affair.

mod answerer;
mod asked;
mod keys;
mod message;

pub use answerer::{Answerer, Counters};
pub use asked::{GIVE_UP, Question, Reply};
pub use keys::PairKeys;
pub use message::{Incoming, TooLong, is_question};

/// Bytes of the longest question or answer: the sealed attribute needs no padding, which nothing would authenticate.
pub const MAX_CONTENT: usize = 962;

/// Of an AEAD's nonce, and of a STUN transaction id.
const NONCE_LEN: usize = 12;
