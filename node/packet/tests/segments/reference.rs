//! What a kernel does, written plainly.

use twinmesh_packet::{Offload, PartialChecksum, Segmentation, Segmented};

use crate::packets::{self, CWR, FIN, PSH, Packet};

/// What the kernel says of a super-packet made of this one.
pub(crate) fn offload(packet: &Packet, size: u16) -> Offload {
    let kind = match (packet.udp, packet.v6) {
        (true, _) => Segmented::Udp,
        (false, false) => Segmented::Tcp4,
        (false, true) => Segmented::Tcp6,
    };
    let segmentation = Segmentation {
        kind,
        size: size.try_into().unwrap(),
        header_len: u16::try_from(packet.header_len()).unwrap(),
        ecn: !packet.udp && packet.flags & CWR != 0,
    };
    Offload { segmentation: Some(segmentation), checksum: Some(checksum(packet)) }
}

pub(crate) fn checksum(packet: &Packet) -> PartialChecksum {
    let start = u16::try_from(packet.transport()).unwrap();
    PartialChecksum { start, offset: if packet.udp { 6 } else { 16 } }
}

/// The packets that a super-packet stands for, with complete checksums.
pub(crate) fn segments(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (start, udp) = packets::transport(bytes);
    let header_len = start + if udp { 8 } else { usize::from(bytes[start + 12] >> 4) * 4 };
    let (headers, payload) = bytes.split_at(header_len);
    let mut pieces: Vec<&[u8]> = payload.chunks(size).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let segment = |(index, piece): (usize, &&[u8])| {
        let mut segment = [headers, piece].concat();
        if bytes[0] >> 4 == 4 {
            let first = u16::from_be_bytes([bytes[4], bytes[5]]);
            let id = first.wrapping_add(u16::try_from(index).unwrap());
            segment[4..6].copy_from_slice(&id.to_be_bytes());
        }
        if !udp {
            let first = u32::from_be_bytes(bytes[start + 4..start + 8].try_into().unwrap());
            let sequence = first.wrapping_add(u32::try_from(index * size).unwrap());
            segment[start + 4..start + 8].copy_from_slice(&sequence.to_be_bytes());
            if index > 0 {
                segment[start + 13] &= !CWR;
            }
            if index < last {
                segment[start + 13] &= !(FIN | PSH);
            }
        }
        packets::set_lengths(&mut segment);
        packets::complete(&mut segment);
        segment
    };
    pieces.iter().enumerate().map(segment).collect()
}

/// What the far host sees of a packet that was written to a TUN device with this offload.
pub(crate) fn delivered(bytes: &[u8], offload: Offload) -> Vec<Vec<u8>> {
    if let Some(segmentation) = offload.segmentation {
        assert!(packets::is_partial(bytes), "the kernel wants the pseudo-header's sum");
        return segments(bytes, segmentation.size.get().into());
    }
    let mut bytes = bytes.to_vec();
    if let Some(PartialChecksum { start, offset }) = offload.checksum {
        let (start, at) = (usize::from(start), usize::from(start + offset));
        let sum = !packets::folded(&bytes[start..]);
        let sum = if sum == 0 && offset == 6 { 0xffff } else { sum };
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    vec![bytes]
}
