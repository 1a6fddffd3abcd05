use std::net::SocketAddr;

use proptest::prelude::*;
use twinmesh_esp::{Copied, OuterHeader, SealError, write_ip_header, write_udp_header};
use twinmesh_packet::{IpPacket, protocol};

use crate::packets::{V4, V6, address, transport_sum, v4, v6};

fn header(between: [&str; 2], traffic_class: u8, df: bool, flow_label: u32, protocol: u8) -> OuterHeader {
    OuterHeader {
        source: address(between[0]),
        destination: address(between[1]),
        protocol,
        identification: 1,
        copied: Copied { traffic_class, df, flow_label, hop_limit: 64 },
    }
}

#[test]
fn each_family_gets_the_header_that_its_rfc_describes() {
    let payload = [7; 30];
    for (header, expected) in [
        (header(V4, 0xba, true, 0, 50), v4(0xba, true, 50, &payload)),
        (header(V4, 0, false, 9, 51), v4(0, false, 51, &payload)),
        (header(V6, 0xba, true, 0xabcde, 50), v6(0xba, 0xabcde, 50, &payload)),
        (header(V6, 0, false, 0xfff0_0000, 51), v6(0, 0, 51, &payload)),
    ] {
        let mut out = [0; 128];
        let len = write_ip_header(&header, payload.len(), &mut out).unwrap();
        assert_eq!(out[..len], expected[..len]);
        assert_eq!(len, header.header_len());
        assert!(out[len..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_buffer_too_short_stays_as_it_was() {
    for between in [V4, V6] {
        let header = header(between, 0, true, 0, 50);
        for len in 0..header.header_len() {
            let mut out = vec![0xaa; len];
            assert_eq!(write_ip_header(&header, 0, &mut out), Err(SealError::BufferTooShort));
            assert!(out.iter().all(|byte| *byte == 0xaa));
        }
    }
}

#[test]
fn mixed_families_and_overlong_packets_are_refused() {
    let mut out = [0; 64];
    let mixed = header([V4[0], V6[1]], 0, true, 0, 50);
    assert_eq!(write_ip_header(&mixed, 0, &mut out), Err(SealError::Malformed));
    for (between, longest) in [(V4, 65_515), (V6, 65_535)] {
        let header = header(between, 0, true, 0, 50);
        assert!(write_ip_header(&header, longest, &mut out).is_ok());
        assert_eq!(write_ip_header(&header, longest + 1, &mut out), Err(SealError::Malformed));
    }
    let [v4, v6] = [V4, V6].map(|between| SocketAddr::new(address(between[0]), 4500));
    assert_eq!(write_udp_header(v4, v6, &mut out), Err(SealError::Malformed));
    assert_eq!(write_udp_header(v4, v4, &mut [0; 7]), Err(SealError::BufferTooShort));
    assert_eq!(write_udp_header(v4, v4, &mut vec![0; 65_536]), Err(SealError::Malformed));
}

#[test]
fn udp_over_ipv4_has_no_checksum() {
    let [source, destination] = V4.map(|text| SocketAddr::new(address(text), 4500));
    let mut datagram = *b"........esp";
    write_udp_header(source, destination, &mut datagram).unwrap();
    assert_eq!(datagram, *b"\x11\x94\x11\x94\x00\x0b\x00\x00esp");
}

#[test]
fn a_udp_checksum_that_comes_out_as_0_is_written_as_its_complement() {
    let [source, destination] = V6.map(|text| SocketAddr::new(address(text), 4500));
    let mut datagram = [0; 10];
    write_udp_header(source, destination, &mut datagram).unwrap();
    // The word that is missing to all ones.
    datagram.copy_within(6..8, 8);
    write_udp_header(source, destination, &mut datagram).unwrap();
    assert_eq!(datagram[6..8], [0xff; 2]);
}

proptest! {
    #[test]
    fn udp_over_ipv6_has_a_right_checksum_that_is_never_0(
        ports: (u16, u16), mut datagram in prop::collection::vec(any::<u8>(), 8..200),
    ) {
        let addresses = V6.map(address);
        let payload = datagram[8..].to_vec();
        let source = SocketAddr::new(addresses[0], ports.0);
        let destination = SocketAddr::new(addresses[1], ports.1);
        write_udp_header(source, destination, &mut datagram).unwrap();
        prop_assert_eq!(transport_sum(addresses, protocol::UDP, &datagram), 0);
        prop_assert_ne!(&datagram[6..8], [0; 2]);
        prop_assert_eq!(&datagram[8..], payload.as_slice());
    }

    #[test]
    fn a_written_header_is_read_back(class: u8, df: bool, label: u32, protocol: u8, len in 0usize..2000) {
        for between in [V4, V6] {
            let header = header(between, class, df, label, protocol);
            let mut packet = vec![0; header.header_len() + len];
            write_ip_header(&header, len, &mut packet).unwrap();
            let read = IpPacket::parse(&packet).unwrap();
            prop_assert_eq!((read.source(), read.destination()), (header.source, header.destination));
            prop_assert_eq!((read.protocol(), read.payload().len()), (protocol, len));
        }
    }
}
