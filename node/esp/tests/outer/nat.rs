use std::net::IpAddr;

use proptest::prelude::*;
use twinmesh_esp::{DropReason, OriginalAddresses, repair_checksum};

use crate::packets::{V4, V6, address, transport_sum};

const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const ICMPV6: u8 = 58;
const UDP_LITE: u8 = 136;
const OFFSETS: [(u8, usize); 5] = [(TCP, 16), (UDP, 6), (DCCP, 6), (ICMPV6, 2), (UDP_LITE, 6)];

fn with_sum(mut payload: Vec<u8>, addresses: [IpAddr; 2], protocol: u8, offset: usize) -> Vec<u8> {
    payload[offset..offset + 2].fill(0);
    let sum = transport_sum(addresses, protocol, &payload);
    let sum = if sum == 0 && matches!(protocol, UDP | UDP_LITE) { 0xffff } else { sum };
    payload[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
    payload
}

fn repair(payload: &mut [u8], protocol: u8, from: [IpAddr; 2], to: [IpAddr; 2]) -> Result<(), DropReason> {
    let original = OriginalAddresses { source: from[0], destination: from[1] };
    repair_checksum(payload, protocol, original, (to[0], to[1]))
}

#[test]
fn a_udp_datagram_without_checksum_stays_without() {
    let mut payload = vec![0; 20];
    let to = ["203.0.113.9", V4[1]].map(address);
    assert_eq!(repair(&mut payload, UDP, V4.map(address), to), Ok(()));
    assert_eq!(payload, vec![0; 20]);
}

#[test]
fn protocols_without_a_pseudo_header_stay_as_they_are() {
    let to = ["203.0.113.9", V4[1]].map(address);
    // ICMP, GRE, ICMPv6 over IPv4, SCTP, a later fragment.
    for protocol in [1, 47, 58, 132, 44] {
        let mut payload = vec![0x11; 40];
        assert_eq!(repair(&mut payload, protocol, V4.map(address), to), Ok(()));
        assert_eq!(payload, vec![0x11; 40]);
    }
}

#[test]
fn a_transport_header_that_is_cut_off_is_refused() {
    for (protocol, offset) in OFFSETS {
        let from = V6.map(address);
        let to = ["2001:db8:9::9", V6[1]].map(address);
        let mut payload = vec![1; offset + 1];
        assert_eq!(repair(&mut payload, protocol, from, to), Err(DropReason::InnerMalformed));
        assert_eq!(payload, vec![1; offset + 1]);
    }
}

#[test]
fn the_checksum_behind_destination_options_is_found() {
    let from = V6.map(address);
    let to = ["2001:db8:9::9", V6[1]].map(address);
    let tcp = with_sum(vec![5; 40], from, TCP, 16);
    let expected = with_sum(vec![5; 40], to, TCP, 16);
    let options = [TCP, 0, 1, 4, 0, 0, 0, 0];
    let mut payload = [&options, tcp.as_slice()].concat();
    assert_eq!(repair(&mut payload, 60, from, to), Ok(()));
    assert_eq!(payload, [&options, expected.as_slice()].concat());
    assert_eq!(repair(&mut [60, 255, 0, 0, 0, 0, 0, 0], 60, from, to), Err(DropReason::InnerMalformed));
    assert_eq!(
        repair(&mut [60, 0, 0, 0, 0, 0, 0, 0].repeat(20), 60, from, to),
        Err(DropReason::InnerMalformed)
    );
}

#[test]
fn a_checksum_that_was_wrong_stays_wrong() {
    let from = V4.map(address);
    let to = ["203.0.113.9", V4[1]].map(address);
    let mut payload = with_sum(vec![5; 40], from, TCP, 16);
    payload[30] ^= 1;
    repair(&mut payload, TCP, from, to).unwrap();
    assert_ne!(transport_sum(to, TCP, &payload), 0);
}

#[test]
fn a_udp_checksum_that_comes_out_as_0_becomes_its_complement_and_a_tcp_checksum_stays_0() {
    let from = V4.map(address);
    let to = ["203.0.113.9", V4[1]].map(address);
    for (protocol, offset, expected) in [(UDP, 6, [0xff; 2]), (TCP, 16, [0; 2])] {
        let mut payload = with_sum(vec![0; 24], to, protocol, offset);
        // The word that is missing to all ones.
        payload.copy_within(offset..offset + 2, 22);
        let mut payload = with_sum(payload, from, protocol, offset);
        repair(&mut payload, protocol, from, to).unwrap();
        assert_eq!(payload[offset..offset + 2], expected);
    }
}

fn addresses(v6: bool) -> impl Strategy<Value = [IpAddr; 2]> {
    any::<[[u8; 16]; 2]>().prop_map(move |pair| {
        pair.map(|octets| {
            if v6 { IpAddr::from(octets) } else { IpAddr::from(<[u8; 4]>::try_from(&octets[..4]).unwrap()) }
        })
    })
}

proptest! {
    #[test]
    fn the_repaired_checksum_is_the_one_computed_afresh(
        (from, to) in any::<(bool, bool)>().prop_flat_map(|(a, b)| (addresses(a), addresses(b))),
        payload in prop::collection::vec(any::<u8>(), 20..100),
    ) {
        for (protocol, offset) in OFFSETS {
            // ICMPv6 does not cross a change of family, the others have the same pseudo-header sum in both.
            if protocol == ICMPV6 && !(from[0].is_ipv6() && to[0].is_ipv6()) {
                continue;
            }
            let mut repaired = with_sum(payload.clone(), from, protocol, offset);
            prop_assert_eq!(repair(&mut repaired, protocol, from, to), Ok(()));
            prop_assert_eq!(&repaired, &with_sum(payload.clone(), to, protocol, offset));
        }
    }

    #[test]
    fn garbage_is_repaired_or_refused_without_a_panic(
        protocol: u8, mut payload in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let len = payload.len();
        let _ = repair(&mut payload, protocol, V6.map(address), ["::1", "::2"].map(address));
        prop_assert_eq!(payload.len(), len);
    }
}
