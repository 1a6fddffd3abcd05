//! Any virtio header before any packet: refused with its reason, or written back as it was and cut into whole packets.

use twinmesh_packet::{
    Candidate, IpPacket, Join, Offload, Sums, SuperPacket, VIRTIO_HEADER_LEN, Verdict, single,
};

use crate::script::Script;

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut header = [0; VIRTIO_HEADER_LEN];
    header.fill_with(|| script.byte());
    let room = usize::from(script.word());
    let mut packets = Vec::new();
    while !script.is_over() && packets.len() < 16 {
        let len = usize::from(script.word() % 2048);
        packets.push(script.bytes(len));
    }
    if let Ok(offload) = Offload::read(&header) {
        assert_eq!(Offload::read(&offload.write()), Ok(offload));
        for packet in &packets {
            cut(packet, offload, room);
        }
    }
    for sums in [Sums::Full, Sums::Partial] {
        join(&packets, sums);
    }
}

fn cut(bytes: &[u8], offload: Offload, room: usize) {
    let Ok(packet) = SuperPacket::parse(bytes, offload) else { return };
    assert!((1..=bytes.len()).contains(&packet.count()));
    assert!(!packet.is_plain() || packet.count() == 1);
    for index in 0..=packet.count() {
        let len = packet.packet_len(index);
        assert_eq!(len == 0, index == packet.count());
        for sums in [Sums::Full, Sums::Partial] {
            let mut out = vec![0; room.min(70_000)];
            let written = packet.write(index, &mut out, sums);
            assert_eq!(written, Some(len).filter(|len| *len > 0 && *len <= out.len()));
            if let Some(whole) = written.and_then(|len| out.get(..len)) {
                let whole = IpPacket::parse(whole).expect("what is written is a packet");
                assert_eq!(whole.bytes().len(), len);
                assert_eq!(whole.source(), packet.packet().source());
            }
        }
    }
}

/// Joins what can be; packets that lie are joined within bounds or not at all.
pub(crate) fn join(packets: &[impl AsRef<[u8]>], sums: Sums) {
    let mut join: Option<Join> = None;
    for bytes in packets.iter().map(AsRef::as_ref) {
        if let Some(place) = single(bytes, sums).checksum {
            assert!(usize::from(place.start) + usize::from(place.offset) + 2 <= bytes.len());
        }
        let Some(candidate) = Candidate::parse(bytes, sums) else { continue };
        if let Some(Verdict::Added { payload }) = join.as_mut().map(|join| join.add(&candidate)) {
            assert!(payload.start < payload.end && payload.end <= bytes.len());
        } else {
            join = Join::begin(&candidate);
        }
    }
    // Even into a buffer that is not the first packet's.
    if let Some(join) = join {
        join.finish(&mut [0; 30]);
    }
}
