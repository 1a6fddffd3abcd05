//! IPv4 fragmentation (RFC 791 §2.3), for packets whose sender allows it.

use std::net::IpAddr;

use crate::field::{put, u16_at};
use crate::{Checksum, IpPacket};

/// Options with this bit set are copied into every fragment (RFC 791 §3.1).
const COPIED: u8 = 0x80;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// The fragments of one packet, made one after the other in a buffer of the caller's.
#[derive(Debug)]
pub struct Fragments<'a> {
    packet: &'a [u8],
    header_len: usize,
    /// Payload bytes of each fragment but the last; a multiple of 8.
    piece: usize,
    /// Payload bytes that are done.
    done: usize,
}

impl<'a> Fragments<'a> {
    /// `None` for IPv6, whose routers do not fragment, for packets with "don't fragment", and where the header
    /// leaves no room in `mtu` bytes.
    pub fn of(packet: &IpPacket<'a>, mtu: u16) -> Option<Self> {
        let IpAddr::V4(_) = packet.source() else { return None };
        let bytes = packet.bytes();
        let header_len = bytes.len() - packet.payload().len();
        let piece = usize::from(mtu).checked_sub(header_len)? & !7;
        let may = flags_and_offset(bytes)? & DONT_FRAGMENT == 0 && piece > 0;
        may.then_some(Self { packet: bytes, header_len, piece, done: 0 })
    }

    /// Writes the next fragment; `None` after the last, or if the buffer is too short.
    pub fn next_into<'b>(&mut self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let payload = self.packet.get(self.header_len..)?.get(self.done..)?;
        if payload.is_empty() && self.done > 0 {
            return None;
        }
        let length = payload.len().min(self.piece);
        let header_len = self.write_header(buffer)?;
        let total = header_len + length;
        buffer.get_mut(header_len..total)?.copy_from_slice(payload.get(..length)?);
        let last = length == payload.len();
        // A fragment may be cut again: its own offset and "more" stay in force.
        let original = flags_and_offset(self.packet)?;
        let offset = (original & OFFSET).checked_add(u16::try_from(self.done / 8).ok()?)?;
        let more = if last { original & MORE_FRAGMENTS } else { MORE_FRAGMENTS };
        put(buffer, 2, u16::try_from(total).ok()?.to_be_bytes())?;
        put(buffer, 6, (more | (offset & OFFSET)).to_be_bytes())?;
        put(buffer, 10, [0; 2])?;
        let checksum = Checksum::new().with(buffer.get(..header_len)?).finish();
        put(buffer, 10, checksum.to_be_bytes())?;
        self.done = if last { self.packet.len() } else { self.done + length };
        buffer.get(..total)
    }

    /// The header; behind the first fragment with the copied options only. Its length.
    fn write_header(&self, buffer: &mut [u8]) -> Option<usize> {
        let header = self.packet.get(..self.header_len)?;
        buffer.get_mut(..self.header_len)?.copy_from_slice(header);
        if self.done == 0 {
            return Some(self.header_len);
        }
        let (mut from, mut to) = (20, 20);
        while let Some(kind) = header.get(from).copied().filter(|kind| *kind != 0) {
            let length = if kind == 1 { 1 } else { usize::from(*header.get(from + 1)?).max(2) };
            let option = header.get(from..from + length)?;
            if kind & COPIED != 0 {
                buffer.get_mut(to..to + length)?.copy_from_slice(option);
                to += length;
            }
            from += length;
        }
        let padded = to.next_multiple_of(4);
        buffer.get_mut(to..padded)?.fill(0);
        let words = u8::try_from(padded / 4).ok()?;
        *buffer.first_mut()? = 0x40 | words;
        Some(padded)
    }
}

fn flags_and_offset(packet: &[u8]) -> Option<u16> {
    u16_at(packet, 6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(options: &[u8], flags: u16, payload: &[u8]) -> Vec<u8> {
        let header_len = 20 + options.len();
        let mut bytes =
            vec![0x40 | u8::try_from(header_len / 4).unwrap(), 0, 0, 0, 0x12, 0x34, 0, 0, 64, 17, 0, 0];
        bytes[6..8].copy_from_slice(&flags.to_be_bytes());
        bytes.extend([192, 0, 2, 1, 198, 51, 100, 2]);
        bytes.extend(options);
        bytes.extend(payload);
        let total = u16::try_from(bytes.len()).unwrap();
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes
    }

    fn cut(bytes: &[u8], mtu: u16) -> Vec<Vec<u8>> {
        let mut fragments = Fragments::of(&IpPacket::parse(bytes).unwrap(), mtu).unwrap();
        let mut buffer = [0; 1500];
        std::iter::from_fn(|| fragments.next_into(&mut buffer).map(<[u8]>::to_vec)).collect()
    }

    proptest! {
        #[test]
        fn fragments_fit_and_join_to_the_payload(
            payload in prop::collection::vec(any::<u8>(), 0..5000),
            mtu in 68u16..1500,
            router_alert in any::<bool>(),
        ) {
            // A copied option (router alert), one that is not (record route), and the end.
            let options: &[u8] = if router_alert { &[0x94, 4, 0, 0, 7, 3, 4, 0] } else { &[] };
            let whole = packet(options, 0, &payload);
            let fragments = cut(&whole, mtu);
            let mut joined: Vec<u8> = Vec::new();
            for (number, bytes) in fragments.iter().enumerate() {
                prop_assert!(bytes.len() <= usize::from(mtu));
                let view = IpPacket::parse(bytes).unwrap();
                prop_assert_eq!(view.bytes().len(), bytes.len());
                let header = bytes.len() - view.payload().len();
                prop_assert_eq!(Checksum::new().with(&bytes[..header]).finish(), 0);
                let flags = flags_and_offset(bytes).unwrap();
                prop_assert_eq!(usize::from(flags & OFFSET) * 8, joined.len());
                prop_assert_eq!(flags & MORE_FRAGMENTS != 0, number + 1 < fragments.len());
                let expected = match (router_alert, number) { (false, _) => 20, (true, 0) => 28, (true, _) => 24 };
                prop_assert_eq!(header, expected);
                joined.extend(view.payload());
            }
            prop_assert_eq!(joined, payload);
        }

        #[test]
        fn any_packet_is_cut_or_not_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 20..200), mtu in any::<u16>()) {
            let mut bytes = bytes;
            bytes[0] = 0x40 | bytes[0] & 0x0f;
            if let Ok(view) = IpPacket::parse(&bytes)
                && let Some(mut fragments) = Fragments::of(&view, mtu)
            {
                let mut buffer = [0; 300];
                let mut count = 0;
                while fragments.next_into(&mut buffer).is_some() {
                    count += 1;
                    prop_assert!(count < 100);
                }
            }
        }
    }

    #[test]
    fn a_fragment_is_cut_again_where_it_stands() {
        let middle = packet(&[], MORE_FRAGMENTS | 0x64, &[7; 40]);
        let flags: Vec<u16> = cut(&middle, 44).iter().map(|bytes| flags_and_offset(bytes).unwrap()).collect();
        assert_eq!(flags, [MORE_FRAGMENTS | 0x64, MORE_FRAGMENTS | 0x67]);
    }

    #[test]
    fn dont_fragment_and_ipv6_are_left_whole() {
        let bytes = packet(&[], DONT_FRAGMENT, &[0; 100]);
        assert!(Fragments::of(&IpPacket::parse(&bytes).unwrap(), 68).is_none());
        let mut v6 = vec![0x60, 0, 0, 0, 0, 8, 17, 64];
        v6.resize(48, 0);
        assert!(Fragments::of(&IpPacket::parse(&v6).unwrap(), 44).is_none());
    }
}
