//! One request under way.

use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

use super::Transport;
use super::message::Ask;

/// By UDP a request is repeated so often at first; then after half the time since it was first sent, up to the longest.
const FIRST: Duration = Duration::from_millis(400);
const LONGEST: Duration = Duration::from_secs(5);

/// A request without answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) id: TransactionId,
    pub(super) ask: Ask,
    pub(super) bytes: Vec<u8>,
    /// Whether it proves who asks.
    pub(super) proven: bool,
    /// How often the relay wanted another nonce for it.
    pub(super) stale: u32,
    /// When what it asks for was asked for first.
    pub(super) since: Instant,
    sent: u32,
    due: Option<Instant>,
}

impl Exchange {
    pub(super) fn new(id: TransactionId, ask: Ask, bytes: Vec<u8>, proven: bool, now: Instant) -> Self {
        Self { id, ask, bytes, proven, stale: 0, since: now, sent: 0, due: Some(now) }
    }

    /// When it is to be sent, again or for the first time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What to send, if that is now.
    pub(super) fn send(&mut self, transport: Transport, now: Instant) -> Option<Vec<u8>> {
        self.due.filter(|due| *due <= now)?;
        self.sent += 1;
        let waited = now.saturating_duration_since(self.since);
        // A stream repeats by itself.
        self.due = (transport == Transport::Udp).then(|| now + (waited / 2).clamp(FIRST, LONGEST));
        Some(self.bytes.clone())
    }

    /// How long the answer took; `None` where nobody knows which of several copies was answered.
    pub(super) fn round_trip(&self, now: Instant) -> Option<Duration> {
        (self.sent == 1 && self.stale == 0).then(|| now.saturating_duration_since(self.since))
    }
}
