//! Lies in headers: refused, or cut into something bounded, never a panic.

use proptest::prelude::*;
use twinmesh_packet::{Offload, Sums, SuperPacket, VIRTIO_HEADER_LEN};

use crate::headers::any_headers;
use crate::packets::Packet;
use crate::{packet_virtio, reference};

/// A packet in which some bytes are changed and whose end may be missing.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change = (0usize..120, any::<u8>());
    (any_headers(), 0usize..300, prop::collection::vec(change, 0..4), 0usize..400).prop_map(
        |(headers, len, changes, keep)| {
            let mut bytes = Packet { payload: vec![1; len], ..headers }.bytes();
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes.truncate(keep.max(bytes.len().saturating_sub(200)));
            bytes
        },
    )
}

fn any_header() -> impl Strategy<Value = [u8; VIRTIO_HEADER_LEN]> {
    (0u8..4, prop_oneof![0u8..6, any::<u8>()], prop::array::uniform8(prop_oneof![0u8..60, any::<u8>()]))
        .prop_map(|(flags, kind, rest)| [&[flags, kind], rest.as_slice()].concat().try_into().unwrap())
}

proptest! {
    #[test]
    fn any_header_before_any_packet_is_refused_or_gives_whole_packets(
        bytes in damaged(), header in any_header(), room in 0usize..700, full: bool,
    ) {
        let Ok(offload) = Offload::read(&header) else { return Ok(()) };
        let Ok(packet) = SuperPacket::parse(&bytes, offload) else { return Ok(()) };
        prop_assert!((1..=bytes.len()).contains(&packet.count()));
        for index in 0..=packet.count() {
            let sums = if full { Sums::Full } else { Sums::Partial };
            let len = packet.packet_len(index);
            let written = packet.write(index, &mut vec![0; room], sums);
            prop_assert_eq!(written, Some(len).filter(|len| *len > 0 && *len <= room));
            prop_assert!(len <= bytes.len());
        }
    }

    #[test]
    fn a_true_header_before_a_damaged_packet_does_no_harm(
        headers in any_headers(), payload in prop::collection::vec(any::<u8>(), 0..300), size in 1u16..200,
        at in 0usize..100, value: u8, keep in 0usize..500,
    ) {
        let packet = Packet { payload, ..headers };
        let mut bytes = packet.bytes();
        bytes[at.min(packet.header_len() - 1)] = value;
        bytes.truncate(keep);
        if let Ok(parsed) = SuperPacket::parse(&bytes, reference::offload(&packet, size)) {
            for index in 0..parsed.count() {
                let mut out = vec![0; parsed.packet_len(index)];
                prop_assert_eq!(parsed.write(index, &mut out, Sums::Full), Some(out.len()));
            }
        }
    }

    #[test]
    fn damaged_packets_are_joined_within_bounds_or_not_at_all(
        packets in prop::collection::vec(damaged(), 0..20), full: bool,
    ) {
        packet_virtio::join(&packets, if full { Sums::Full } else { Sums::Partial });
    }
}
