//! How much one node may send, and how many answers one stranger gets.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Strangers share these places by a hash of their address that nobody outside can foresee.
const PLACES: usize = 1024;
/// Answers a second to requests that prove nothing yet.
const STRANGER_RATE: u64 = 50;
/// A node may be this long ahead of its rate.
const BURST: Duration = Duration::from_millis(250);

/// A token bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Tokens a second.
    rate: u64,
    burst: u64,
    tokens: u64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(rate: u64, burst: u64, now: Instant) -> Self {
        Self { rate, burst, tokens: burst, filled: now }
    }

    /// For bytes: what the rate gives in a moment, and one datagram of any size at least.
    pub(super) fn of_bytes(rate: u64, now: Instant) -> Self {
        let burst = rate.saturating_mul(u64::try_from(BURST.as_millis()).unwrap_or(u64::MAX)) / 1000;
        Self::new(rate, burst.max(u64::from(u16::MAX)), now)
    }

    /// Takes tokens if there are as many.
    pub(super) fn take(&mut self, amount: u64, now: Instant) -> bool {
        let micros =
            u64::try_from(now.saturating_duration_since(self.filled).as_micros()).unwrap_or(u64::MAX);
        let gained = self.rate.saturating_mul(micros) / 1_000_000;
        // Time too short for a token is not lost: it counts the next time.
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(gained).min(self.burst);
            self.filled = now;
        }
        let enough = self.tokens >= amount;
        if enough {
            self.tokens -= amount;
        }
        enough
    }
}

/// Answers to whoever has proved nothing: a fixed number of buckets, however many there are.
pub(super) struct Strangers {
    hasher: RandomState,
    buckets: Vec<Bucket>,
}

impl Strangers {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            hasher: RandomState::new(),
            buckets: vec![Bucket::new(STRANGER_RATE, 2 * STRANGER_RATE, now); PLACES],
        }
    }

    /// Whether this one may have an answer now.
    pub(super) fn may_hear(&mut self, from: IpAddr, now: Instant) -> bool {
        let network: u64 = match from {
            IpAddr::V4(ip) => ip.to_bits().into(),
            // One customer has a whole /64.
            IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 64).unwrap_or_default(),
        };
        let place = usize::try_from(self.hasher.hash_one(network) % PLACES as u64).unwrap_or_default();
        self.buckets.get_mut(place).is_some_and(|bucket| bucket.take(1, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 5, start);
        assert_eq!((0..20).filter(|_| bucket.take(1, start)).count(), 5);
        let later = (0..1000).filter(|ms| bucket.take(1, start + Duration::from_millis(*ms))).count();
        assert!((9..=10).contains(&later), "{later}");
        assert!(!bucket.take(6, start + Duration::from_mins(1)));
    }

    #[test]
    fn a_flood_from_one_address_does_not_silence_others() {
        let now = Instant::now();
        let mut strangers = Strangers::new(now);
        let flood = "192.0.2.1".parse().unwrap();
        assert_eq!((0..10_000).filter(|_| strangers.may_hear(flood, now)).count(), 100);
        let heard = (2..=254_u8).filter(|host| strangers.may_hear([192, 0, 2, *host].into(), now)).count();
        assert!(heard > 240, "{heard}");
    }
}
