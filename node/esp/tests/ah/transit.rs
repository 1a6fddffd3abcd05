//! What routers do to a packet on the way, and what they must not.

use std::time::Instant;

use proptest::prelude::*;
use twinmesh_esp::{AhSuite, DropReason, Mode};

use crate::packets::{B6, fix_checksum, outer, parameters, receiver, seal, sender, suite, udp, v4, v6};

const UDP: u8 = 17;
const OPTIONS: [u8; 12] = [0x94, 4, 0, 0, 0x44, 8, 5, 0, 0, 0, 0, 0];
/// Hop-by-hop options: one that may change, one that may not.
const HOP_BY_HOP: [u8; 16] = [UDP, 1, 0x3e, 4, 1, 2, 3, 4, 0x1e, 6, 1, 2, 3, 4, 5, 6];

fn open(packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = packet.to_vec();
    let opened = receiver(parameters(suite("sha256"), Mode::Transport)).open(&mut packet, Instant::now())?;
    Ok(packet[opened.packet].to_vec())
}

fn transport(packet: &[u8]) -> Vec<u8> {
    seal(&sender(parameters(suite("sha256"), Mode::Transport)), packet, None)
}

#[test]
fn every_suite_opens_what_it_sealed_in_both_families_and_with_extended_sequence_numbers() {
    let options_behind_ah = [&[UDP, 0, 1, 4, 0, 0, 0, 0], udp().as_slice()].concat();
    for suite in AhSuite::all() {
        for esn in [false, true] {
            for align_8 in [false, true] {
                let mut parameters = parameters(suite, Mode::Transport);
                (parameters.esn, parameters.align_8) = (esn, align_8);
                let (sender, receiver) = (sender(parameters.clone()), receiver(parameters));
                for packet in [
                    v4(&[], UDP, &udp()),
                    v4(&OPTIONS, UDP, &udp()),
                    v4(&[], UDP, b""),
                    v6(UDP, &udp()),
                    v6(0, &[HOP_BY_HOP.as_slice(), &udp()].concat()),
                    v6(60, &options_behind_ah),
                ] {
                    let mut sealed = seal(&sender, &packet, None);
                    let opened = receiver.open(&mut sealed, Instant::now()).unwrap();
                    assert!(opened.newest);
                    assert_eq!(sealed[opened.packet], packet, "{suite}, ESN {esn}, {align_8}");
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_forgery_unless_a_router_may_flip_it() {
    // Byte and bits that may change: type of service, reserved flag and DF (MF would be a fragment), time to
    // live, checksum, and the time stamp option, which counts as zero whole: also its type, but not its
    // length, which would no longer fit.
    let v4_free = [(1, 0xff), (6, 0xc0), (8, 0xff), (10, 0xff), (11, 0xff)]
        .into_iter()
        .chain([24, 26, 27, 28, 29, 30, 31].map(|at| (at, 0xff)));
    // Traffic class, flow label, hop limit, the option that may change.
    let v6_free = [(0, 0x0f), (1, 0xff), (2, 0xff), (3, 0xff), (7, 0xff)]
        .into_iter()
        .chain((44..48).map(|at| (at, 0xff)));
    let cases: [(_, Vec<(usize, u8)>); 2] = [
        (v4(&OPTIONS, UDP, &udp()), v4_free.collect()),
        (v6(0, &[HOP_BY_HOP.as_slice(), &udp()].concat()), v6_free.collect()),
    ];
    for (packet, free) in cases {
        let sealed = transport(&packet);
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1 << bit;
                let free = free.iter().any(|(byte, mask)| *byte == at && mask >> bit & 1 == 1);
                assert_eq!(open(&flipped).is_ok(), free, "byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn trap_25_ttl_and_marks_on_arrival_are_handed_on_with_a_right_checksum() {
    let mut sealed = transport(&v4(&[], UDP, &udp()));
    (sealed[1], sealed[6], sealed[8]) = (0x2b, 0, 7);
    fix_checksum(&mut sealed);
    let mut expected = v4(&[], UDP, &udp());
    (expected[1], expected[6], expected[8]) = (0x2b, 0, 7);
    fix_checksum(&mut expected);
    assert_eq!(open(&sealed), Ok(expected));
}

#[test]
fn an_ipv4_source_route_opens_at_its_end_and_nowhere_before() {
    let options = [0x83, 11, 4, 203, 0, 113, 5, 203, 0, 113, 77, 0];
    let mut sealed = transport(&v4(&options, UDP, &udp()));
    assert_eq!(open(&sealed), Err(DropReason::InnerMalformed), "the first hop is not the last");
    // RFC 791 §3.1: each hop takes the next address as destination and records its own instead.
    sealed[16..20].copy_from_slice(&[203, 0, 113, 77]);
    sealed[20..31].copy_from_slice(&[0x83, 11, 12, 198, 51, 100, 9, 203, 0, 113, 6]);
    assert!(open(&sealed).is_ok());
    sealed[19] ^= 1;
    assert_eq!(open(&sealed), Err(DropReason::Forged), "another destination");
}

#[test]
fn an_ipv6_route_opens_at_its_end_and_nowhere_before() {
    for (kind, addresses) in [(0u8, vec![[0x33; 16], [0x44; 16]]), (2, vec![[0x44; 16]])] {
        let count = u8::try_from(addresses.len()).unwrap();
        let mut routing = vec![UDP, 2 * count, kind, count, 0, 0, 0, 0];
        routing.extend(addresses.concat());
        let mut sealed = transport(&v6(43, &[routing.as_slice(), &udp()].concat()));
        assert_eq!(open(&sealed), Err(DropReason::InnerMalformed));
        // RFC 2460 §4.4.
        let travelled = [vec![B6.octets()], addresses.clone()].concat();
        sealed[24..40].copy_from_slice(travelled.last().unwrap());
        sealed[43] = 0;
        sealed[48..48 + addresses.len() * 16].copy_from_slice(&travelled[..addresses.len()].concat());
        let opened = open(&sealed).unwrap();
        assert_eq!(opened.len(), 40 + routing.len() + udp().len());
        sealed[50] ^= 1;
        assert_eq!(open(&sealed), Err(DropReason::Forged), "another route");
    }
}

#[test]
fn routes_that_cannot_be_foretold_are_not_sealed() {
    let sa = sender(parameters(suite("sha256"), Mode::Transport));
    let mut out = [0; 200];
    // Segment routing with segments left (RFC 8754), and more segments left than there are.
    for routing in
        [[&[UDP, 2, 4, 1, 0, 0, 0, 0], [7; 16].as_slice()], [&[UDP, 2, 0, 2, 0, 0, 0, 0], &[7; 16]]]
    {
        let packet = v6(43, &[routing.concat(), udp()].concat());
        assert!(sa.seal(&packet, None, &mut out, Instant::now()).is_err());
    }
    for options in [[0x44, 9, 5, 0], [0x44, 1, 5, 0], [0x83, 2, 0, 0], [1, 1, 1, 0x44]] {
        assert!(sa.seal(&v4(&options, UDP, &udp()), None, &mut out, Instant::now()).is_err());
    }
    let overrun = [UDP, 0, 0x3e, 5, 0, 0, 0, 0];
    let packet = v6(0, &[overrun.as_slice(), &udp()].concat());
    assert!(sa.seal(&packet, None, &mut out, Instant::now()).is_err());
    assert_eq!(sa.sequence(), 0, "no sequence number was spent");
}

proptest! {
    #[test]
    fn garbage_behind_any_header_is_refused_without_a_panic(
        first in prop::sample::select(vec![0u8, 43, 51, 60]),
        ihl in 5u8..16,
        bytes in prop::collection::vec(any::<u8>(), 40..200),
        tunnel: bool,
    ) {
        let mode = if tunnel { Mode::Tunnel } else { Mode::Transport };
        let sa = receiver(parameters(suite("aes256gmac"), mode));
        let mut over_v6 = v6(first, &bytes);
        prop_assert!(sa.open(&mut over_v6, Instant::now()).is_err());
        let mut over_v4 = v4(&[], 51, &bytes);
        over_v4[0] = 0x40 | ihl;
        prop_assert!(sa.open(&mut over_v4, Instant::now()).is_err());
        let mut bytes = bytes;
        prop_assert!(sa.open(&mut bytes, Instant::now()).is_err());
        let mut out = [0; 400];
        for packet in [over_v4, over_v6, bytes] {
            let outer = outer(tunnel, 0);
            let outer = tunnel.then_some(&outer);
            let _ = sender(parameters(suite("sha1"), mode)).seal(&packet, outer, &mut out, Instant::now());
        }
    }

    #[test]
    fn payloads_of_any_length_come_back(
        payload in prop::collection::vec(any::<u8>(), 0..1400), over_v6: bool,
    ) {
        let packet = if over_v6 { v6(253, &payload) } else { v4(&OPTIONS, 253, &payload) };
        prop_assert_eq!(open(&transport(&packet)), Ok(packet));
    }
}
