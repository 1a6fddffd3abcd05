//! Packets of one worker on their way from and to the TUN device. The buffers are made once: nothing is allocated
//! while packets flow.

use std::io;

use crate::counters::{Counters, DropReason};
use crate::tun::TunQueue;

/// Packets read from the TUN device before they are sealed and sent together.
pub(crate) const BATCH: usize = 64;

/// Packets from the TUN device, in slots of the longest packet's size.
pub(crate) struct PacketBatch {
    storage: Box<[u8]>,
    lengths: Vec<usize>,
    stride: usize,
}

impl PacketBatch {
    pub(crate) fn new(max_packet: usize) -> Self {
        Self {
            storage: vec![0; max_packet * BATCH].into(),
            lengths: Vec::with_capacity(BATCH),
            stride: max_packet,
        }
    }

    /// Reads until the batch is full or the device has no more; true in the latter case.
    pub(crate) fn fill(&mut self, tun: &TunQueue) -> io::Result<bool> {
        self.lengths.clear();
        for slot in self.storage.chunks_exact_mut(self.stride) {
            match tun.read(slot) {
                Ok(length) => self.lengths.push(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.storage
            .chunks_exact(self.stride)
            .zip(&self.lengths)
            .filter_map(|(slot, length)| slot.get(..*length))
    }
}

/// Opened packets on their way to the TUN device, one after another. Neighbours of one flow will be joined to
/// super-packets here.
pub(crate) struct InnerBatch {
    storage: Box<[u8]>,
    used: usize,
    lengths: Vec<usize>,
}

impl InnerBatch {
    /// Some hundred full packets, and room for the longest datagram at any time.
    const CAPACITY: usize = 4 * 65_536;
    const MAX_PACKETS: usize = 256;

    pub(crate) fn new() -> Self {
        Self {
            storage: vec![0; Self::CAPACITY].into(),
            used: 0,
            lengths: Vec::with_capacity(Self::MAX_PACKETS),
        }
    }

    /// Where the next datagram of any length is to be opened; empties the batch first if need be.
    pub(crate) fn space(&mut self, tun: &TunQueue, counters: &Counters) -> &mut [u8] {
        if self.storage.len() - self.used < 65_536 || self.lengths.len() == Self::MAX_PACKETS {
            self.flush(tun, counters);
        }
        &mut self.storage[self.used..]
    }

    /// The packet of that length at the start of [`Self::space`].
    pub(crate) fn last(&mut self, length: usize) -> &mut [u8] {
        &mut self.storage[self.used..self.used + length]
    }

    /// Takes the packet of that length at the start of [`Self::space`].
    pub(crate) fn commit(&mut self, length: usize) {
        self.used += length;
        self.lengths.push(length);
    }

    pub(crate) fn flush(&mut self, tun: &TunQueue, counters: &Counters) {
        let mut rest = &self.storage[..self.used];
        for length in self.lengths.drain(..) {
            let (packet, after) = rest.split_at(length);
            match tun.write(packet) {
                Ok(()) => counters.received(length),
                Err(_) => counters.dropped(DropReason::TunWrite),
            }
            rest = after;
        }
        self.used = 0;
    }
}
