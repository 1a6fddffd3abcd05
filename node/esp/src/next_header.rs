//! Next header numbers that ESP gives a meaning.

use std::net::IpAddr;

/// A whole IPv4 packet (RFC 2003).
pub(crate) const IPV4: u8 = 4;
/// A whole IPv6 packet (RFC 2473).
pub(crate) const IPV6: u8 = 41;
/// Nothing: a dummy (RFC 4303 §2.6).
pub(crate) const NONE: u8 = 59;

pub(crate) const fn of_family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => IPV4,
        IpAddr::V6(_) => IPV6,
    }
}

/// Of a buffer that is one whole IP packet, no byte more or less, without reading what else its header says.
///
/// A jumbogram, whose length field is 0, is none: whoever believes the field loses what it carries.
pub(crate) fn of_whole_packet(packet: &[u8]) -> Option<u8> {
    let [version_ihl, _, l0, l1, l2, l3, ..] = *packet else {
        return None;
    };
    let header_len = usize::from(version_ihl & 0x0f) * 4;
    let (next_header, header_len, len) = match version_ihl >> 4 {
        4 if header_len >= 20 => (IPV4, header_len, usize::from(u16::from_be_bytes([l0, l1]))),
        6 => (IPV6, 40, 40 + usize::from(u16::from_be_bytes([l2, l3]))),
        _ => return None,
    };
    (len >= header_len && len == packet.len()).then_some(next_header)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twinmesh_packet::IpPacket;

    use super::*;

    proptest! {
        #[test]
        fn a_whole_packet_is_one_whose_parsed_length_is_the_buffers(
            first in prop_oneof![Just(0x45u8), Just(0x60), 0x40u8..0x50, any::<u8>()],
            rest in prop::collection::vec(prop_oneof![Just(0u8), 0u8..70], 0..70),
            right in any::<bool>(),
        ) {
            let mut packet = [&[first], rest.as_slice()].concat();
            if let (true, Ok(len)) = (right && packet.len() >= 6, u8::try_from(packet.len())) {
                packet[2..6].copy_from_slice(&[0, len, 0, len.saturating_sub(40)]);
            }
            let parsed = IpPacket::parse(&packet).ok().filter(|whole| whole.bytes().len() == packet.len());
            prop_assert_eq!(of_whole_packet(&packet), parsed.map(|whole| of_family(whole.source())));
        }
    }
}
