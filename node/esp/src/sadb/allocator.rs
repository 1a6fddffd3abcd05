//! SPIs for the SAs that this node receives on.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::spi::Spi;

/// More draws than two thousand million values with a few thousand in use can ever need.
const DRAWS: usize = 64;

/// Draws inbound SPIs and keeps them apart, from each other and from those that the network may still remember.
#[derive(Debug)]
pub struct SpiAllocator {
    in_use: BTreeSet<Spi>,
    resting: BTreeSet<Spi>,
    /// The resting ones, with the end of their rest, the earliest first.
    rests: VecDeque<(Instant, Spi)>,
    quarantine: Duration,
}

/// Why an SPI cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiTaken {
    #[error("SPI {0} is in use")]
    InUse(Spi),
    #[error("SPI {0} was in use a short while ago, and packets of that SA may still arrive")]
    Resting(Spi),
}

impl SpiAllocator {
    /// How long a released SPI rests: far longer than any packet lives, and than a peer that lost our DELETE goes
    /// on sending after its liveness check.
    pub const QUARANTINE: Duration = Duration::from_mins(10);

    pub const fn new(quarantine: Duration) -> Self {
        Self { in_use: BTreeSet::new(), resting: BTreeSet::new(), rests: VecDeque::new(), quarantine }
    }

    /// A new SPI with its top bit set. `None` only if `random` is broken.
    pub fn allocate(&mut self, mut random: impl FnMut() -> u32, now: Instant) -> Option<Spi> {
        self.end_rests(now);
        (0..DRAWS).find_map(|_| {
            let spi = Spi::new(random() | Spi::TOP_BIT)?;
            let free = !self.resting.contains(&spi) && self.in_use.insert(spi);
            free.then_some(spi)
        })
    }

    /// Takes a certain SPI, for an SA keyed by hand.
    pub fn reserve(&mut self, spi: Spi, now: Instant) -> Result<(), SpiTaken> {
        self.end_rests(now);
        if self.resting.contains(&spi) {
            return Err(SpiTaken::Resting(spi));
        }
        if self.in_use.insert(spi) { Ok(()) } else { Err(SpiTaken::InUse(spi)) }
    }

    /// Ends the use of an SPI; nobody gets it again before its quarantine is over.
    pub fn release(&mut self, spi: Spi, now: Instant) {
        if self.in_use.remove(&spi) {
            self.resting.insert(spi);
            self.rests.push_back((now + self.quarantine, spi));
        }
    }

    fn end_rests(&mut self, now: Instant) {
        while let Some((until, spi)) = self.rests.pop_front() {
            if until > now {
                self.rests.push_front((until, spi));
                return;
            }
            self.resting.remove(&spi);
        }
    }
}

impl Default for SpiAllocator {
    fn default() -> Self {
        Self::new(Self::QUARANTINE)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_top_bit_is_always_set() {
        let mut allocator = SpiAllocator::default();
        let spi = allocator.allocate(|| 1, Instant::now()).unwrap();
        assert_eq!(spi.get(), 0x8000_0001);
        assert!(spi.is_ours());
    }

    #[test]
    fn a_released_spi_rests_before_it_is_drawn_again() {
        let mut allocator = SpiAllocator::default();
        let start = Instant::now();
        let spi = allocator.allocate(|| 5, start).unwrap();
        assert_eq!(allocator.allocate(|| 5, start), None, "in use");
        assert_eq!(allocator.reserve(spi, start), Err(SpiTaken::InUse(spi)));
        allocator.release(spi, start);
        let just_before = start + Duration::from_millis(599_999);
        assert_eq!(allocator.allocate(|| 5, just_before), None, "resting");
        assert_eq!(allocator.reserve(spi, just_before), Err(SpiTaken::Resting(spi)));
        assert_eq!(allocator.allocate(|| 5, start + SpiAllocator::QUARANTINE), Some(spi));
    }

    #[test]
    fn releasing_what_is_not_in_use_does_nothing() {
        let mut allocator = SpiAllocator::default();
        let now = Instant::now();
        let spi = Spi::new(0x8000_0007).unwrap();
        allocator.release(spi, now);
        assert_eq!(allocator.reserve(spi, now), Ok(()));
        allocator.release(spi, now);
        allocator.release(spi, now + Duration::from_mins(5));
        assert_eq!(allocator.reserve(spi, now + SpiAllocator::QUARANTINE), Ok(()));
    }

    proptest! {
        #[test]
        fn nothing_is_handed_out_twice_or_too_soon(
            steps in prop::collection::vec((any::<bool>(), 0u32..8, 0u64..4), 1..200),
        ) {
            let quarantine = Duration::from_secs(10);
            let mut allocator = SpiAllocator::new(quarantine);
            let mut now = Instant::now();
            // `None` while in use, else when it was released.
            let mut model: BTreeMap<Spi, Option<Instant>> = BTreeMap::new();
            for (take, value, pause) in steps {
                now += Duration::from_secs(pause);
                let spi = Spi::new(value | Spi::TOP_BIT).unwrap();
                if take {
                    let free = model.get(&spi).is_none_or(|released| {
                        released.is_some_and(|released| now >= released + quarantine)
                    });
                    prop_assert_eq!(allocator.allocate(|| value, now), free.then_some(spi));
                    if free {
                        model.insert(spi, None);
                    }
                } else {
                    allocator.release(spi, now);
                    if let Some(released @ None) = model.get_mut(&spi) {
                        *released = Some(now);
                    }
                }
            }
        }
    }
}
