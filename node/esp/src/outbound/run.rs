//! Packets of one outbound SA that are sealed together.

use std::time::Instant;

use super::OutboundSa;
use crate::lifetime::Used;
use crate::next_header;
use crate::parameters::Mode;
use crate::reason::SealError;

/// Neighbouring sequence numbers of one SA, each for one packet in tunnel mode: what packets that are sealed together share
/// is looked up and counted once. Numbers left over are lost, which a receiver takes for packets that were.
pub struct Run<'s> {
    sa: &'s OutboundSa,
    last: u64,
    left: u32,
}

impl OutboundSa {
    /// Takes the sequence numbers of `count` packets, together of `bytes` bytes, in one step: see [`Run`]. `None` where the
    /// SA's end may lie among them, and in transport mode: then each is to be sealed by itself.
    pub fn run(&self, count: u32, bytes: usize, now: Instant) -> Option<Run<'_>> {
        let Used { bytes: used_bytes, packets, age } = self.used(now);
        let (bytes_after, packets_after) = (used_bytes + bytes as u64, packets + u64::from(count));
        let after = Used { bytes: bytes_after, packets: packets_after, age };
        if self.parameters.mode == Mode::Transport
            || (self.limited && self.parameters.lifetime.is_over(after))
        {
            return None;
        }
        let before = self.counters.take_packets(count.into(), self.numbers_left())?;
        self.counters.count_bytes(bytes);
        Some(Run { sa: self, last: self.used_before + before + u64::from(count), left: count })
    }
}

impl Run<'_> {
    /// As [`OutboundSa::seal_with`], under the next number; after the last one the run is exhausted.
    pub fn seal_with(
        &mut self,
        len: usize,
        out: &mut [u8],
        write: impl FnOnce(&mut [u8]) -> bool,
    ) -> Result<usize, SealError> {
        let Self { sa, last, left } = self;
        let number = || {
            *left = left.checked_sub(1).ok_or(SealError::SequenceExhausted)?;
            Ok(*last - u64::from(*left))
        };
        let write = |text: &mut [u8]| write(text).then(|| next_header::of_whole_packet(text)).flatten();
        sa.protect(len, sa.tfc_len(len), out, number, write)
            .inspect_err(|error| sa.counters.count_refusal(*error))
    }
}
