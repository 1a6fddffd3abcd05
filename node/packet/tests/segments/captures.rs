//! What real kernels sent, captured on a TUN device without offload (`tests/captures/record.sh`): joined, it is delivered
//! packet by packet as it was captured, and cut again it is the same.

use twinmesh_packet::{Sums, protocol};

use crate::receive::{Written, by_flow, cut, receive, seen};

const DATA: [(&str, &[u8]); 4] = [
    ("tcp4", include_bytes!("../captures/tcp4.pcap")),
    ("tcp6", include_bytes!("../captures/tcp6.pcap")),
    ("udp-icmp4", include_bytes!("../captures/udp-icmp4.pcap")),
    ("udp-icmp6", include_bytes!("../captures/udp-icmp6.pcap")),
];
/// As many as a receive of the data plane gives, and one at a time.
const BATCHES: [usize; 3] = [64, 7, 1];

/// The packets of a file of raw IP (LINKTYPE_RAW, or the same by its older name), in the writer's byte order.
fn packets(pcap: &[u8]) -> Vec<Vec<u8>> {
    let number = |at: usize| u32::from_le_bytes(pcap[at..at + 4].try_into().unwrap());
    assert_eq!(number(0), 0xa1b2_c3d4, "microseconds, little-endian");
    assert!([12, 101].contains(&number(20)), "link type {}", number(20));
    let (mut at, mut packets) = (24, Vec::new());
    while at < pcap.len() {
        let (captured, original) = (number(at + 8) as usize, number(at + 12) as usize);
        assert_eq!(captured, original, "whole packets");
        packets.push(pcap[at + 16..at + 16 + captured].to_vec());
        at += 16 + captured;
    }
    packets
}

#[test]
fn captures_are_delivered_byte_for_byte_in_the_order_of_each_flow() {
    for (name, pcap) in DATA {
        let captured = packets(pcap);
        for size in BATCHES {
            for sums in [Sums::Full, Sums::Partial] {
                let written: Vec<Written> =
                    captured.chunks(size).flat_map(|batch| receive(batch, sums)).collect();
                let delivered: Vec<Vec<u8>> = written.iter().flat_map(Written::packets).collect();
                let again: Vec<Vec<u8>> =
                    written.iter().flat_map(|it| cut(&it.bytes, it.offload, Sums::Full)).collect();
                let view = |packets: &[Vec<u8>]| {
                    by_flow(&packets.iter().map(|packet| seen(packet, sums)).collect::<Vec<_>>())
                };
                assert!(view(&delivered) == view(&captured), "{name}, {size} at once, {sums:?}: delivered");
                assert!(view(&again) == view(&captured), "{name}, {size} at once, {sums:?}: cut again");
            }
        }
    }
}

#[test]
fn captures_have_what_makes_joining_hard() {
    let all: Vec<Vec<u8>> = DATA.iter().flat_map(|(_, pcap)| packets(pcap)).collect();
    let count = |what: &dyn Fn(&[u8]) -> bool| all.iter().filter(|packet| what(packet)).count();
    let v4 = |packet: &[u8]| packet[0] >> 4 == 4;
    let tcp = |packet: &[u8], flag: u8| match packet[0] >> 4 {
        4 => packet[9] == protocol::TCP && packet[33] & flag != 0,
        _ => packet[6] == protocol::TCP && packet[53] & flag != 0,
    };
    let sack = |packet: &[u8]| tcp(packet, 0x10) && packet.windows(4).any(|option| option[..3] == [1, 1, 5]);
    for (what, least, found) in [
        ("FIN", 4, count(&|packet| tcp(packet, 0x01))),
        ("SYN", 4, count(&|packet| tcp(packet, 0x02))),
        ("PSH", 4, count(&|packet| tcp(packet, 0x08))),
        ("ECE", 2, count(&|packet| tcp(packet, 0x40))),
        ("CWR", 2, count(&|packet| tcp(packet, 0x80))),
        ("SACK", 2, count(&sack)),
        ("congestion experienced, IPv4", 1, count(&|packet| v4(packet) && packet[1] & 3 == 3)),
        ("fragments, IPv4", 4, count(&|packet| v4(packet) && packet[6] & 0x20 != 0)),
        ("fragments, IPv6", 4, count(&|packet| !v4(packet) && packet[6] == 44)),
        ("hop-by-hop options", 1, count(&|packet| !v4(packet) && packet[6] == 0)),
        ("destination options", 1, count(&|packet| !v4(packet) && packet[6] == 60)),
        ("UDP, IPv4", 4, count(&|packet| v4(packet) && packet[9] == protocol::UDP)),
        ("UDP, IPv6", 4, count(&|packet| !v4(packet) && packet[6] == protocol::UDP)),
        ("ICMP", 2, count(&|packet| v4(packet) && packet[9] == protocol::ICMP)),
        ("ICMPv6", 2, count(&|packet| !v4(packet) && packet[6] == protocol::IPV6_ICMP)),
    ] {
        assert!(found >= least, "{what}: {found}");
    }
    for (name, pcap) in &DATA[..2] {
        let written = receive(&packets(pcap)[..], Sums::Full);
        let joined = written.iter().filter(|it| it.offload.segmentation.is_some()).count();
        assert!(joined >= 5, "{name}: {joined} super-packets");
    }
}
