//! How many requests of one address are answered.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses share these by hash: the memory is bounded, whoever asks.
const SLOTS: usize = 4096;
const WINDOW: Duration = Duration::from_secs(1);
/// An office of some hundred nodes behind one address asks less than that, some of them measuring their NAT.
const MOST: u16 = 400;

/// Counts requests in windows of one second.
#[derive(Debug)]
pub(super) struct Limit {
    counts: Box<[u16]>,
    began: Option<Instant>,
    hasher: RandomState,
}

impl Default for Limit {
    fn default() -> Self {
        Self { counts: vec![0; SLOTS].into(), began: None, hasher: RandomState::new() }
    }
}

impl Limit {
    pub(super) fn admits(&mut self, from: IpAddr, now: Instant) -> bool {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            self.counts.fill(0);
            self.began = Some(now);
        }
        // One host may have a whole /64 (RFC 4291 §2.5.4).
        let network = match from {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 64).unwrap_or_default(),
        };
        let slots = u64::try_from(SLOTS).unwrap_or(1);
        let slot = usize::try_from(self.hasher.hash_one(network) % slots).unwrap_or_default();
        let Some(count) = self.counts.get_mut(slot) else { return false };
        *count = count.saturating_add(1);
        *count <= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_from_one_address_is_cut_off_and_the_next_second_begins_anew() {
        let (mut limit, now) = (Limit::default(), Instant::now());
        let loud = "192.0.2.1".parse().unwrap();
        let answered = (0..10_000).filter(|_| limit.admits(loud, now)).count();
        assert_eq!(answered, usize::from(MOST));
        assert!(limit.admits(loud, now + WINDOW));
    }

    #[test]
    fn a_flood_from_one_ipv6_network_counts_as_one() {
        let (mut limit, now) = (Limit::default(), Instant::now());
        let hosts = (0..10_000_u128).map(|host| (0x2001_0db8_u128 << 96 | host).into());
        assert_eq!(hosts.filter(|host| limit.admits(IpAddr::V6(*host), now)).count(), usize::from(MOST));
    }
}
