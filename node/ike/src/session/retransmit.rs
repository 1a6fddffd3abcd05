//! When a request goes out again (RFC 7296 §2.4: the initiator of an exchange alone retransmits).

use std::time::{Duration, Instant};

use crate::output::Retransmission;

/// Whoever repeats more often is not waited for to the end.
const MOST_COUNTED: u32 = 100;

/// The state of one request's retransmission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backoff {
    due: Instant,
    wait: Duration,
    left: u32,
    policy: Retransmission,
}

/// The last retransmission went unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Backoff {
    /// Of a request sent at `now`.
    pub(crate) fn new(policy: Retransmission, now: Instant) -> Self {
        Self { due: now + policy.first, wait: policy.first, left: policy.tries, policy }
    }

    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Waits until `due`, and no longer.
    pub(crate) fn give_up(&mut self) {
        self.left = 0;
    }

    /// To be called at `due`: the request is sent once more, unless this was the end.
    pub(crate) fn advance(&mut self, now: Instant) -> Result<(), Exhausted> {
        self.left = self.left.checked_sub(1).ok_or(Exhausted)?;
        self.wait = self.policy.after(self.wait);
        self.due = now + self.wait;
        Ok(())
    }
}

impl Retransmission {
    /// From the first transmission to the end of the last wait.
    pub(crate) fn span(self) -> Duration {
        let (mut wait, mut span) = (self.first, self.first);
        for _ in 0..self.tries.min(MOST_COUNTED) {
            wait = self.after(wait);
            span = span.saturating_add(wait);
        }
        span
    }

    /// The wait that follows this one.
    fn after(self, wait: Duration) -> Duration {
        let longer = wait.saturating_mul(self.factor).checked_div(10).unwrap_or(wait);
        longer.min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let start = Instant::now();
        let mut backoff = Backoff::new(Retransmission::default(), start);
        let mut at = Vec::new();
        let end = loop {
            let due = backoff.due();
            if backoff.advance(due) == Err(Exhausted) {
                break due;
            }
            at.push((due - start).as_secs());
        };
        assert_eq!(at, [4, 11, 24, 47, 89]);
        assert_eq!((end - start).as_secs(), 149);
        assert_eq!(Retransmission::default().span(), end - start);
    }
}
