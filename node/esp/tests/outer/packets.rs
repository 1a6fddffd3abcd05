//! Packets to put inside.

use std::net::IpAddr;

use twinmesh_packet::{Checksum, pseudo_header};

pub(crate) const V4: [&str; 2] = ["192.0.2.1", "198.51.100.2"];
pub(crate) const V6: [&str; 2] = ["2001:db8::1", "2001:db8::2"];

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// With a right header checksum.
pub(crate) fn v4(tos: u8, df: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    between(V4, tos, df, protocol, payload)
}

pub(crate) fn between(
    [source, destination]: [&str; 2],
    tos: u8,
    df: bool,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let octets = |text| match address(text) {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(_) => panic!("IPv4 only"),
    };
    let mut packet = vec![0x45, tos, 0, 0, 0, 1, if df { 0x40 } else { 0 }, 0, 64, protocol, 0, 0];
    packet[2..4].copy_from_slice(&u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
    packet.extend(octets(source));
    packet.extend(octets(destination));
    let sum = Checksum::new().with(&packet).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

pub(crate) fn v6(class: u8, label: u32, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = (6 << 28 | u32::from(class) << 20 | label).to_be_bytes().to_vec();
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next_header, 64]);
    for text in V6 {
        match address(text) {
            IpAddr::V6(v6) => packet.extend(v6.octets()),
            IpAddr::V4(_) => unreachable!(),
        }
    }
    packet.extend(payload);
    packet
}

/// The checksum of a transport payload whose checksum field is 0, or 0 if the field already holds it.
pub(crate) fn transport_sum(addresses: [IpAddr; 2], protocol: u8, payload: &[u8]) -> u16 {
    let len = u32::try_from(payload.len()).unwrap();
    pseudo_header(addresses[0], addresses[1], protocol, len).with(payload).finish()
}
