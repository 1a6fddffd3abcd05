//! Packets and SAs to test with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use twinmesh_esp::{
    AhInboundSa, AhOutboundSa, AhParameters, AhSuite, Copied, KeyMaterial, Lifetime, Mode, OuterHeader,
    Selectors, Spi,
};
use twinmesh_packet::Checksum;

pub(crate) const SPI: u32 = 0x8000_1234;
pub(crate) const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
pub(crate) const A6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub(crate) const B6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// An IPv4 packet with a right checksum; the options are a multiple of 4 bytes.
pub(crate) fn v4(options: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ihl = u8::try_from(5 + options.len() / 4).unwrap();
    let len = u16::try_from(20 + options.len() + payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x40 | ihl, 0x2a, len[0], len[1], 0xbe, 0xef, 0x40, 0, 61, protocol, 0, 0];
    packet.extend(A.octets());
    packet.extend(B.octets());
    packet.extend(options);
    fix_checksum(&mut packet);
    packet.extend(payload);
    packet
}

pub(crate) fn fix_checksum(packet: &mut [u8]) {
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    packet[10..12].fill(0);
    let sum = Checksum::new().with(&packet[..header_len]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// An IPv6 packet; `payload` includes extension headers.
pub(crate) fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x6b, 0x8a, 0xbc, 0xde, len[0], len[1], next_header, 61];
    packet.extend(A6.octets());
    packet.extend(B6.octets());
    packet.extend(payload);
    packet
}

pub(crate) fn udp() -> Vec<u8> {
    [&[0x04, 0xd2, 0x16, 0x2e, 0, 20, 0, 0], b"hello, world".as_slice()].concat()
}

pub(crate) fn suite(name: &str) -> AhSuite {
    name.parse().unwrap()
}

pub(crate) fn key(suite: AhSuite) -> Vec<u8> {
    (0..suite.key_len()).map(|byte| u8::try_from((byte * 7 + 1) & 0xff).unwrap()).collect()
}

pub(crate) fn parameters(suite: AhSuite, mode: Mode) -> AhParameters {
    AhParameters {
        spi: Spi::new(SPI).unwrap(),
        suite,
        mode,
        esn: false,
        selectors: Selectors::any_any(),
        lifetime: Lifetime::default(),
        replay_window: 64,
        align_8: false,
    }
}

pub(crate) fn sender(parameters: AhParameters) -> AhOutboundSa {
    let keys = KeyMaterial::new(key(parameters.suite));
    AhOutboundSa::new(parameters, &keys, Instant::now()).unwrap()
}

pub(crate) fn receiver(parameters: AhParameters) -> AhInboundSa {
    let keys = KeyMaterial::new(key(parameters.suite));
    AhInboundSa::new(parameters, &keys, Instant::now()).unwrap()
}

pub(crate) fn outer(v6: bool, traffic_class: u8) -> OuterHeader {
    let (source, destination): (IpAddr, IpAddr) = if v6 {
        (A6.into(), B6.into())
    } else {
        (Ipv4Addr::new(203, 0, 113, 1).into(), Ipv4Addr::new(203, 0, 113, 2).into())
    };
    let copied = Copied { traffic_class, df: true, flow_label: 0x12345, hop_limit: 64 };
    OuterHeader { source, destination, protocol: 0, identification: 77, copied }
}

pub(crate) fn seal(sa: &AhOutboundSa, packet: &[u8], outer: Option<&OuterHeader>) -> Vec<u8> {
    let mut out = vec![0xaa; 2000];
    let len = sa.seal(packet, outer, &mut out, Instant::now()).unwrap();
    assert!(out[len..].iter().all(|byte| *byte == 0xaa), "nothing is written past the packet");
    out.truncate(len);
    out
}
