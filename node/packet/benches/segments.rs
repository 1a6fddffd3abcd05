//! What cutting and joining cost beside a bare copy of the same bytes.
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use twinmesh_packet::{
    Candidate, Checksum, Join, Offload, PartialChecksum, Segmentation, Segmented, Sums, SuperPacket, Verdict,
    pseudo_header,
};

/// IPv4 and TCP with timestamps.
const HEADER_LEN: usize = 52;
const SEGMENT: u16 = 1368;
const SEGMENTS: usize = 46;

fn main() {
    divan::main();
}

/// What is copied, and where to: half a page apart, since a load waits for an earlier store to the same place of another
/// page.
fn buffer(len: usize) -> Vec<u8> {
    vec![0xa7; len.next_multiple_of(4096) + 2048 + len]
}

#[divan::bench(args = [64, 512, 1384, 9000])]
fn copy(bencher: Bencher<'_, '_>, len: usize) {
    let mut buffer = buffer(len);
    let (from, to) = buffer.split_at_mut(len.next_multiple_of(4096) + 2048);
    let from = &from[..len];
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| black_box(&mut *to).copy_from_slice(black_box(from)));
}

#[divan::bench(args = [64, 512, 1384, 9000])]
fn checksum(bencher: Bencher<'_, '_>, len: usize) {
    let from = vec![0xa7; len];
    bencher.counter(BytesCount::new(len)).bench_local(|| Checksum::new().with(black_box(&from)).finish());
}

#[divan::bench(args = [64, 512, 1384, 9000])]
fn checksum_with_copy(bencher: Bencher<'_, '_>, len: usize) {
    let mut buffer = buffer(len);
    let (from, to) = buffer.split_at_mut(len.next_multiple_of(4096) + 2048);
    let from = &from[..len];
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| Checksum::new().with_copied(black_box(from), black_box(&mut *to)).finish());
}

/// A super-packet as the kernel hands it out, and what it says of it.
fn super_packet() -> (Vec<u8>, Offload) {
    let payload = usize::from(SEGMENT) * SEGMENTS;
    let total = u16::try_from(HEADER_LEN + payload).unwrap();
    let mut bytes = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2];
    bytes[2..4].copy_from_slice(&total.to_be_bytes());
    let sum = Checksum::new().with(&bytes).finish();
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend([0x30, 0x39, 0x14, 0x51, 0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0x10, 1, 0, 0, 0, 0, 0]);
    bytes.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    bytes.resize(total.into(), 0xa7);
    let pseudo = pseudo_header([192, 0, 2, 1].into(), [198, 51, 100, 2].into(), 6, u32::from(total) - 20);
    bytes[36..38].copy_from_slice(&pseudo.folded().to_be_bytes());
    let segmentation = Segmentation {
        kind: Segmented::Tcp4,
        size: SEGMENT.try_into().unwrap(),
        header_len: u16::try_from(HEADER_LEN).unwrap(),
        ecn: false,
    };
    let checksum = PartialChecksum { start: 20, offset: 16 };
    (bytes, Offload { segmentation: Some(segmentation), checksum: Some(checksum) })
}

fn cut(bytes: &[u8], offload: Offload, sums: Sums, out: &mut [u8]) {
    let packet = SuperPacket::parse(bytes, offload).unwrap();
    let mut rest = out;
    for index in 0..packet.count() {
        let len = packet.write(index, rest, sums).unwrap();
        rest = rest.get_mut(len..).unwrap();
    }
}

/// 46 segments of 1,368 bytes.
#[divan::bench(args = ["full", "partial"])]
fn cutting(bencher: Bencher<'_, '_>, sums: &str) {
    let (bytes, offload) = super_packet();
    let mut out = vec![0; 70_000];
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| cut(black_box(&bytes), offload, choice(sums), black_box(&mut out)));
}

#[divan::bench(args = ["full", "partial"])]
fn joining(bencher: Bencher<'_, '_>, sums: &str) {
    let (bytes, offload) = super_packet();
    let sums = choice(sums);
    let mut out = vec![0; HEADER_LEN * SEGMENTS + bytes.len()];
    cut(&bytes, offload, sums, &mut out);
    let segment_len = HEADER_LEN + usize::from(SEGMENT);
    let segments: Vec<&[u8]> = out.chunks_exact(segment_len).take(SEGMENTS).collect();
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        let segments = black_box(segments.as_slice());
        let mut join = Join::begin(&Candidate::parse(segments[0], sums).unwrap()).unwrap();
        for segment in &segments[1..] {
            assert_ne!(join.add(&Candidate::parse(segment, sums).unwrap()), Verdict::Refused);
        }
        join.finish(&mut [0; HEADER_LEN])
    });
}

fn choice(sums: &str) -> Sums {
    if sums == "full" { Sums::Full } else { Sums::Partial }
}
