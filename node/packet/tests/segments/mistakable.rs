//! Checksums that look partial and are not.

use twinmesh_packet::{IpPacket, Sums, is_mistakable};

use crate::packets::{self, Packet, SYN};
use crate::receive::{Written, receive};

/// One of each kind, with a payload that makes its right checksum equal the pseudo-header's sum.
fn collisions() -> Vec<Packet> {
    let kinds = [(false, false), (false, true), (true, false), (true, true)];
    let collision = |(v6, udp)| {
        let with =
            |last: u16| Packet { udp, ..Packet::tcp(v6, [&[7; 100], &last.to_be_bytes()[..]].concat()) };
        // What is added to the payload is taken from the checksum.
        let bytes = with(0).bytes();
        let checksum = &bytes[packets::checksum_field(&bytes)..][..2];
        let without = !packets::partial_value(&bytes);
        let packet = with(packets::folded(&[checksum, &without.to_be_bytes()].concat()));
        assert!(packets::is_partial(&packet.bytes()));
        packet
    };
    kinds.map(collision).into()
}

fn mistakable(bytes: &[u8]) -> bool {
    is_mistakable(&IpPacket::parse(bytes).unwrap())
}

fn delivered(bytes: &[u8]) -> Vec<Vec<u8>> {
    receive(&[bytes.to_vec()], Sums::Partial).iter().flat_map(Written::packets).collect()
}

#[test]
fn a_right_checksum_that_looks_partial_arrives_as_it_was() {
    for packet in collisions() {
        let bytes = packet.bytes();
        assert!(!mistakable(&bytes));
        let written = receive(std::slice::from_ref(&bytes), Sums::Partial);
        assert!(written[0].offload.checksum.is_some(), "it was taken for a partial one");
        assert_eq!(delivered(&bytes), [bytes]);
    }
}

#[test]
fn it_arrives_as_it_was_among_others_of_its_flow() {
    for first in collisions().into_iter().filter(|packet| !packet.udp) {
        let next = |sequence: u32, identification| Packet {
            sequence: first.sequence.wrapping_add(sequence),
            identification: first.identification.wrapping_add(identification),
            payload: vec![9; 102],
            ..first.clone()
        };
        let sent = [first.bytes(), next(102, 1).bytes(), next(204, 2).bytes()];
        let written = receive(&sent, Sums::Partial);
        assert_eq!((written.len(), written[0].packets()), (1, sent.to_vec()));
    }
}

#[test]
fn of_all_values_of_a_checksum_only_the_wrong_one_that_looks_partial_is_held_back() {
    let collisions = collisions();
    let [tcp, .., udp] = collisions.as_slice() else { panic!() };
    let other = Packet { payload: vec![1; 33], ..tcp.clone() };
    for packet in [tcp.clone(), udp.clone(), other] {
        let right = packet.bytes();
        let at = packets::checksum_field(&right);
        let mut held_back = 0;
        for value in 0..=u16::MAX {
            let mut bytes = right.clone();
            bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
            if mistakable(&bytes) {
                held_back += 1;
                assert!(packets::is_partial(&bytes) && bytes != right);
            } else {
                assert_eq!(delivered(&bytes), [bytes], "{value:04x}");
            }
        }
        assert_eq!(held_back, usize::from(!packets::is_partial(&right)));
    }
}

#[test]
fn what_opens_a_connection_is_never_taken_for_partial() {
    let mut bytes = Packet { flags: SYN, ..Packet::tcp(false, Vec::new()) }.bytes();
    packets::make_partial(&mut bytes);
    assert!(!mistakable(&bytes));
    assert_eq!(delivered(&bytes), [bytes], "wrong as it was");
}

#[test]
fn what_is_neither_tcp_nor_udp_nor_whole_is_left_alone() {
    let mut fragment = collisions().remove(0).bytes();
    packets::make_partial(&mut fragment);
    fragment[6] = 0x20;
    let mut other = collisions().remove(0).bytes();
    other[9] = 47;
    for bytes in [fragment, other] {
        assert!(!mistakable(&bytes));
        assert_eq!(delivered(&bytes), [bytes]);
    }
}
