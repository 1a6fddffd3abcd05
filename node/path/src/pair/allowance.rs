//! So much in so long.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Allowance {
    most: u32,
    period: Duration,
    taken: u32,
    began: Option<Instant>,
}

impl Allowance {
    pub(crate) fn new(most: u32, period: Duration) -> Self {
        Self { most, period, taken: 0, began: None }
    }

    /// False: not now.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= self.period) {
            (self.began, self.taken) = (Some(now), 0);
        }
        let allowed = self.taken < self.most;
        self.taken += u32::from(allowed);
        allowed
    }
}
