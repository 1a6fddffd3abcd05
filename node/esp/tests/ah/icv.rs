//! What exactly is authenticated: each test writes down the canonical packet by hand.

use std::time::Instant;

use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes128Gcm, KeyInit};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use twinmesh_esp::{AhOutboundSa, AhSuite, KeyMaterial, Mode};

use crate::packets::{A, A6, B6, SPI, key, outer, parameters, seal, sender, suite, udp, v4, v6};

const UDP: u8 = 17;

fn hmac_sha256(pieces: &[&[u8]]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&key(suite("sha256"))).unwrap();
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes()[..16].to_vec()
}

/// AH of HMAC-SHA2-256-128 with the first sequence number and an ICV of 0.
fn ah(next_header: u8, padded: bool) -> Vec<u8> {
    let mut ah = vec![next_header, if padded { 6 } else { 5 }, 0, 0];
    ah.extend(SPI.to_be_bytes());
    ah.extend(1u32.to_be_bytes());
    ah.resize(if padded { 32 } else { 28 }, 0);
    ah
}

/// The masked IPv4 header without options.
fn masked_v4(ihl: u8, total_len: u8) -> Vec<u8> {
    let mut header = vec![0x40 | ihl, 0, 0, total_len, 0xbe, 0xef, 0, 0, 0, 51, 0, 0];
    header.extend([192, 0, 2, 1, 198, 51, 100, 2]);
    header
}

fn masked_v6(payload_len: u8, next_header: u8, destination: [u8; 16]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0, 0, payload_len, next_header, 0];
    header.extend(A6.octets());
    header.extend(destination);
    header
}

fn transport(packet: &[u8]) -> Vec<u8> {
    seal(&sender(parameters(suite("sha256"), Mode::Transport)), packet, None)
}

#[test]
fn ipv4_without_options() {
    let sealed = transport(&v4(&[], UDP, &udp()));
    let icv = hmac_sha256(&[&masked_v4(5, 68), &ah(UDP, false), &udp()]);
    let mut expected = v4(&[], 51, &[ah(UDP, false), udp()].concat());
    expected[32..48].copy_from_slice(&icv);
    assert_eq!(sealed, expected);
}

#[test]
fn ipv4_options_that_may_change_count_as_zero_whole() {
    let options = [
        0x94, 4, 0, 0, // router alert
        0x44, 12, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8, // time stamp
        1, // no operation
        0x07, 7, 4, 0, 0, 0, 0, // record route
        0x82, 3, 0xab, // security
        0x52, 4, 1, 2, // traceroute
        0, 0, 0, 0, 0, // end of list
    ];
    let masked = [
        0x94, 4, 0, 0, //
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, //
        1, //
        0, 0, 0, 0, 0, 0, 0, //
        0x82, 3, 0xab, //
        0, 0, 0, 0, //
        0, 0, 0, 0, 0,
    ];
    assert_eq!(options.len(), 36);
    let sealed = transport(&v4(&options, UDP, &udp()));
    let icv = hmac_sha256(&[&masked_v4(14, 104), &masked, &ah(UDP, false), &udp()]);
    assert_eq!(sealed[68..84], icv);
    assert_eq!(sealed[20..56], options, "the options themselves travel as they are");
}

#[test]
fn an_ipv4_source_route_is_authenticated_with_its_last_address_as_destination() {
    for kind in [0x83, 0x89] {
        let mut options = vec![kind, 11, 4];
        options.extend(A.octets());
        options.extend([203, 0, 113, 77]);
        options.push(0);
        let sealed = transport(&v4(&options, UDP, &udp()));
        let mut header = masked_v4(8, 80);
        header[16..20].copy_from_slice(&[203, 0, 113, 77]);
        let icv = hmac_sha256(&[&header, &[0; 12], &ah(UDP, false), &udp()]);
        assert_eq!(sealed[44..60], icv);
    }
}

#[test]
fn ipv6_without_extension_headers_is_padded_to_eight_bytes() {
    let sealed = transport(&v6(UDP, &udp()));
    let icv = hmac_sha256(&[&masked_v6(52, 51, B6.octets()), &ah(UDP, true), &udp()]);
    let mut expected = v6(51, &[ah(UDP, true), udp()].concat());
    expected[52..68].copy_from_slice(&icv);
    assert_eq!(sealed, expected);
}

#[test]
fn ipv6_options_that_may_change_count_as_zero_data_and_routes_as_travelled() {
    let [hop, last] = [[0x33; 16], [0x44; 16]];
    // An option that may change (bit 0x20), one that may not, Pad1.
    let hop_by_hop = [43, 1, 0x3e, 3, 1, 2, 3, 0x1e, 4, 5, 6, 7, 8, 0, 0, 0];
    let masked_options = [43, 1, 0x3e, 3, 0, 0, 0, 0x1e, 4, 5, 6, 7, 8, 0, 0, 0];
    let routing = [&[60, 4, 0, 2, 0, 0, 0, 0], hop.as_slice(), &last].concat();
    let travelled = [&[51, 4, 0, 0, 0, 0, 0, 0], B6.octets().as_slice(), &hop].concat();
    // Behind AH, so payload, changeable or not.
    let destination_options = [UDP, 0, 0x3e, 4, 9, 9, 9, 9];
    let payload = [destination_options.as_slice(), &udp()].concat();
    let sealed = transport(&v6(0, &[hop_by_hop.as_slice(), &routing, &payload].concat()));
    let header = masked_v6(116, 0, last);
    let icv = hmac_sha256(&[&header, &masked_options, &travelled, &ah(60, true), &payload]);
    assert_eq!(sealed[108..124], icv);
    let mut unchanged = [hop_by_hop.as_slice(), &routing].concat();
    unchanged[16] = 51;
    assert_eq!(sealed[40..96], unchanged);
}

#[test]
fn tunnel_mode_authenticates_both_headers_and_all_of_the_inner_one() {
    let sa = sender(parameters(suite("sha256"), Mode::Tunnel));
    let inner = v6(UDP, &udp());
    let sealed = seal(&sa, &inner, Some(&outer(false, 0xba)));
    let masked = [0x45, 0, 0, 108, 0, 77, 0, 0, 0, 51, 0, 0, 203, 0, 113, 1, 203, 0, 113, 2];
    let icv = hmac_sha256(&[&masked, &ah(41, false), &inner]);
    assert_eq!(sealed[32..48], icv);
    assert_eq!(sealed[48..], inner);
    assert_eq!((sealed[1], sealed[6], sealed[8], sealed[9]), (0xba, 0x40, 64, 51));
}

#[test]
fn trap_27_the_high_half_of_an_extended_sequence_number_comes_last_and_is_never_sent() {
    let mut parameters = parameters(suite("sha256"), Mode::Transport);
    parameters.esn = true;
    let keys = KeyMaterial::new(key(parameters.suite));
    let before = 0x0000_0007_ffff_ffff;
    let sa = AhOutboundSa::with_sequence(parameters, &keys, Instant::now(), before).unwrap();
    let sealed = seal(&sa, &v4(&[], UDP, &udp()), None);
    let mut header = ah(UDP, false);
    header[8..12].fill(0);
    let icv = hmac_sha256(&[&masked_v4(5, 68), &header, &udp(), &8u32.to_be_bytes()]);
    assert_eq!(sealed[28..32], [0; 4]);
    assert_eq!(sealed[32..48], icv);
    assert_eq!(sealed[48..], udp());
}

#[test]
fn gmac_sends_its_iv_before_the_tag() {
    let suite = suite("aes128gmac");
    let mut parameters = parameters(suite, Mode::Transport);
    parameters.esn = true;
    let keys = KeyMaterial::new(key(suite));
    let sa = AhOutboundSa::with_sequence(parameters, &keys, Instant::now(), 0x5_0000_0001).unwrap();
    let sealed = seal(&sa, &v6(UDP, &udp()), None);
    let mut ah = vec![UDP, 8, 0, 0];
    ah.extend(SPI.to_be_bytes());
    ah.extend(2u32.to_be_bytes());
    ah.resize(40, 0);
    let data = [masked_v6(60, 51, B6.octets()), ah, udp(), 5u32.to_be_bytes().to_vec()].concat();
    let key = key(suite);
    let (aes, salt) = key.split_at(16);
    let nonce = [salt, &0x5_0000_0002_u64.to_be_bytes()].concat();
    let cipher = Aes128Gcm::new_from_slice(aes).unwrap();
    let tag = cipher.encrypt_in_place_detached(nonce.as_slice().into(), &data, &mut []).unwrap();
    assert_eq!(sealed[52..60], 0x5_0000_0002_u64.to_be_bytes());
    assert_eq!(sealed[60..76], *tag);
    assert_eq!(sealed[76..80], [0; 4], "erratum 3643 of RFC 4543: padding in IPv6");
}

/// RFC 4302 §2.2, RFC 4868 §2.6, RFC 4543 §4 with erratum 3643.
#[test]
fn each_suite_has_its_length_in_both_families() {
    let lengths = [
        ("sha256", 28, 32),
        ("sha384", 36, 40),
        ("sha512", 44, 48),
        ("aes128gmac", 36, 40),
        ("aes192gmac", 36, 40),
        ("aes256gmac", 36, 40),
        ("sha1", 24, 24),
        ("md5", 24, 24),
    ];
    assert_eq!(AhSuite::all().count(), lengths.len());
    for (name, over_v4, over_v6) in lengths {
        let sa = sender(parameters(suite(name), Mode::Transport));
        assert_eq!((sa.overhead(false), sa.overhead(true)), (over_v4, over_v6), "{name}");
        for (packet, len, at) in [(v4(&[], UDP, &udp()), over_v4, 21), (v6(UDP, &udp()), over_v6, 41)] {
            let sealed = seal(&sa, &packet, None);
            assert_eq!(sealed.len(), packet.len() + len, "{name}");
            assert_eq!(usize::from(sealed[at]), len / 4 - 2, "{name}");
        }
        let tunnel = sender(parameters(suite(name), Mode::Tunnel));
        assert_eq!((tunnel.overhead(false), tunnel.overhead(true)), (20 + over_v4, 40 + over_v6));
    }
}
