//! Anti-replay window (RFC 4303 §3.4.3, appendix A; RFC 4302 §3.4.3, appendix B).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::reason::DropReason;

const BITS: u64 = u64::BITS as u64;

/// Which sequence numbers were seen, for one inbound SA of ESP or AH.
///
/// [`Self::precheck`] before the ICV, without a lock, and [`Self::accept`] after it. The bitmap is a ring of
/// words (RFC 6479) with at least one more than the window needs, so that to advance means to clear whole
/// words, never to shift. On a cache line of its own: every packet writes here.
#[repr(align(64))]
pub struct ReplayWindow {
    /// Bit `s % 64` of word `s / 64 % len` says that sequence number `s` was seen; `len` is a power of two.
    words: Box<[AtomicU64]>,
    /// Highest authenticated sequence number, 0 before the first.
    top: AtomicU64,
    size: u64,
    /// Held while a bit is set. `precheck` reads beside it: what it finds may be out of date, and `accept`
    /// decides again.
    moving: Mutex<()>,
}

impl ReplayWindow {
    /// For so many packets, within 32 to 65,536 and rounded up to a multiple of 64.
    pub fn new(size: u32) -> Self {
        Self::with_top(size, 0)
    }

    /// As if `top` had been the highest sequence number so far, and all of the window behind it not yet seen.
    /// Only tests of the far end of the sequence space want that.
    pub fn with_top(size: u32, top: u64) -> Self {
        let size = size.clamp(32, 65_536).next_multiple_of(u64::BITS);
        let len = (size / u64::BITS + 1).next_power_of_two();
        Self {
            words: (0..len).map(|_| AtomicU64::new(0)).collect(),
            top: AtomicU64::new(top),
            size: size.into(),
            moving: Mutex::new(()),
        }
    }

    /// Packets that the window is wide.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Highest authenticated sequence number, 0 before the first.
    pub fn top(&self) -> u64 {
        self.top.load(Ordering::Relaxed)
    }

    /// The whole sequence number of a packet that carries `low`, unless it is known already that it was seen
    /// or lies behind the window. Costs nothing worth forging a packet for; the ICV is yet to be checked.
    pub fn precheck(&self, low: u32, esn: bool) -> Result<u64, DropReason> {
        // Pairs with the store in `accept`: whoever sees a new top sees the words in front of it cleared.
        let top = self.top.load(Ordering::Acquire);
        let sequence = if esn { infer(low, top, self.size)? } else { u64::from(low) };
        if sequence == 0 {
            return Err(DropReason::SequenceZero);
        }
        self.look(sequence, top)?;
        Ok(sequence)
    }

    /// Marks an authenticated sequence number as seen, once among all callers; true if it is the newest so far.
    pub fn accept(&self, sequence: u64) -> Result<bool, DropReason> {
        self.accept_and(sequence, || ())
    }

    /// Like [`Self::accept`], and calls `count` if the number is new, never beside another such call.
    #[inline]
    pub(crate) fn accept_and(&self, sequence: u64, count: impl FnOnce()) -> Result<bool, DropReason> {
        // A panic of another holder is impossible, and would leave a valid window.
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let top = self.top.load(Ordering::Relaxed);
        self.look(sequence, top)?;
        let newest = sequence > top;
        if newest {
            self.clear_between(top, sequence);
        }
        if let Some((word, bit)) = self.place(sequence) {
            // All writers hold the lock, so load and store do instead of a locked `fetch_or`.
            word.store(word.load(Ordering::Relaxed) | bit, Ordering::Relaxed);
        }
        if newest {
            self.top.store(sequence, Ordering::Release);
        }
        count();
        Ok(newest)
    }

    fn look(&self, sequence: u64, top: u64) -> Result<(), DropReason> {
        if sequence > top {
            return Ok(());
        }
        if top - sequence >= self.size {
            return Err(DropReason::BehindWindow);
        }
        match self.place(sequence) {
            Some((word, bit)) if word.load(Ordering::Relaxed) & bit == 0 => Ok(()),
            _ => Err(DropReason::Replayed),
        }
    }

    /// Clears the words that `to` brings into the window, each once however far it jumps.
    fn clear_between(&self, top: u64, to: u64) {
        let (first, last) = (top / BITS + 1, to / BITS);
        let last = last.min(first.saturating_add(self.words.len() as u64 - 1));
        for block in first..=last {
            if let Some(word) = self.words.get(self.slot(block)) {
                word.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Always `Some`, since the slot is masked.
    fn place(&self, sequence: u64) -> Option<(&AtomicU64, u64)> {
        self.words.get(self.slot(sequence / BITS)).map(|word| (word, 1 << (sequence % BITS)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked to the number of words")]
    fn slot(&self, block: u64) -> usize {
        (block & (self.words.len() as u64 - 1)) as usize
    }
}

/// RFC 4303 appendix A2.2: the high half that puts `low` nearest in front of the window's lower edge.
///
/// A subspace below the first or above the last does not exist; what would lie there is behind the window.
/// The loss of 2³² packets in a row (appendix A3) is not recovered from: every packet then fails its ICV, and
/// the liveness check of IKE replaces the SA.
fn infer(low: u32, top: u64, size: u64) -> Result<u64, DropReason> {
    let (low, top_low, top_high) = (u64::from(low), top & 0xffff_ffff, top >> 32);
    let high = if top_low >= size - 1 {
        // Case A: the window lies within one subspace.
        if low + size > top_low { Some(top_high) } else { top_high.checked_add(1) }
    } else {
        // Case B: it began in the subspace before.
        if low + size > top_low + (1 << 32) { top_high.checked_sub(1) } else { Some(top_high) }
    };
    match high {
        Some(high) if high <= 0xffff_ffff => Ok(high << 32 | low),
        _ => Err(DropReason::BehindWindow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_kept_in_range_and_rounded_up() {
        for (asked, given) in [(0, 64), (32, 64), (64, 64), (65, 128), (4096, 4096), (u32::MAX, 65_536)] {
            assert_eq!(ReplayWindow::new(asked).size(), given);
        }
    }

    const fn number(high: u32, low: u32) -> u64 {
        (high as u64) << 32 | low as u64
    }

    #[test]
    fn the_high_half_follows_the_cases_of_appendix_a() {
        let size = 64;
        let highest = u32::MAX;
        // Case A: top low ≥ W − 1.
        assert_eq!(infer(937, number(5, 1000), size), Ok(number(5, 937)));
        assert_eq!(infer(936, number(5, 1000), size), Ok(number(6, 936)));
        assert_eq!(infer(highest, number(5, 1000), size), Ok(number(5, highest)));
        assert_eq!(infer(0, number(5, 63), size), Ok(number(5, 0)));
        // Case B: the window reaches into the subspace before.
        assert_eq!(infer(highest - 52, number(5, 10), size), Ok(number(4, highest - 52)));
        assert_eq!(infer(highest - 53, number(5, 10), size), Ok(number(5, highest - 53)));
        assert_eq!(infer(11, number(5, 10), size), Ok(number(5, 11)));
    }

    #[test]
    fn there_is_no_subspace_below_the_first_nor_above_the_last() {
        assert_eq!(infer(u32::MAX, 0, 64), Err(DropReason::BehindWindow));
        assert_eq!(infer(5, number(u32::MAX, 1000), 64), Err(DropReason::BehindWindow));
        assert_eq!(infer(u32::MAX, u64::MAX - 1, 64), Ok(u64::MAX));
    }

    #[test]
    fn a_number_is_accepted_once() {
        let window = ReplayWindow::new(64);
        assert_eq!(window.precheck(1, false), Ok(1));
        assert_eq!(window.accept(1), Ok(true));
        assert_eq!(window.precheck(1, false), Err(DropReason::Replayed));
        assert_eq!(window.accept(1), Err(DropReason::Replayed));
        assert_eq!(window.accept(100), Ok(true));
        assert_eq!(window.accept(37), Ok(false));
        assert_eq!(window.accept(36), Err(DropReason::BehindWindow));
    }

    #[test]
    fn sequence_zero_is_refused_but_not_the_zero_of_a_later_subspace() {
        assert_eq!(ReplayWindow::new(64).precheck(0, false), Err(DropReason::SequenceZero));
        assert_eq!(ReplayWindow::new(64).precheck(0, true), Err(DropReason::SequenceZero));
        assert_eq!(ReplayWindow::with_top(64, 0xffff_fff0).precheck(0, true), Ok(1 << 32));
    }

    #[test]
    fn the_precheck_moves_nothing() {
        let window = ReplayWindow::new(64);
        for low in [1000, 70_000, 5] {
            assert!(window.precheck(low, true).is_ok());
        }
        assert_eq!(window.top(), 0);
    }
}
