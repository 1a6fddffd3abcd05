//! Opened packets of one worker on their way to the TUN device. The buffers are made once: nothing is allocated while
//! packets flow.

use std::ops::Range;

use twinmesh_packet::Sums;

use crate::counters::Counters;
use crate::joiner::Joiner;
use crate::tun::TunQueue;

/// Opened packets, in their order. Those that were opened where they had been received lie there until they are written,
/// the others in a buffer of this one's.
pub(crate) struct InnerBatch {
    /// Places in what was received.
    received: Vec<Inner>,
    received_bytes: usize,
    storage: Box<[u8]>,
    used: usize,
    /// Places in `storage`, all later than those above.
    copied: Vec<Inner>,
    joiner: Joiner,
}

/// An opened packet: where it lies, and how its checksum may be.
pub(crate) struct Inner {
    pub(crate) place: Range<usize>,
    pub(crate) sums: Sums,
}

impl InnerBatch {
    /// Of 64 KiB that wait and one more buffer of the socket's, of which transport mode makes at most twice as much, and
    /// room for the longest datagram behind it.
    const CAPACITY: usize = 4 * 65_536;
    /// Places without growing: of two buffers of the shortest of WireGuard.
    const USUAL_PACKETS: usize = 2 * 65_536 / 48;

    pub(crate) fn new() -> Self {
        Self {
            received: Vec::with_capacity(Self::USUAL_PACKETS),
            received_bytes: 0,
            storage: vec![0; Self::CAPACITY].into(),
            used: 0,
            copied: Vec::with_capacity(Self::USUAL_PACKETS),
            joiner: Joiner::new(),
        }
    }

    /// How much waits to be written.
    pub(crate) const fn bytes(&self) -> usize {
        self.received_bytes + self.used
    }

    /// Where the next datagram of any length is to be opened, or a packet to be made.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.storage[self.used..]
    }

    /// The packet of that length at the start of [`Self::space`].
    pub(crate) fn last(&mut self, length: usize) -> &mut [u8] {
        &mut self.storage[self.used..self.used + length]
    }

    /// Takes the packet of that length at the start of [`Self::space`].
    pub(crate) fn commit(&mut self, length: usize, sums: Sums) {
        self.copied.push(Inner { place: self.used..self.used + length, sums });
        self.used += length;
    }

    /// Takes the packet at that place of what was received, of which these are the bytes.
    pub(crate) fn commit_received(&mut self, place: Range<usize>, packet: &[u8], sums: Sums) {
        if self.copied.is_empty() {
            self.received_bytes += packet.len();
            return self.received.push(Inner { place, sums });
        }
        if let Some(space) = self.space().get_mut(..packet.len()) {
            space.copy_from_slice(packet);
            self.commit(packet.len(), sums);
        }
    }

    /// Writes everything; `buffer` is what was received.
    pub(crate) fn flush(&mut self, buffer: &mut [u8], tun: &TunQueue, counters: &Counters) {
        let Self { received, received_bytes, storage, used, copied, joiner } = self;
        joiner.write(buffer, received.drain(..), tun, counters);
        joiner.write(storage, copied.drain(..), tun, counters);
        (*received_bytes, *used) = (0, 0);
    }
}
