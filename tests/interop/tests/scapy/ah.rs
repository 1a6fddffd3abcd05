//! AH has no UDP encapsulation, and scapy no GMAC in it.

use std::net::Ipv6Addr;
use std::time::Instant;

use twinmesh_esp::{
    AhInboundSa, AhOutboundSa, AhParameters, AhSuite, Copied, KeyMaterial, Lifetime, Mode, OuterHeader,
    ReplayWindow, Selectors, Spi,
};
use twinmesh_interop::{AH, Family, Request, Scapy, integrity};
use twinmesh_packet::Checksum;

use crate::support::{LENGTHS, SPI, Sequence};

const ROUTER_ALERT_V4: [u8; 4] = [0x94, 4, 0, 0];
/// A timestamp option, which routers fill in.
const TIMESTAMP_V4: [u8; 8] = [0x44, 8, 9, 0, 1, 2, 3, 4];
/// UDP next; router alert, and an option of an experiment whose data may change on the way.
const HOP_BY_HOP: [u8; 16] = [17, 1, 5, 2, 0, 0, 0x3e, 4, 9, 9, 9, 9, 1, 2, 0, 0];

struct Case {
    suite: AhSuite,
    integrity: &'static str,
    mode: Mode,
    outer: Family,
    sequence: Sequence,
}

impl Case {
    fn all(mode: Mode, outer: Family) -> impl Iterator<Item = Self> {
        let suites = AhSuite::all().filter_map(|suite| Some((suite, integrity(suite.integrity())?)));
        suites.flat_map(move |(suite, integrity)| {
            Sequence::ALL.map(move |sequence| Self { suite, integrity, mode, outer, sequence })
        })
    }

    fn key(&self) -> Vec<u8> {
        (1u8..).take(self.suite.key_len()).collect()
    }

    fn parameters(&self) -> AhParameters {
        AhParameters {
            spi: Spi::new(SPI).unwrap(),
            suite: self.suite,
            mode: self.mode,
            esn: self.sequence.esn,
            selectors: Selectors::any_any(),
            lifetime: Lifetime::default(),
            replay_window: 64,
            align_8: false,
        }
    }

    fn seal(&self, packet: &[u8]) -> Vec<u8> {
        let keys = KeyMaterial::new(self.key());
        let last = self.sequence.number - 1;
        let sa = AhOutboundSa::with_sequence(self.parameters(), &keys, Instant::now(), last).unwrap();
        let [source, destination] = self.outer.addresses();
        let copied = Copied { traffic_class: 0, df: true, flow_label: 0, hop_limit: 64 };
        let header = OuterHeader { source, destination, protocol: AH, identification: 0, copied };
        let mut sealed = vec![0; packet.len() + 200];
        let outer = (self.mode == Mode::Tunnel).then_some(&header);
        let len = sa.seal(packet, outer, &mut sealed, Instant::now()).unwrap();
        sealed.truncate(len);
        sealed
    }

    fn open(&self, packet: &mut [u8]) -> Vec<u8> {
        let keys = KeyMaterial::new(self.key());
        let window = ReplayWindow::with_top(64, self.sequence.number - 1);
        let sa = AhInboundSa::with_window(self.parameters(), &keys, Instant::now(), window).unwrap();
        match sa.open(packet, Instant::now()) {
            Ok(opened) => packet[opened.packet].to_vec(),
            Err(reason) => panic!("{reason}: {self}"),
        }
    }

    fn request(&self, task: &'static str, packet: Vec<u8>) -> Request {
        Request {
            task,
            protocol: "ah",
            spi: SPI,
            sequence: self.sequence.number,
            esn: self.sequence.esn,
            encryption: None,
            encryption_key: Vec::new(),
            integrity: Some(self.integrity),
            integrity_key: self.key(),
            tunnel: (self.mode == Mode::Tunnel).then(|| self.outer.addresses()),
            udp: None,
            packet,
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} over {:?}, {:?}", self.suite, self.outer, self.sequence)
    }
}

fn for_all_tunnels(mut check: impl FnMut(&Case, Vec<u8>)) {
    for outer in Family::BOTH {
        for inner in Family::BOTH {
            for (case, len) in Case::all(Mode::Tunnel, outer).zip(LENGTHS.into_iter().cycle()) {
                check(&case, inner.udp(len));
            }
        }
    }
}

fn for_all_transports(mut check: impl FnMut(&Case, Vec<u8>)) {
    for family in Family::BOTH {
        for (case, len) in Case::all(Mode::Transport, family).zip(LENGTHS.into_iter().cycle()) {
            let behind = |options: &[u8]| family.ip(0, &[options, &family.datagram(len)].concat());
            let packets = match family {
                Family::V4 => {
                    vec![
                        family.udp(len),
                        with_options(&ROUTER_ALERT_V4, len),
                        with_options(&TIMESTAMP_V4, len),
                    ]
                }
                Family::V6 => vec![family.udp(len), behind(&HOP_BY_HOP)],
            };
            for packet in packets {
                check(&case, packet);
            }
        }
    }
}

fn with_options(options: &[u8], len: usize) -> Vec<u8> {
    let plain = Family::V4.udp(len);
    let mut packet = [&plain[..20], options, &plain[20..]].concat();
    packet[0] = 0x40 | u8::try_from((20 + options.len()) / 4).unwrap();
    let total = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet[10..12].fill(0);
    let sum = Checksum::new().with(&packet[..20 + options.len()]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// What any router does.
fn cross_a_router(packet: &mut [u8]) {
    if packet[0] >> 4 == 6 {
        packet[7] -= 1;
        return;
    }
    packet[8] -= 1;
    let header_len = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let sum = Checksum::new().with(&packet[..header_len]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// A packet that is to go to another host first, through a routing header of type 0.
fn routed(len: usize) -> Vec<u8> {
    let target = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3);
    let route = [&[17, 2, 0, 1, 0, 0, 0, 0][..], &target.octets()].concat();
    Family::V6.ip(43, &[&route, &Family::V6.datagram(len)[..]].concat())
}

/// Its waypoint sends it on: the addresses change places (RFC 2460 §4.4).
fn pass_the_waypoint(packet: &mut [u8]) {
    let (header, route) = packet.split_at_mut(40);
    assert_eq!(route[3], 1, "one segment left");
    route[3] = 0;
    header[24..40].swap_with_slice(&mut route[8..24]);
}

#[test]
fn scapy_opens_the_ah_tunnel_packets_that_we_seal() {
    let mut scapy = Scapy::start();
    for_all_tunnels(|case, packet| {
        let mut outside = case.seal(&packet);
        cross_a_router(&mut outside);
        assert_eq!(scapy.ask(&case.request("open", outside)).as_ref(), Ok(&packet), "{case}");
    });
}

#[test]
fn we_open_the_ah_tunnel_packets_that_scapy_seals() {
    let mut scapy = Scapy::start();
    for_all_tunnels(|case, packet| {
        let mut outside = scapy.ask(&case.request("seal", packet.clone())).unwrap();
        cross_a_router(&mut outside);
        assert_eq!(case.open(&mut outside), packet, "{case}");
    });
}

#[test]
fn scapy_opens_the_ah_transport_packets_that_we_seal() {
    let mut scapy = Scapy::start();
    for_all_transports(|case, mut packet| {
        let mut outside = case.seal(&packet);
        cross_a_router(&mut outside);
        cross_a_router(&mut packet);
        assert_eq!(scapy.ask(&case.request("open", outside)).as_ref(), Ok(&packet), "{case}");
    });
}

#[test]
fn we_open_the_ah_transport_packets_that_scapy_seals() {
    let mut scapy = Scapy::start();
    for_all_transports(|case, mut packet| {
        let mut outside = scapy.ask(&case.request("seal", packet.clone())).unwrap();
        cross_a_router(&mut outside);
        cross_a_router(&mut packet);
        assert_eq!(case.open(&mut outside), packet, "{case}");
    });
}

#[test]
fn a_source_route_that_was_travelled_fits_the_icv_at_both_ends() {
    let mut scapy = Scapy::start();
    for (case, len) in Case::all(Mode::Transport, Family::V6).zip(LENGTHS.into_iter().cycle()) {
        let packet = routed(len);
        let mut arriving = packet.clone();
        pass_the_waypoint(&mut arriving);

        let mut from_us = case.seal(&packet);
        pass_the_waypoint(&mut from_us);
        assert_eq!(scapy.ask(&case.request("open", from_us)).as_ref(), Ok(&arriving), "{case}");
        let mut from_scapy = scapy.ask(&case.request("seal", packet)).unwrap();
        pass_the_waypoint(&mut from_scapy);
        assert_eq!(case.open(&mut from_scapy), arriving, "{case}");
    }
}

#[test]
fn scapy_refuses_an_ah_packet_that_was_changed() {
    let mut scapy = Scapy::start();
    for case in Case::all(Mode::Tunnel, Family::V4) {
        let mut outside = case.seal(&Family::V4.udp(50));
        *outside.last_mut().unwrap() ^= 1;
        let refused = scapy.ask(&case.request("open", outside)).unwrap_err();
        assert!(refused.starts_with("IPSecIntegrityError"), "{case}: {refused}");
    }
}
