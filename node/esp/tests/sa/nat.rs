//! Transport mode through a NAT (RFC 3948 §3.1.2, RFC 7296 §2.23.1).

use std::net::IpAddr;

use twinmesh_esp::{Content, InboundSa, Mode, OriginalAddresses, SaParameters, split_transport};
use twinmesh_packet::pseudo_header;

use crate::support::{addresses, gcm, inbound, outbound, packet, seal};

/// A TCP or UDP segment whose checksum is right between these addresses.
fn segment(source: &str, destination: &str, protocol: u8, offset: usize) -> Vec<u8> {
    let mut segment = vec![0x5a; 41];
    segment[offset..offset + 2].fill(0);
    let sum = sum(source.parse().unwrap(), destination.parse().unwrap(), protocol, &segment);
    segment[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
    segment
}

fn sum(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    pseudo_header(source, destination, protocol, u32::try_from(segment.len()).unwrap()).with(segment).finish()
}

#[test]
fn tcp_and_udp_checksums_fit_the_addresses_that_arrive() {
    let transport = SaParameters { mode: Mode::Transport, ..gcm() };
    for (sent, seen) in [
        (("10.0.0.5", "198.51.100.1"), ("203.0.113.9", "172.16.0.1")),
        (("fd00::5", "2001:db8::1"), ("2001:db8:9::9", "fd00:1::1")),
    ] {
        for (protocol, offset) in [(6, 16), (17, 6)] {
            let whole = packet(sent.0, sent.1, protocol, &segment(sent.0, sent.1, protocol, offset));
            assert_eq!(split_transport(&whole).unwrap().next_header, protocol);
            let original = addresses(sent.0, sent.1);
            let outer = addresses(seen.0, seen.1);
            let right = |into: InboundSa| {
                let mut sealed = seal(&outbound(&transport), &whole);
                let opened = into.open(&mut sealed, outer, into.made()).unwrap();
                let Content::Payload { range, .. } = opened.content else {
                    panic!("{opened:?}");
                };
                sum(outer.source, outer.destination, protocol, &sealed[range]) == 0
            };
            let original = OriginalAddresses { source: original.source, destination: original.destination };
            assert!(right(inbound(&transport).behind_nat(original)));
            assert!(!right(inbound(&transport)), "or the test shows nothing");
        }
    }
}
