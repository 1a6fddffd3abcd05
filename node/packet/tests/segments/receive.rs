//! Cutting and joining as a data plane does it.

use twinmesh_packet::{Candidate, FlowKey, Join, Offload, Sums, SuperPacket, Verdict};

use crate::packets::{self, DONT_FRAGMENT};
use crate::reference;

/// Every packet that a super-packet stands for.
pub(crate) fn cut(bytes: &[u8], offload: Offload, sums: Sums) -> Vec<Vec<u8>> {
    let packet = SuperPacket::parse(bytes, offload).unwrap();
    let write = |index| {
        let mut out = vec![0xaa; packet.packet_len(index)];
        assert_eq!(packet.write(index, &mut out, sums), Some(out.len()));
        out
    };
    assert_eq!(packet.packet_len(packet.count()), 0);
    let lengths = (0..packet.count()).map(|index| packet.packet_len(index));
    assert_eq!(packet.packets_len(), lengths.sum::<usize>());
    assert_eq!(packet.write(packet.count(), &mut vec![0; 70_000], sums), None);
    (0..packet.count()).map(write).collect()
}

/// What the kernel is given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) offload: Offload,
    pub(crate) bytes: Vec<u8>,
}

impl Written {
    pub(crate) fn packets(&self) -> Vec<Vec<u8>> {
        reference::delivered(&self.bytes, self.offload)
    }
}

/// One batch received, as a data plane does it with room for four joins.
pub(crate) fn receive(batch: &[Vec<u8>], sums: Sums) -> Vec<Written> {
    struct Open {
        join: Join,
        first: Vec<u8>,
        payloads: Vec<u8>,
    }
    let (mut open, mut written) = (Vec::<Open>::new(), Vec::new());
    let flush = |mut open: Open, written: &mut Vec<Written>| {
        let (first_len, total_len) = (open.join.first_len(), open.join.total_len());
        let offload = open.join.finish(&mut open.first);
        let bytes = [&open.first[..first_len], &open.payloads].concat();
        assert_eq!(bytes.len(), total_len);
        written.push(Written { offload, bytes });
    };
    for packet in batch {
        let Some(candidate) = Candidate::parse(packet, sums) else {
            written.push(Written { offload: Offload::NONE, bytes: packet.clone() });
            continue;
        };
        if let Some(at) = open.iter().position(|open| open.join.flow() == candidate.flow()) {
            if let Verdict::Added { payload } = open[at].join.add(&candidate) {
                open[at].payloads.extend(&packet[payload]);
                continue;
            }
            flush(open.remove(at), &mut written);
        }
        match Join::begin(&candidate) {
            Some(join) => {
                if open.len() == 4 {
                    flush(open.remove(0), &mut written);
                }
                open.push(Open { join, first: packet.clone(), payloads: Vec::new() });
            }
            None => written.push(Written { offload: candidate.single(), bytes: packet.clone() }),
        }
    }
    for open in open {
        flush(open, &mut written);
    }
    written
}

/// The far host's view: a partial checksum completed, and without an identification that means nothing.
pub(crate) fn seen(bytes: &[u8], sums: Sums) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if sums == Sums::Partial && packets::is_partial(&bytes) {
        packets::complete(&mut bytes);
    }
    if bytes[0] >> 4 == 4 && bytes[6] == DONT_FRAGMENT && packets::folded(&bytes[..20]) == 0xffff {
        bytes[4..6].fill(0);
        bytes[10..12].fill(0);
    }
    bytes
}

/// The packets of each flow in their order; those of no flow together.
pub(crate) fn by_flow(packets: &[Vec<u8>]) -> Vec<(Option<FlowKey>, Vec<Vec<u8>>)> {
    let mut flows = Vec::<(Option<FlowKey>, Vec<Vec<u8>>)>::new();
    for packet in packets {
        let flow = Candidate::parse(packet, Sums::Full).map(|candidate| *candidate.flow());
        match flows.iter_mut().find(|(known, _)| *known == flow) {
            Some((_, packets)) => packets.push(packet.clone()),
            None => flows.push((flow, vec![packet.clone()])),
        }
    }
    flows.sort_by_key(|(_, packets)| packets[0].clone());
    flows
}
