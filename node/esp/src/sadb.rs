//! The SAs that this node receives on, by SPI.

mod allocator;

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use rpds::HashTrieMapSync;

use crate::reason::DropReason;
use crate::spi::Spi;

pub use allocator::{SpiAllocator, SpiTaken};

/// Inbound SAs by SPI (RFC 4301 §4.4.2). A clone costs one reference count and shares all but what changes later,
/// so the control side keeps one and publishes clones to the data plane.
///
/// At a rekey the new SA is inserted beside the old one, and both can be received until the old one is removed:
/// a reader of a published clone sees either set, never one between them.
pub struct Sadb<T> {
    sas: HashTrieMapSync<Spi, Arc<T>, BuildHasherDefault<SpiHasher>>,
}

impl<T> Sadb<T> {
    pub fn new() -> Self {
        Self { sas: HashTrieMapSync::new_with_hasher_and_ptr_kind(BuildHasherDefault::default()) }
    }

    pub fn get(&self, spi: Spi) -> Option<&Arc<T>> {
        self.sas.get(&spi)
    }

    /// The SA of an ESP packet that starts with its SPI.
    pub fn of_packet(&self, packet: &[u8]) -> Result<&Arc<T>, DropReason> {
        let spi = packet.first_chunk().ok_or(DropReason::Truncated)?;
        let spi = Spi::new(u32::from_be_bytes(*spi));
        spi.and_then(|spi| self.get(spi)).ok_or(DropReason::UnknownSpi)
    }

    /// Adds an SA; gives back the one that had this SPI.
    pub fn insert(&mut self, spi: Spi, sa: Arc<T>) -> Option<Arc<T>> {
        let before = self.get(spi).cloned();
        self.sas.insert_mut(spi, sa);
        before
    }

    pub fn remove(&mut self, spi: Spi) -> Option<Arc<T>> {
        let before = self.get(spi).cloned();
        self.sas.remove_mut(&spi);
        before
    }

    pub fn len(&self) -> usize {
        self.sas.size()
    }

    pub fn is_empty(&self) -> bool {
        self.sas.is_empty()
    }

    /// In no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Spi, &Arc<T>)> {
        self.sas.iter().map(|(spi, sa)| (*spi, sa))
    }
}

impl<T> Default for Sadb<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Sadb<T> {
    fn clone(&self) -> Self {
        Self { sas: self.sas.clone() }
    }
}

impl<T> std::fmt::Debug for Sadb<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.sas.keys()).finish()
    }
}

/// We draw the SPIs ourselves, at random, so nobody can make them collide: one multiplication is enough.
#[derive(Default)]
struct SpiHasher(u64);

impl Hasher for SpiHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        // The golden ratio's fraction in 64 bits (Knuth, TAOCP 3 §6.4); the high half is the mixed one.
        let mixed = (self.0 ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spi(value: u32) -> Spi {
        Spi::new(value).unwrap()
    }

    #[test]
    fn a_rekey_keeps_the_old_sa_until_it_is_removed() {
        let mut sadb = Sadb::new();
        sadb.insert(spi(0x8000_0001), Arc::new("old"));
        let before = sadb.clone();
        assert_eq!(sadb.insert(spi(0x8000_0002), Arc::new("new")), None);
        let both = sadb.clone();
        assert_eq!(sadb.remove(spi(0x8000_0001)), Some(Arc::new("old")));

        let found = |sadb: &Sadb<&'static str>, value| sadb.get(spi(value)).map(|sa| **sa);
        assert_eq!((found(&before, 0x8000_0001), found(&before, 0x8000_0002)), (Some("old"), None));
        assert_eq!((found(&both, 0x8000_0001), found(&both, 0x8000_0002)), (Some("old"), Some("new")));
        assert_eq!((found(&sadb, 0x8000_0001), found(&sadb, 0x8000_0002)), (None, Some("new")));
        assert_eq!((before.len(), both.len(), sadb.len()), (1, 2, 1));
    }

    #[test]
    fn a_packet_finds_its_sa_by_its_first_four_bytes() {
        let mut sadb = Sadb::new();
        sadb.insert(spi(0x8765_4321), Arc::new(7));
        assert_eq!(sadb.of_packet(&[0x87, 0x65, 0x43, 0x21, 0, 0]).map(|sa| **sa), Ok(7));
        assert_eq!(sadb.of_packet(&[0x87, 0x65, 0x43]).err(), Some(DropReason::Truncated));
        assert_eq!(sadb.of_packet(&[0x87, 0x65, 0x43, 0x22]).err(), Some(DropReason::UnknownSpi));
        assert_eq!(sadb.of_packet(&[0, 0, 0, 1]).err(), Some(DropReason::UnknownSpi), "a reserved value");
    }

    #[test]
    fn ten_thousand_sas_come_and_go() {
        let mut sadb = Sadb::new();
        let spis = || (0..10_000u32).map(|index| spi(0x8000_0000 | index.wrapping_mul(0x0101_0101)));
        for spi in spis() {
            sadb.insert(spi, Arc::new(spi.get()));
        }
        assert_eq!((sadb.len(), sadb.iter().count()), (10_000, 10_000));
        for spi in spis() {
            assert_eq!(sadb.remove(spi).map(|sa| *sa), Some(spi.get()));
        }
        assert!(sadb.is_empty());
    }
}
