//! Room for what a socket hands over at once.

use std::io::{self, IoSliceMut};

use quinn_udp::{BATCH_SIZE, RecvMeta};

use crate::relay::Relay;

/// Largest UDP payload, or many that the kernel joined.
const LARGEST: usize = 65_535;
/// One slot's bytes.
const SLOT: usize = Relay::HEADROOM + LARGEST;

#[derive(Debug)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
    count: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { bytes: vec![0; BATCH_SIZE * SLOT], metas: [RecvMeta::default(); BATCH_SIZE], count: 0 }
    }
}

impl Inbox {
    /// Lets `receive` fill the slots.
    pub(super) fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.count = 0;
        let mut slots = self.bytes.chunks_exact_mut(SLOT);
        let mut slots: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            let slot = slots.next().and_then(|slot| slot.get_mut(Relay::HEADROOM..));
            IoSliceMut::new(slot.unwrap_or_default())
        });
        self.count = receive(&mut slots, &mut self.metas)?;
        Ok(())
    }

    /// What came of one sender at once, with its origin.
    pub(super) fn received(&mut self) -> impl Iterator<Item = (RecvMeta, Joined<'_>)> {
        let slots = self.bytes.chunks_exact_mut(SLOT);
        self.metas.iter().zip(slots).take(self.count).map(|(meta, slot)| (*meta, Joined::new(meta, slot)))
    }
}

/// Datagrams of equal length that the kernel joined; the last one may be shorter.
pub(super) struct Joined<'a> {
    slot: &'a mut [u8],
    length: usize,
    stride: usize,
    start: usize,
    ended: bool,
}

impl<'a> Joined<'a> {
    fn new(meta: &RecvMeta, slot: &'a mut [u8]) -> Self {
        Self { slot, length: meta.len, stride: meta.stride.max(1), start: 0, ended: false }
    }

    /// The next datagram, behind [`Relay::HEADROOM`] bytes: they are the end of the one before, which is done with.
    pub(super) fn next(&mut self) -> Option<&mut [u8]> {
        // An empty datagram is one too.
        if self.ended {
            return None;
        }
        let start = self.start;
        let end = (start + self.stride).min(self.length);
        self.start = end;
        self.ended = end >= self.length;
        self.slot.get_mut(start..end + Relay::HEADROOM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagrams(length: usize, stride: usize) -> Vec<Vec<u8>> {
        let mut inbox = Inbox::default();
        inbox
            .fill(|slots, metas| {
                for (number, byte) in slots[1].iter_mut().enumerate() {
                    *byte = number.to_le_bytes()[0];
                }
                for meta in &mut metas[..2] {
                    (meta.len, meta.stride) = (length, stride);
                }
                Ok(2)
            })
            .unwrap();
        let (_, mut joined) = inbox.received().nth(1).unwrap();
        let mut found = Vec::new();
        while let Some(datagram) = joined.next() {
            found.push(datagram[Relay::HEADROOM..].to_vec());
            datagram[..Relay::HEADROOM].fill(0xee);
        }
        found
    }

    #[test]
    fn joined_datagrams_come_apart_and_the_room_before_each_is_free() {
        assert_eq!(datagrams(5, 2), [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(datagrams(4, 2), [vec![0, 1], vec![2, 3]]);
        assert_eq!(datagrams(3, 3), [vec![0, 1, 2]]);
        assert_eq!(datagrams(3, 1200), [vec![0, 1, 2]]);
        assert_eq!(datagrams(0, 0), [Vec::<u8>::new()]);
    }
}
