//! The Internet checksum (RFC 1071).

use std::net::IpAddr;

/// A running one's complement sum over the pieces of a packet, each of even length but the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checksum(u64);

impl Checksum {
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds bytes; an odd last byte counts as if a zero followed it.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        // Four bytes at a time cannot overflow 64 bits for any slice that exists.
        let sum = words.iter().fold(self.0, |sum, word| sum + u64::from(u32::from_be_bytes(*word)));
        let mut tail = [0; 4];
        for (to, from) in tail.iter_mut().zip(rest) {
            *to = *from;
        }
        Self(fold_to_32(sum + u64::from(u32::from_be_bytes(tail))))
    }

    /// The value for the header field; over a packet with a right checksum in place it is 0.
    pub fn finish(self) -> u16 {
        let sum = fold_to_32(self.0);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        !u16::try_from(sum).expect("two folds of 32 bits leave 16")
    }
}

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
        fn pieces_of_even_length_add_up(a in prop::collection::vec(any::<u8>(), 0..50), b in prop::collection::vec(any::<u8>(), 0..99)) {
            let a: Vec<u8> = a.iter().flat_map(|byte| [*byte, !*byte]).collect();
            let whole = [a.as_slice(), &b].concat();
            prop_assert_eq!(Checksum::new().with(&a).with(&b).finish(), reference(&whole));
        }
    }
}
