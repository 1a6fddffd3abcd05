//! Receiver indices. A peer owns 256 consecutive ones: 24 random bits that we allocate, and eight that
//! `boringtun` counts up from session to session.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// The upper 24 bits of all receiver indices of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIndex(u32);

impl PeerIndex {
    const COUNT: usize = 1 << 24;

    /// The peer part of a receiver index on the wire.
    pub const fn of_receiver(receiver: u32) -> Self {
        Self(receiver >> 8)
    }

    pub(crate) const fn get(self) -> u32 {
        self.0
    }
}

/// No index can be allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    #[error("too many receiver indices are taken (8,388,608 at most)")]
    Exhausted,
    #[error("no random numbers from the operating system")]
    Random,
}

/// Hands out random free indices. A released one rests for [`IndexAllocator::REST`], so that late packets
/// for its former owner never reach another peer.
#[derive(Debug, Default)]
pub struct IndexAllocator {
    taken: HashSet<PeerIndex>,
    resting: VecDeque<(Instant, PeerIndex)>,
}

impl IndexAllocator {
    /// Thrice the life of a session (whitepaper §6.3): all its keys are gone by then.
    pub const REST: Duration = Duration::from_mins(9);

    pub fn allocate(&mut self, now: Instant) -> Result<PeerIndex, IndexError> {
        while let Some((released, index)) = self.resting.front().copied()
            && now.duration_since(released) >= Self::REST
        {
            self.resting.pop_front();
            self.taken.remove(&index);
        }
        // Random probing stays quick while at least half of the indices are free.
        if self.taken.len() >= PeerIndex::COUNT / 2 {
            return Err(IndexError::Exhausted);
        }
        loop {
            let index = PeerIndex::of_receiver(getrandom::u32().map_err(|_| IndexError::Random)?);
            if self.taken.insert(index) {
                return Ok(index);
            }
        }
    }

    pub fn release(&mut self, index: PeerIndex, now: Instant) {
        self.resting.push_back((now, index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_distinct_and_rest_after_release() {
        let mut allocator = IndexAllocator::default();
        let now = Instant::now();
        let first: Vec<_> = (0..1000).map(|_| allocator.allocate(now).unwrap()).collect();
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 1000);
        for index in &first {
            allocator.release(*index, now);
        }
        let second: HashSet<_> = (0..1000).map(|_| allocator.allocate(now).unwrap()).collect();
        assert!(first.iter().all(|index| !second.contains(index)));
        allocator.allocate(now + IndexAllocator::REST).unwrap();
        assert!(allocator.resting.is_empty());
        assert_eq!(allocator.taken.len(), 1001);
    }
}
