use proptest::prelude::*;
use twinmesh_esp::{Spi, TooBig, parse_too_big, parse_too_big_v6};
use twinmesh_packet::{Checksum, IcmpError, IpPacket, write_error};

use crate::packets::{V4, V6, address, between, transport_sum, v4, v6};

const SPI: [u8; 4] = [0xc0, 0, 0, 1];
const ROUTER_V4: [&str; 2] = ["203.0.113.1", V4[0]];

fn expected(v6: bool, ports: Option<(u16, u16)>, spi: bool) -> TooBig {
    let [source, destination] = (if v6 { V6 } else { V4 }).map(address);
    TooBig { mtu: 1400, source, destination, ports, spi: spi.then(|| Spi::new(0xc000_0001).unwrap()) }
}

/// As a router makes it, with as much of the packet as `quoted`.
fn error_v4(quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![3, 4, 0, 0, 0, 0, 0x05, 0x78];
    message.extend(quoted);
    let sum = Checksum::new().with(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    between(ROUTER_V4, 0, false, 1, &message)
}

fn error_v6(quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![2, 0, 0, 0, 0, 0, 0x05, 0x78];
    message.extend(quoted);
    let sum = transport_sum(V6.map(address), 58, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    v6(0, 0, 58, &message)
}

fn esp() -> Vec<u8> {
    [SPI.as_slice(), &[0, 0, 0, 9], &[0xee; 1450]].concat()
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x11, 0x94, 0x27, 0x10];
    datagram.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

#[test]
fn raw_and_encapsulated_packets_are_recognised() {
    let ports = Some((4500, 10_000));
    for (protocol, payload, ports) in
        [(50, esp(), None), (51, [&[6, 4, 0, 0], esp().as_slice()].concat(), None), (17, udp(&esp()), ports)]
    {
        let quoted = v4(0, true, protocol, &payload);
        assert_eq!(parse_too_big(&error_v4(&quoted[..200])), Some(expected(false, ports, true)));
        let quoted = v6(0, 0, protocol, &payload);
        let error = error_v6(&quoted[..1232]);
        assert_eq!(parse_too_big(&error), Some(expected(true, ports, true)));
        assert_eq!(parse_too_big_v6(&error[40..]), Some(expected(true, ports, true)));
    }
}

#[test]
fn the_errors_of_our_own_data_plane_are_recognised() {
    for quoted in [v4(0, true, 50, &esp()), v6(0, 0, 50, &esp())] {
        let mut out = [0; 1280];
        let packet = IpPacket::parse(&quoted).unwrap();
        let len = write_error(&packet, IcmpError::TooBig { mtu: 1400 }, &mut out).unwrap();
        assert_eq!(parse_too_big(&out[..len]), Some(expected(quoted[0] >> 4 == 6, None, true)));
    }
}

#[test]
fn a_router_that_quotes_eight_bytes_names_the_ports_but_no_spi() {
    let quoted = v4(0, true, 17, &udp(&esp()));
    assert_eq!(parse_too_big(&error_v4(&quoted[..28])), Some(expected(false, Some((4500, 10_000)), false)));
    let quoted = v4(0, true, 50, &esp());
    assert_eq!(parse_too_big(&error_v4(&quoted[..28])), Some(expected(false, None, true)));
}

#[test]
fn extension_headers_before_esp_are_skipped() {
    let routing = [&[44u8, 2, 4, 0, 0, 0, 0, 0] as &[u8], &[0; 16]].concat();
    let first_fragment = [50, 0, 0, 1, 0, 0, 0, 7];
    let payload = [routing.as_slice(), &first_fragment, &esp()].concat();
    assert_eq!(parse_too_big(&error_v6(&v6(0, 0, 43, &payload)[..300])), Some(expected(true, None, true)));
    let later_fragment = [50, 0, 5, 0x31, 0, 0, 0, 7];
    let payload = [routing.as_slice(), &later_fragment, &esp()].concat();
    assert_eq!(parse_too_big(&error_v6(&v6(0, 0, 43, &payload)[..300])), Some(expected(true, None, false)));
}

#[test]
fn a_jumbo_mtu_is_cut_to_16_bits() {
    let mut message = error_v6(&v6(0, 0, 50, &esp())[..100])[40..].to_vec();
    message[4] = 1;
    assert_eq!(parse_too_big_v6(&message).unwrap().mtu, u16::MAX);
}

#[test]
fn other_messages_and_damaged_ones_are_none() {
    let quoted = v4(0, true, 50, &esp());
    let good = error_v4(&quoted[..100]);
    for offset in 20..good.len() {
        let mut bad = good.clone();
        bad[offset] ^= 0x55;
        assert_eq!(parse_too_big(&bad), None, "byte {offset}");
    }
    for len in 0..good.len() {
        assert_eq!(parse_too_big(&good[..len]), None);
    }
    let mut echo = vec![8, 4, 0, 0, 0, 0, 5, 0x78];
    echo.extend(&quoted[..60]);
    let sum = Checksum::new().with(&echo).finish();
    echo[2..4].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(parse_too_big(&between(ROUTER_V4, 0, false, 1, &echo)), None);
    // IPv6 quoted in an IPv4 error.
    assert_eq!(parse_too_big(&error_v4(&v6(0, 0, 50, &esp())[..100])), None);
    let good = error_v6(&v6(0, 0, 50, &esp())[..100]);
    for offset in 40..good.len() {
        let mut bad = good.clone();
        bad[offset] ^= 0x55;
        assert_eq!(parse_too_big(&bad), None, "byte {offset}");
    }
}

proptest! {
    #[test]
    fn garbage_is_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        next_header in prop::sample::select(vec![0u8, 6, 17, 43, 44, 50, 51, 60]),
    ) {
        let _ = parse_too_big(&bytes);
        let _ = parse_too_big_v6(&bytes);
        let mut message = vec![2, 0, 0, 0, 0, 0, 5, 0];
        message.extend(v6(0, 0, next_header, &bytes));
        prop_assert!(parse_too_big_v6(&message).is_none_or(|report| report.mtu == 0x500));
        prop_assert!(parse_too_big(&error_v4(&v4(0, true, next_header, &bytes))).is_some());
        let _ = parse_too_big(&error_v6(&bytes));
    }
}
