//! The Internet checksum (RFC 1071).

use std::net::IpAddr;

/// A running one's complement sum over the pieces of a packet, each of even length but the last.
///
/// It is kept in the machine's byte order, on which the sum does not depend (RFC 1071 §2 B); only the result is swapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checksum(u64);

impl Checksum {
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds bytes; an odd last byte counts as if a zero followed it.
    #[must_use]
    #[inline]
    pub fn with(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks();
        let lanes = words.iter().fold(Lanes::default(), |lanes, word| lanes.with(*word));
        self.plus(lanes.with(padded(rest)))
    }

    /// Copies bytes and adds them in one pass; as many as the shorter of both slices has.
    ///
    /// `benches/segments.rs`: 1,384 bytes in the nearest cache take 49 ns, where copying alone takes 13. Cutting 46
    /// segments takes 3.7 µs, and 5.5 µs with one pass that copies and another that sums.
    #[must_use]
    pub fn with_copied(self, from: &[u8], to: &mut [u8]) -> Self {
        let len = from.len().min(to.len());
        let (Some(from), Some(to)) = (from.get(..len), to.get_mut(..len)) else { return self };
        let (words, rest) = from.as_chunks();
        let (copies, rest_copy) = to.as_chunks_mut();
        let lanes = words.iter().zip(copies).fold(Lanes::default(), |lanes, (word, copy)| {
            *copy = *word;
            lanes.with(*word)
        });
        rest_copy.copy_from_slice(rest);
        self.plus(lanes.with(padded(rest)))
    }

    /// Adds what another sum holds, over bytes that begin at an even place of the packet.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[must_use]
    #[inline]
    pub(crate) fn with_u16(self, value: u16) -> Self {
        Self(self.0 + u64::from(value.to_be()))
    }

    #[must_use]
    #[inline]
    pub(crate) fn with_u32(self, value: u32) -> Self {
        Self(self.0 + u64::from(value.to_be()))
    }

    /// Adds a length that lies in a packet, so below 2^16.
    #[must_use]
    pub(crate) fn with_len(self, len: usize) -> Self {
        self.with_u16(u16::try_from(len).unwrap_or(u16::MAX))
    }

    fn plus(self, lanes: Lanes) -> Self {
        Self(fold_to_32(self.0) + fold_to_32(lanes.sum()))
    }

    /// The value for the header field; over a packet with a right checksum in place it is 0.
    pub fn finish(self) -> u16 {
        !self.folded()
    }

    /// The sum itself. Over a pseudo-header it is what the field of a partial checksum holds.
    pub fn folded(self) -> u16 {
        let sum = fold_to_32(self.0);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        u16::from_be(u16::try_from(sum).expect("two folds of 32 bits leave 16"))
    }
}

/// The sum of 64-bit words modulo 2^64 and that of their upper halves: three vector operations for two words, which no
/// way of widening halves first comes near. Together they give the sum of all halves, for up to 32 GiB.
#[derive(Clone, Copy, Default)]
struct Lanes {
    words: u64,
    upper: u64,
}

impl Lanes {
    #[inline]
    fn with(self, word: [u8; 8]) -> Self {
        let word = u64::from_ne_bytes(word);
        Self { words: self.words.wrapping_add(word), upper: self.upper + (word >> 32) }
    }

    fn sum(self) -> u64 {
        self.words.wrapping_sub(self.upper << 32) + self.upper
    }
}

/// Up to seven bytes with zeros behind.
#[inline]
fn padded(rest: &[u8]) -> [u8; 8] {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    word
}

#[inline]
fn fold_to_32(sum: u64) -> u64 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    (sum & 0xffff_ffff) + (sum >> 32)
}

/// The sum that the checksums of TCP, UDP and ICMPv6 start from (RFC 9293 §3.1, RFC 8200 §8.1).
/// `len` is the length of the transport header and its payload. The
/// addresses are those of one packet, so of one family.
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, len: u32) -> Checksum {
    let add = |sum: Checksum, address| match address {
        IpAddr::V4(v4) => sum.with(&v4.octets()),
        IpAddr::V6(v6) => sum.with(&v6.octets()),
    };
    add(add(Checksum::new(), source), destination)
        .with(&len.to_be_bytes())
        .with(&u32::from(protocol).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 §1 word for word, slowly.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(u16::try_from(sum).unwrap())
    }

    #[test]
    fn carries_are_never_lost() {
        for len in [2, 8, 64, 65_534] {
            assert_eq!(Checksum::new().with(&vec![0xff; len]).finish(), 0, "{len} bytes");
        }
    }

    #[test]
    fn the_example_of_rfc_1071_holds() {
        let sum = Checksum::new().with(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), !0xddf2);
    }

    proptest! {
        #[test]
        fn the_sum_equals_the_slow_one(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(Checksum::new().with(&bytes).finish(), reference(&bytes));
        }

        #[test]
        fn what_is_copied_is_summed_alike(bytes in prop::collection::vec(any::<u8>(), 0..3000), start in 0usize..9) {
            let mut copy = vec![0; start + bytes.len()];
            let sum = Checksum::new().with_copied(&bytes, &mut copy[start..]);
            prop_assert_eq!(sum.finish(), reference(&bytes));
            prop_assert_eq!(&copy[start..], bytes);
        }

        #[test]
        fn single_words_add_up_like_bytes(a: u16, b: u32, c: u16) {
            let bytes = [&a.to_be_bytes()[..], &b.to_be_bytes(), &c.to_be_bytes()].concat();
            prop_assert_eq!(Checksum::new().with_u16(a).with_u32(b).with_u16(c).finish(), reference(&bytes));
        }

        #[test]
        fn pieces_of_even_length_add_up(a in prop::collection::vec(any::<u8>(), 0..50), b in prop::collection::vec(any::<u8>(), 0..99)) {
            let a: Vec<u8> = a.iter().flat_map(|byte| [*byte, !*byte]).collect();
            let whole = [a.as_slice(), &b].concat();
            prop_assert_eq!(Checksum::new().with(&a).with(&b).finish(), reference(&whole));
        }
    }
}
