//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Exponential backoff with full jitter: each delay is uniform between nothing and a limit that doubles
/// from 0.5 s to 30 s, so that the nodes of a network do not come back to their coordinator all at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    limit: Duration,
    random: fastrand::Rng,
}

impl Backoff {
    pub fn new(random: fastrand::Rng) -> Self {
        Self { limit: FIRST, random }
    }

    pub fn next_delay(&mut self) -> Duration {
        let delay = self.limit.mul_f64(self.random.f64());
        self.limit = (self.limit * 2).min(LONGEST);
        delay
    }

    pub fn reset(&mut self) {
        self.limit = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_spread_under_a_limit_that_doubles_to_30_s() {
        let mut limit = FIRST;
        for seed in 0..50 {
            let mut backoff = Backoff::new(fastrand::Rng::with_seed(seed));
            for attempt in 0..10_u32 {
                limit = (FIRST * 2_u32.pow(attempt)).min(LONGEST);
                assert!(backoff.next_delay() <= limit);
            }
        }
        assert_eq!(limit, LONGEST);
        let mut backoff = Backoff::new(fastrand::Rng::with_seed(1));
        let delays: Vec<_> = (0..1_000).map(|_| backoff.next_delay()).skip(10).collect();
        assert!(delays.iter().any(|delay| *delay < LONGEST / 10));
        assert!(delays.iter().any(|delay| *delay > LONGEST * 9 / 10));
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }
}
