//! What one SA did, countable while others count.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::reason::{DropReason, SealError};

const DROPS: usize = DropReason::ALL.len();
const REFUSALS: usize = SealError::ALL.len();

/// Of one SA; all methods take `&self`.
///
/// On cache lines of its own: every packet writes here, and next to it lie keys that every worker reads.
#[derive(Debug)]
#[repr(align(64))]
pub struct Counters {
    packets: AtomicU64,
    bytes: AtomicU64,
    drops: [AtomicU64; DROPS],
    refusals: [AtomicU64; REFUSALS],
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountersSnapshot {
    /// Packets protected or delivered, dummies included.
    pub packets: u64,
    /// Bytes of those packets as they are inside: without padding, header and ICV. Tunnel mode counts inner
    /// packets, transport mode their payloads.
    pub bytes: u64,
    drops: [u64; DROPS],
    refusals: [u64; REFUSALS],
}

impl Counters {
    pub const fn new() -> Self {
        Self {
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            drops: [const { AtomicU64::new(0) }; DROPS],
            refusals: [const { AtomicU64::new(0) }; REFUSALS],
        }
    }

    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Inbound packets dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Outbound packets refused for this reason.
    pub fn refused(&self, reason: SealError) -> u64 {
        self.refusals.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub fn snapshot(&self) -> CountersSnapshot {
        CountersSnapshot {
            packets: self.packets(),
            bytes: self.bytes(),
            drops: self.drops.each_ref().map(|count| count.load(Ordering::Relaxed)),
            refusals: self.refusals.each_ref().map(|count| count.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn count(&self, bytes: usize) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.count_bytes(bytes);
    }

    /// So many packets more, unless there would be more than `limit`; how many there were before.
    pub(crate) fn take_packets(&self, count: u64, limit: u64) -> Option<u64> {
        let more = |packets: u64| packets.checked_add(count).filter(|packets| *packets <= limit);
        self.packets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()
    }

    pub(crate) fn count_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// For callers of which no two count at a time, by some lock: two locked instructions less.
    pub(crate) fn count_alone(&self, bytes: usize) {
        let add = |counter: &AtomicU64, more| {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        };
        add(&self.packets, 1);
        add(&self.bytes, bytes as u64);
    }

    pub(crate) fn count_drop(&self, reason: DropReason) {
        if let Some(count) = self.drops.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_refusal(&self, reason: SealError) {
        if let Some(count) = self.refusals.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl CountersSnapshot {
    /// Inbound packets dropped, by reason; only reasons that occurred.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.iter().copied().zip(self.drops).filter(|(_, count)| *count > 0)
    }

    /// Outbound packets refused, by reason; only reasons that occurred.
    pub fn refusals(&self) -> impl Iterator<Item = (SealError, u64)> {
        SealError::ALL.iter().copied().zip(self.refusals).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        for reason in DropReason::ALL {
            let counters = Counters::new();
            counters.count_drop(*reason);
            assert_eq!(counters.snapshot().drops().collect::<Vec<_>>(), [(*reason, 1)]);
            assert_eq!(counters.dropped(*reason), 1);
        }
        for reason in SealError::ALL {
            let counters = Counters::new();
            counters.count_refusal(*reason);
            assert_eq!(counters.snapshot().refusals().collect::<Vec<_>>(), [(*reason, 1)]);
            assert_eq!(counters.refused(*reason), 1);
        }
    }

    #[test]
    fn packets_and_bytes_add_up() {
        let counters = Counters::default();
        counters.count_alone(100);
        counters.count(0);
        assert_eq!(counters.take_packets(1, 3), Some(2));
        assert_eq!(counters.take_packets(1, 3), None);
        assert_eq!(counters.take_packets(3, 5), None);
        assert_eq!(counters.take_packets(2, 5), Some(3));
        counters.count_bytes(1);
        assert_eq!((counters.snapshot().packets, counters.snapshot().bytes), (5, 101));
    }
}
