//! The largest segment that the ends of a TCP connection announce (RFC 9293 §3.7.1).

use crate::checksum::Checksum;
use crate::ip::{IpPacket, protocol};

/// Without options: what the announced size leaves out (RFC 6691 §2).
const TCP_HEADER_LEN: u16 = 20;
const IPV4_HEADER_LEN: u16 = 20;
const IPV6_HEADER_LEN: u16 = 40;
/// Offsets within the TCP header.
const DATA_OFFSET: usize = 12;
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;
const SYN: u8 = 0x02;
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

/// Tells whether a packet opens a TCP connection, so that [`clamp_mss`] may have something to do. In IPv6 only where no
/// extension header stands before TCP's.
pub fn is_syn(packet: &IpPacket<'_>) -> bool {
    packet.protocol() == protocol::TCP
        && !packet.is_later_fragment()
        && packet.payload().get(FLAGS).is_some_and(|flags| flags & SYN != 0)
}

/// Lowers the announced size of segments to what fits in `mtu` bytes with both headers, and mends the checksum; true if
/// it had to. Never raises it, and leaves everything alone that is not what [`is_syn`] says. Whoever announces nothing
/// gets segments that every link takes.
pub fn clamp_mss(packet: &mut [u8], mtu: u16) -> bool {
    clamp(packet, mtu).is_some()
}

fn clamp(packet: &mut [u8], mtu: u16) -> Option<()> {
    let view = IpPacket::parse(packet).ok().filter(is_syn)?;
    let headers = TCP_HEADER_LEN + if view.source().is_ipv4() { IPV4_HEADER_LEN } else { IPV6_HEADER_LEN };
    let fits = mtu.saturating_sub(headers);
    let start = view.bytes().len() - view.payload().len();
    let end = view.bytes().len();
    let segment = packet.get_mut(start..end)?;
    let at = value_offset(segment)?;
    let announced = u16::from_be_bytes(*segment.get(at..)?.first_chunk()?);
    if announced <= fits {
        return None;
    }
    // The checksum counts words, of which an option may begin in the middle of one.
    let words = at & !1..(at + 2).next_multiple_of(2).min(segment.len());
    let before = Checksum::new().with(segment.get(words.clone())?).finish();
    segment.get_mut(at..at + 2)?.copy_from_slice(&fits.to_be_bytes());
    let after = Checksum::new().with(segment.get(words)?).finish();
    let former = segment.get_mut(CHECKSUM..)?.first_chunk_mut()?;
    *former = mended(*former, before, after).to_be_bytes();
    Some(())
}

/// The checksum after words of it changed (RFC 1624 §3); `before` and `after` are those words' own checksums.
fn mended(checksum: [u8; 2], before: u16, after: u16) -> u16 {
    let [c0, c1] = checksum;
    Checksum::new().with(&[!c0, !c1]).with(&before.to_be_bytes()).with(&(!after).to_be_bytes()).finish()
}

/// Where the option's value lies in the segment.
fn value_offset(segment: &[u8]) -> Option<usize> {
    let header_len = usize::from(segment.get(DATA_OFFSET)? >> 4) * 4;
    let header = segment.get(..header_len)?;
    let mut at = usize::from(TCP_HEADER_LEN);
    loop {
        match *header.get(at)? {
            END_OF_OPTIONS => return None,
            NO_OPERATION => at += 1,
            kind => {
                let length = usize::from(*header.get(at + 1)?);
                if kind == MAXIMUM_SEGMENT_SIZE {
                    return (length == 4 && at + 4 <= header.len()).then_some(at + 2);
                }
                // A length that would not lead on.
                at += Some(length).filter(|length| *length >= 2)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::checksum::pseudo_header;

    /// A segment with these flags and options in a packet of either family, with a right checksum.
    fn packet(v6: bool, flags: u8, options: &[u8], data: &[u8]) -> Vec<u8> {
        let header_len = 20 + options.len();
        assert_eq!(header_len % 4, 0);
        let mut tcp = vec![0x30, 0x39, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0];
        tcp.extend([u8::try_from(header_len * 4).unwrap(), flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        tcp.extend(options);
        tcp.extend(data);
        let length = u16::try_from(tcp.len()).unwrap();
        let mut bytes = if v6 {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol::TCP, 64];
            header[4..6].copy_from_slice(&length.to_be_bytes());
            header.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            header.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
            header
        } else {
            let mut header =
                vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol::TCP, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2];
            header[2..4].copy_from_slice(&(length + 20).to_be_bytes());
            header
        };
        let start = bytes.len();
        bytes.extend(tcp);
        let sum = sum_of(&bytes);
        bytes[start + CHECKSUM..][..2].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Zero over a segment whose checksum is right.
    fn sum_of(packet: &[u8]) -> u16 {
        let view = IpPacket::parse(packet).unwrap();
        let length = u32::try_from(view.payload().len()).unwrap();
        pseudo_header(view.source(), view.destination(), protocol::TCP, length).with(view.payload()).finish()
    }

    fn mss(size: u16) -> Vec<u8> {
        [&[2, 4][..], &size.to_be_bytes()].concat()
    }

    fn announced(packet: &[u8]) -> Option<u16> {
        let view = IpPacket::parse(packet).ok()?;
        let at = value_offset(view.payload())?;
        view.payload()[at..].first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    #[test]
    fn a_segment_fits_with_both_headers_and_its_checksum_is_right() {
        for (v6, expected) in [(false, 1240), (true, 1220)] {
            // SYN, and SYN with ACK: either end is told.
            for flags in [SYN, SYN | 0x10] {
                let mut bytes = packet(v6, flags, &mss(1460), &[]);
                assert!(is_syn(&IpPacket::parse(&bytes).unwrap()));
                assert!(clamp_mss(&mut bytes, 1280));
                assert_eq!((announced(&bytes), sum_of(&bytes)), (Some(expected), 0));
                assert!(!clamp_mss(&mut bytes, 1280), "it fits now");
            }
        }
    }

    #[test]
    fn what_fits_and_what_opens_nothing_is_left_alone() {
        let unchanged = |bytes: Vec<u8>| {
            let mut after = bytes.clone();
            assert!(!clamp_mss(&mut after, 1280));
            assert_eq!(after, bytes);
        };
        unchanged(packet(false, SYN, &mss(1240), &[]));
        unchanged(packet(false, 0x10, &mss(1460), b"data"));
        unchanged(packet(true, SYN, &[], b"data"));
        // After the end of the options, and of another length than the RFC's.
        unchanged(packet(false, SYN, &[&[0, 0, 0, 0], mss(1460).as_slice()].concat(), &[]));
        unchanged(packet(false, SYN, &[2, 6, 5, 0xb4, 0, 0, 0, 0], &[]));
        let mut later_fragment = packet(false, SYN, &mss(1460), &[]);
        later_fragment[7] = 1;
        unchanged(later_fragment);
        let mut udp = packet(false, SYN, &mss(1460), &[]);
        udp[9] = protocol::UDP;
        unchanged(udp);
    }

    proptest! {
        #[test]
        fn the_checksum_stays_right_wherever_the_option_stands(
            v6 in any::<bool>(), before in 0usize..8, size in any::<u16>(), mtu in any::<u16>(),
            data in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let mut options = vec![NO_OPERATION; before];
            options.extend(mss(size));
            options.resize(options.len().next_multiple_of(4), END_OF_OPTIONS);
            let mut bytes = packet(v6, SYN, &options, &data);
            let fits = mtu.saturating_sub(if v6 { 60 } else { 40 });
            prop_assert_eq!(clamp_mss(&mut bytes, mtu), size > fits);
            prop_assert_eq!((announced(&bytes), sum_of(&bytes)), (Some(size.min(fits)), 0));
        }

        #[test]
        fn any_bytes_and_every_truncation_pass_without_a_panic(
            v6 in any::<bool>(), options in prop::collection::vec(any::<u8>(), 40), cut in 0usize..100,
            offset in any::<u8>(), mtu in any::<u16>(),
        ) {
            let mut bytes = packet(v6, SYN, &options, &[]);
            let start = if v6 { 40 } else { 20 };
            bytes[start + DATA_OFFSET] = offset;
            let before = bytes.clone();
            clamp_mss(&mut bytes, mtu);
            prop_assert_eq!(bytes.len(), before.len());
            bytes.truncate(cut);
            // As if the packet were that long.
            let length = u16::try_from(bytes.len()).unwrap();
            if let (false, Some(total)) = (v6, bytes.get_mut(2..4)) {
                total.copy_from_slice(&length.to_be_bytes());
            } else if let Some(total) = bytes.get_mut(4..6) {
                total.copy_from_slice(&length.saturating_sub(40).to_be_bytes());
            }
            clamp_mss(&mut bytes, mtu);
        }
    }
}
