//! What TURN puts around a datagram to or from a peer of the relay's (RFC 8656).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::datagram::STUN_COOKIE;

/// RFC 8656 §17: method Send, class indication.
const SEND_INDICATION: u16 = 0x0016;
/// RFC 8656 §18.
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const STUN_HEADER_LEN: usize = 20;
const ATTRIBUTE_HEADER_LEN: usize = 4;
pub(crate) const CHANNEL_HEADER_LEN: usize = 4;

/// Bytes before a datagram that a Send indication to an IPv6 peer takes, the longest of all frames…
pub(crate) const HEADROOM: usize = STUN_HEADER_LEN + ATTRIBUTE_HEADER_LEN + 20 + ATTRIBUTE_HEADER_LEN;
/// …and behind it: attributes are padded to words (RFC 8489 §14).
pub(crate) const TAILROOM: usize = 3;

/// Writes channel data's header (RFC 8656 §12.4) before the `length` bytes behind [`HEADROOM`]; where the whole then
/// lies. `None` where it does not fit.
pub(crate) fn frame_channel(number: u16, buffer: &mut [u8], length: usize) -> Option<Range<usize>> {
    let start = HEADROOM - CHANNEL_HEADER_LEN;
    let [n0, n1] = number.to_be_bytes();
    let [l0, l1] = u16::try_from(length).ok()?.to_be_bytes();
    buffer.get_mut(start..HEADROOM)?.copy_from_slice(&[n0, n1, l0, l1]);
    // Over UDP it need not be padded.
    Some(start..HEADROOM + length)
}

/// Makes a Send indication to `peer` (RFC 8656 §11.1) of the `length` bytes behind [`HEADROOM`], as
/// [`frame_channel`].
pub(crate) fn frame_indication(
    peer: SocketAddr,
    transaction: [u8; 12],
    buffer: &mut [u8],
    length: usize,
) -> Option<Range<usize>> {
    let mut mask = [0; 16];
    let (cookie, rest) = mask.split_at_mut(STUN_COOKIE.len());
    cookie.copy_from_slice(&STUN_COOKIE);
    rest.copy_from_slice(&transaction);
    // RFC 8489 §14.2.
    let [port0, port1] = (peer.port() ^ 0x2112).to_be_bytes();
    let mut address = [0; 16];
    let (family, address_len) = match peer.ip() {
        IpAddr::V4(ip) => (1, xor(&mut address, &ip.octets(), &mask)),
        IpAddr::V6(ip) => (2, xor(&mut address, &ip.octets(), &mask)),
    };

    let end = HEADROOM + length;
    let padding = length.next_multiple_of(4) - length;
    let start = HEADROOM - STUN_HEADER_LEN - 2 * ATTRIBUTE_HEADER_LEN - 4 - address_len;
    let message_len = end + padding - start - STUN_HEADER_LEN;
    let mut at = start;
    let mut put = |bytes: &[u8]| -> Option<()> {
        buffer.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        at += bytes.len();
        Some(())
    };
    put(&SEND_INDICATION.to_be_bytes())?;
    put(&u16::try_from(message_len).ok()?.to_be_bytes())?;
    put(&STUN_COOKIE)?;
    put(&transaction)?;
    put(&XOR_PEER_ADDRESS.to_be_bytes())?;
    put(&u16::try_from(4 + address_len).ok()?.to_be_bytes())?;
    put(&[0, family, port0, port1])?;
    put(address.get(..address_len)?)?;
    put(&DATA.to_be_bytes())?;
    put(&u16::try_from(length).ok()?.to_be_bytes())?;
    buffer.get_mut(end..end + padding)?.fill(0);
    Some(start..end + padding)
}

/// Number and content of channel data; `None` if it is cut short.
pub(crate) fn parse_channel(datagram: &mut [u8]) -> Option<(u16, &mut [u8])> {
    let ([n0, n1, l0, l1], data) = datagram.split_first_chunk_mut::<CHANNEL_HEADER_LEN>()?;
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    Some((u16::from_be_bytes([*n0, *n1]), data.get_mut(..length)?))
}

/// Writes `bytes` xor `mask` and returns how many.
fn xor(out: &mut [u8], bytes: &[u8], mask: &[u8]) -> usize {
    out.iter_mut().zip(bytes.iter().zip(mask)).for_each(|(out, (byte, mask))| *out = byte ^ mask);
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn buffer(datagram: &[u8]) -> Vec<u8> {
        [&[0xee; HEADROOM], datagram, &[0xee; TAILROOM]].concat()
    }

    #[test]
    fn an_indication_has_the_bytes_of_the_rfc() {
        let mut buffer = buffer(b"hello");
        let transaction = *b"abcdefghijkl";
        let peer = "192.0.2.1:32853".parse().unwrap();
        let range = frame_indication(peer, transaction, &mut buffer, 5).unwrap();
        let expected = [
            &[0x00, 0x16, 0x00, 24, 0x21, 0x12, 0xa4, 0x42][..],
            b"abcdefghijkl",
            // The address of RFC 5769 §2.2, whose mask is the cookie alone.
            &[0x00, 0x12, 0x00, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43],
            &[0x00, 0x13, 0x00, 5],
            b"hello\0\0\0",
        ]
        .concat();
        assert_eq!(buffer[range], expected);
    }

    #[test]
    fn an_ipv6_peer_takes_all_the_headroom_and_is_masked_by_the_transaction() {
        let mut buffer = buffer(&[7; 8]);
        // RFC 5769 §2.3.
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let peer = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        let range = frame_indication(peer, transaction, &mut buffer, 8).unwrap();
        assert_eq!(range, 0..HEADROOM + 8);
        let address =
            [0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9];
        assert_eq!(buffer[24..44], [&[0, 2, 0xa1, 0x47][..], &address].concat());
    }

    proptest! {
        #[test]
        fn channel_data_survives_and_no_prefix_of_it_does(
            number in 0x4000u16..0x5000, data in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut buffer = buffer(&data);
            let range = frame_channel(number, &mut buffer, data.len()).unwrap();
            let framed = &mut buffer[range];
            for length in 0..framed.len() {
                prop_assert_eq!(parse_channel(&mut framed[..length]), None);
            }
            prop_assert_eq!(parse_channel(framed), Some((number, &mut data.clone()[..])));
        }

        #[test]
        fn a_frame_touches_only_what_is_its_own(
            data in prop::collection::vec(any::<u8>(), 0..60), ipv6 in any::<bool>(), transaction in any::<[u8; 12]>(),
        ) {
            let peer: SocketAddr = if ipv6 { "[2001:db8::1]:9" } else { "192.0.2.1:9" }.parse().unwrap();
            let mut buffer = buffer(&data);
            let range = frame_indication(peer, transaction, &mut buffer, data.len()).unwrap();
            prop_assert_eq!(range.len() % 4, 0);
            prop_assert!(buffer[..range.start].iter().chain(&buffer[range.end..]).all(|byte| *byte == 0xee));
            prop_assert_eq!(&buffer[HEADROOM..][..data.len()], &data[..]);
            prop_assert_eq!(frame_indication(peer, transaction, &mut buffer[..HEADROOM], data.len()).is_some(), data.is_empty());
        }
    }
}
