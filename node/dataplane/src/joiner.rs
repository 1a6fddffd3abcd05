//! Opened packets → TUN device, neighbours of one flow in one call.

use std::io::{self, IoSlice};
use std::iter;
use std::ops::Range;

use twinmesh_packet::{Candidate, Join, MAX_PIECES, Offload, Verdict};

use crate::batch::Inner;
use crate::counters::{Call, Counters, DropReason};
use crate::tun::TunQueue;

/// Flows that are joined side by side; with one more, the oldest goes.
const MAX_FLOWS: usize = 8;

/// Joins packets that lie in one buffer. What it holds is made once.
pub(crate) struct Joiner {
    /// In the order in which they began.
    open: Vec<Super>,
    /// Room of those that went.
    spare: Vec<Vec<Range<usize>>>,
}

/// A super-packet that grows: its first packet lies in the buffer, the payloads of the others too.
struct Super {
    join: Join,
    first: Range<usize>,
    payloads: Vec<Range<usize>>,
}

impl Joiner {
    pub(crate) fn new() -> Self {
        let spare = (0..MAX_FLOWS).map(|_| Vec::with_capacity(MAX_PIECES)).collect();
        Self { open: Vec::with_capacity(MAX_FLOWS), spare }
    }

    /// Writes all packets, whose places in the buffer are given in their order. That order is kept within each flow.
    pub(crate) fn write(
        &mut self,
        buffer: &mut [u8],
        packets: impl Iterator<Item = Inner>,
        tun: &TunQueue,
        counters: &Counters,
    ) {
        let out = Out { tun, counters };
        for inner in packets {
            self.take(buffer, inner, out);
        }
        for open in self.open.drain(..) {
            self.spare.push(out.joined(buffer, open));
        }
    }

    fn take(&mut self, buffer: &mut [u8], Inner { place, sums }: Inner, out: Out<'_>) {
        let Some(packet) = buffer.get(place.clone()) else { return };
        let Some(candidate) = Candidate::parse(packet, sums) else { return out.alone(packet, Offload::NONE) };
        if !out.tun.joins(candidate.kind()) {
            return out.alone(packet, candidate.single());
        }
        let same_flow = self.open.iter().position(|open| open.join.flow() == candidate.flow());
        if let Some(open) = same_flow.and_then(|at| self.open.get_mut(at))
            && let Verdict::Added { payload } = open.join.add(&candidate)
        {
            return open.payloads.push(place.start + payload.start..place.start + payload.end);
        }
        let (begun, single) = (Join::begin(&candidate), candidate.single());
        let full = (begun.is_some() && self.open.len() == MAX_FLOWS).then_some(0);
        if let Some(at) = same_flow.or(full) {
            let ended = self.open.remove(at);
            self.spare.push(out.joined(buffer, ended));
        }
        match begun {
            Some(join) => {
                let payloads = self.spare.pop().unwrap_or_default();
                self.open.push(Super { join, first: place, payloads });
            }
            None => out.alone(buffer.get(place).unwrap_or_default(), single),
        }
    }
}

/// Where packets go.
#[derive(Clone, Copy)]
struct Out<'w> {
    tun: &'w TunQueue,
    counters: &'w Counters,
}

impl Out<'_> {
    fn alone(self, packet: &[u8], offload: Offload) {
        self.count(&self.tun.write(packet, offload), 1, packet.len());
    }

    /// Writes a super-packet; gives back the room for the next one's places.
    fn joined(self, buffer: &mut [u8], open: Super) -> Vec<Range<usize>> {
        let Super { join, first, mut payloads } = open;
        let (count, length, first_len) = (join.count(), join.total_len(), join.first_len());
        let offload = buffer.get_mut(first.clone()).map_or(Offload::NONE, |packet| join.finish(packet));
        let header = offload.write();
        // A header of the device's, and the first packet; of the others what they carry.
        let mut pieces = [IoSlice::new(&[]); 1 + MAX_PIECES];
        let places = iter::once(first.start..first.start + first_len).chain(payloads.drain(..));
        let bytes = places.map(|place| buffer.get(place).unwrap_or_default());
        let mut used = 0;
        for (piece, bytes) in pieces.iter_mut().zip(iter::once(header.as_slice()).chain(bytes)) {
            *piece = IoSlice::new(bytes);
            used += 1;
        }
        self.count(&self.tun.write_pieces(pieces.get(..used).unwrap_or_default()), count, length);
        payloads
    }

    fn count(self, written: &io::Result<()>, packets: usize, bytes: usize) {
        self.counters.called(Call::TunWrite);
        match written {
            Ok(()) => self.counters.received(packets, bytes),
            Err(_) => (0..packets).for_each(|_| self.counters.dropped(DropReason::TunWrite)),
        }
    }
}
