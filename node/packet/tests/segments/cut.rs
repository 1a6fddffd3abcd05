//! Cutting equals the reference.

use proptest::prelude::*;
use twinmesh_packet::{
    BadHeaders, BadOffload, IpPacket, Offload, PartialChecksum, Segmented, Sums, SuperPacket, clamp_mss,
};

use crate::headers::any_headers;
use crate::packets::{self, ACK, CWR, FIN, PSH, Packet, SYN};
use crate::receive::cut;
use crate::reference;

fn super_packet(packet: &Packet) -> Vec<u8> {
    let mut bytes = packet.bytes();
    packets::make_partial(&mut bytes);
    bytes
}

#[test]
fn a_super_packet_of_tcp_becomes_what_its_sender_would_have_sent() {
    for v6 in [false, true] {
        let packet = Packet { flags: ACK | PSH | FIN | CWR, ..Packet::tcp(v6, vec![7; 2500]) };
        let segments = cut(&super_packet(&packet), reference::offload(&packet, 1000), Sums::Full);
        let flags: Vec<u8> = segments.iter().map(|bytes| bytes[packet.transport() + 13]).collect();
        assert_eq!(flags, [ACK | CWR, ACK, ACK | PSH | FIN]);
        let lengths: Vec<usize> = segments.iter().map(|bytes| bytes.len() - packet.header_len()).collect();
        assert_eq!(lengths, [1000, 1000, 500]);
        let first = Packet { flags: ACK | CWR, payload: vec![7; 1000], ..packet };
        assert_eq!(segments[0], first.bytes());
    }
}

#[test]
fn one_packet_whose_checksum_is_partial_gets_it_completed() {
    for packet in [Packet::tcp(false, Vec::new()), Packet::udp(true, vec![1; 33])] {
        let offload = Offload { segmentation: None, checksum: Some(reference::checksum(&packet)) };
        assert_eq!(cut(&super_packet(&packet), offload, Sums::Full), [packet.bytes()]);
        assert_eq!(cut(&super_packet(&packet), offload, Sums::Partial), [super_packet(&packet)]);
    }
}

#[test]
fn a_plain_packet_is_left_as_it_is() {
    let bytes = [Packet::tcp(false, vec![3; 40]).bytes(), vec![0; 5]].concat();
    assert!(SuperPacket::parse(&bytes, Offload::NONE).unwrap().is_plain());
    assert_eq!(cut(&bytes, Offload::NONE, Sums::Partial), [&bytes[..bytes.len() - 5]]);
}

#[test]
fn a_syn_is_completed_so_that_its_segment_size_can_be_clamped() {
    let tcp_options = vec![2, 4, 5, 180];
    let packet = Packet { flags: SYN, tcp_options, ..Packet::tcp(false, Vec::new()) };
    let offload = Offload { segmentation: None, checksum: Some(reference::checksum(&packet)) };
    let mut clamped = cut(&super_packet(&packet), offload, Sums::Partial).remove(0);
    assert!(clamp_mss(&mut clamped, 1280));
    let expected = Packet { tcp_options: vec![2, 4, 4, 216], ..packet };
    assert_eq!(clamped, expected.bytes());
}

#[test]
fn a_checksum_that_the_far_end_would_not_recognize_is_completed() {
    // Of a protocol that nobody looks at, over a part of it.
    let mut bytes = Packet::udp(false, vec![5; 31]).bytes();
    bytes[9] = 47;
    let offload = Offload { segmentation: None, checksum: Some(PartialChecksum { start: 22, offset: 12 }) };
    let sent = cut(&bytes, offload, Sums::Partial).remove(0);
    assert_eq!(packets::folded(&sent[22..]), !packets::folded(&bytes[34..36]));
}

#[test]
fn what_does_not_fit_the_packet_is_refused_with_its_reason() {
    let packet = Packet::tcp(false, vec![7; 3000]);
    let bytes = super_packet(&packet);
    let good = reference::offload(&packet, 1000);
    let refused = |change: &dyn Fn(&mut Offload)| {
        let mut offload = good;
        change(&mut offload);
        SuperPacket::parse(&bytes, offload).unwrap_err()
    };
    let header_len =
        |header_len: u16| refused(&|offload| offload.segmentation.as_mut().unwrap().header_len = header_len);
    let too = |header_len| BadOffload::HeaderLength { header_len, actual: 52, len: 3052 };
    assert_eq!(header_len(51), too(51));
    assert_eq!(header_len(3053), too(3053));
    let place =
        |start, offset| refused(&|offload| offload.checksum = Some(PartialChecksum { start, offset }));
    for (start, offset) in [(24, 16), (20, 6), (19, 17), (65_535, 65_535)] {
        assert_eq!(place(start, offset), BadOffload::ChecksumPlace { start, offset, len: 3052 });
    }
    for kind in [Segmented::Udp, Segmented::Tcp6] {
        let error = refused(&|offload| offload.segmentation.as_mut().unwrap().kind = kind);
        assert_eq!(error, BadOffload::Kind { kind });
    }
    assert_eq!(refused(&|offload| offload.checksum = None), BadOffload::NoChecksum);
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(SuperPacket::parse(&longer, good).unwrap_err(), BadOffload::Length { ip: 3052, buffer: 3053 });
    let mut fragment = bytes.clone();
    fragment[6] = 0x20;
    assert_eq!(SuperPacket::parse(&fragment, good).unwrap_err(), BadHeaders::Fragment.into());
    let mut options = bytes.clone();
    options[32] = 0x10;
    assert_eq!(SuperPacket::parse(&options, good).unwrap_err(), BadHeaders::TcpHeaderLength(4).into());
}

#[test]
fn the_checksum_of_one_packet_lies_behind_its_ip_header_and_within_it() {
    let packet = Packet::udp(false, vec![7; 4]);
    let parse = |start, offset| {
        let checksum = Some(PartialChecksum { start, offset });
        SuperPacket::parse(&packet.bytes(), Offload { segmentation: None, checksum })
            .map(|packet| packet.count())
    };
    assert_eq!(parse(20, 10), Ok(1));
    for (start, offset) in [(20, 11), (19, 6), (33, 0), (0, 65_535)] {
        assert_eq!(parse(start, offset), Err(BadOffload::ChecksumPlace { start, offset, len: 32 }));
    }
}

#[test]
fn an_ipv6_packet_with_a_routing_header_is_not_cut() {
    let mut packet = Packet::tcp(true, vec![7; 3000]);
    packet.ip_options = vec![0; 8];
    let mut bytes = super_packet(&packet);
    bytes[6] = 43;
    let error = SuperPacket::parse(&bytes, reference::offload(&packet, 1000)).unwrap_err();
    assert_eq!(error, BadHeaders::Protocol(43).into());
}

proptest! {
    #[test]
    fn every_segment_is_what_the_slow_way_gives(
        headers in any_headers(),
        payload in prop::collection::vec(any::<u8>(), 0..12_000),
        size in prop_oneof![1u16..50, 500u16..3000, any::<u16>().prop_filter("zero", |size| *size > 0)],
    ) {
        let packet = Packet { payload, ..headers };
        let (bytes, offload) = (super_packet(&packet), reference::offload(&packet, size));
        let expected = reference::segments(&bytes, size.into());
        prop_assert_eq!(&cut(&bytes, offload, Sums::Full), &expected);
        let partial = cut(&bytes, offload, Sums::Partial);
        for (mut partial, full) in partial.into_iter().zip(expected) {
            let is_syn = !packet.udp && packet.flags & SYN != 0;
            prop_assert_eq!(packets::is_partial(&partial), !is_syn || packets::is_partial(&full));
            packets::complete(&mut partial);
            prop_assert_eq!(partial, full);
        }
        prop_assert_eq!(SuperPacket::parse(&bytes, offload).unwrap().packet(), IpPacket::parse(&bytes).unwrap());
    }
}
