use proptest::prelude::*;

use super::*;

fn v4(header_words: u8, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let header_len = usize::from(header_words) * 4;
    let mut bytes = vec![0x40 | header_words, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1];
    bytes.extend([198, 51, 100, 2]);
    bytes.resize(header_len, 1);
    bytes.extend(payload);
    let total = u16::try_from(bytes.len()).unwrap();
    bytes[2..4].copy_from_slice(&total.to_be_bytes());
    bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
    let sum = Checksum::new().with(&bytes[..header_len]).finish();
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// `chain`: number and length in units of 8 bytes of each extension header.
fn v6(chain: &[(u8, u8)], last: u8, payload: &[u8]) -> Vec<u8> {
    let mut numbers = chain.iter().map(|(number, _)| *number).chain([last]);
    let mut bytes = vec![0x60, 0, 0, 0, 0, 0, numbers.next().unwrap(), 64];
    bytes.extend([0x20; 32]);
    for ((_, units), next) in chain.iter().zip(numbers) {
        bytes.extend([next, units - 1]);
        bytes.resize(bytes.len() + usize::from(*units) * 8 - 2, 0);
    }
    bytes.extend(payload);
    let len = u16::try_from(bytes.len() - 40).unwrap();
    bytes[4..6].copy_from_slice(&len.to_be_bytes());
    bytes
}

fn header(header_len: usize, next_header: u8, next_header_offset: usize) -> TransportHeader {
    TransportHeader { header_len, next_header, next_header_offset }
}

const HOP: u8 = extension::HOP_BY_HOP;
const ROUTING: u8 = extension::ROUTING;
const OPTIONS: u8 = extension::DESTINATION_OPTIONS;
const FRAGMENT: u8 = extension::FRAGMENT;

#[test]
fn an_ipv4_packet_is_cut_behind_its_options() {
    assert_eq!(split_transport(&v4(5, 6, 0x4000, b"payload")), Ok(header(20, 6, 9)));
    assert_eq!(split_transport(&v4(8, 17, 0, b"payload")), Ok(header(32, 17, 9)));
}

#[test]
fn an_ipv6_packet_is_cut_behind_what_routers_read() {
    for (chain, cut) in [
        (&[][..], header(40, 6, 6)),
        (&[(HOP, 1)], header(48, 6, 40)),
        (&[(HOP, 1), (ROUTING, 3)], header(72, 6, 48)),
        (&[(HOP, 1), (OPTIONS, 2), (ROUTING, 3)], header(88, 6, 64)),
        (&[(HOP, 1), (OPTIONS, 2), (ROUTING, 3), (OPTIONS, 1)], header(88, OPTIONS, 64)),
        (&[(OPTIONS, 2)], header(40, OPTIONS, 6)),
        (&[(HOP, 2), (OPTIONS, 2)], header(56, OPTIONS, 40)),
    ] {
        assert_eq!(split_transport(&v6(chain, 6, b"payload")), Ok(cut), "{chain:?}");
    }
}

#[test]
fn fragments_do_not_go_through_transport_mode() {
    for fragment in [0x2000, 0x0001, 0x3fff] {
        assert_eq!(split_transport(&v4(5, 6, fragment, b"payload")), Err(SealError::Fragment));
    }
    for chain in
        [&[(FRAGMENT, 1)][..], &[(HOP, 1), (ROUTING, 1), (FRAGMENT, 1)], &[(OPTIONS, 1), (FRAGMENT, 1)]]
    {
        assert_eq!(split_transport(&v6(chain, 6, b"payload")), Err(SealError::Fragment), "{chain:?}");
    }
}

#[test]
fn an_extension_header_longer_than_the_packet_is_malformed() {
    let mut packet = v6(&[(HOP, 1)], 6, b"");
    packet[41] = 1;
    assert_eq!(split_transport(&packet), Err(SealError::Malformed));
    assert_eq!(split_transport(&v6(&[], HOP, b"\x06")), Err(SealError::Malformed));
}

#[test]
fn what_was_cut_is_put_together_again() {
    let payload = b"a payload of odd length";
    for packet in [
        v4(5, 6, 0x4000, payload),
        v4(9, 17, 0, payload),
        v6(&[], 6, payload),
        v6(&[(HOP, 1), (OPTIONS, 2), (ROUTING, 3), (OPTIONS, 1)], 17, payload),
    ] {
        let cut = split_transport(&packet).unwrap();
        let mut outside = packet[..cut.header_len].to_vec();
        rewrite_header(&mut outside, 50, 1000).unwrap();
        let whole = [outside.as_slice(), &[0; 1000]].concat();
        let on_the_wire = split_transport(&whole).unwrap();
        assert_eq!(on_the_wire, TransportHeader { next_header: 50, ..cut });
        if packet[0] >> 4 == 4 {
            assert_eq!(Checksum::new().with(&outside).finish(), 0);
        }

        let mut out = vec![0; 2000];
        let len =
            write_transport_packet(&outside, cut.next_header, &packet[cut.header_len..], &mut out).unwrap();
        assert_eq!(out[..len], packet);
    }
}

#[test]
fn headers_that_are_none_are_not_rewritten() {
    let v4 = v4(5, 6, 0, b"");
    let v6 = v6(&[(HOP, 1)], 6, b"");
    for mut bad in
        [vec![], vec![0x45], v4[..19].to_vec(), [&v4[..], &[0]].concat(), v6[..47].to_vec(), vec![0x75; 40]]
    {
        let before = bad.clone();
        assert_eq!(rewrite_header(&mut bad, 50, 10), None);
        assert_eq!(bad, before);
    }
    assert_eq!(rewrite_header(&mut v4.clone(), 50, 65_535 - 19), None, "too long for IPv4");
    assert!(rewrite_header(&mut v4.clone(), 50, 65_535 - 20).is_some());
    assert_eq!(rewrite_header(&mut v6.clone(), 50, 65_535 - 7), None, "too long for IPv6");
    assert!(rewrite_header(&mut v6.clone(), 50, 65_535 - 8).is_some());
    assert_eq!(rewrite_header(&mut v4.clone(), 50, usize::MAX), None);
    assert_eq!(write_transport_packet(&v4, 6, b"payload", &mut [0; 26]), None, "one byte short");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        first in prop_oneof![Just(0x45u8), Just(0x60), any::<u8>()],
        rest in prop::collection::vec(prop_oneof![0u8..4, Just(43), Just(44), Just(60), any::<u8>()], 0..200),
        payload_len in any::<usize>(),
    ) {
        let mut bytes = [&[first], rest.as_slice()].concat();
        if let Ok(cut) = split_transport(&bytes) {
            prop_assert!(cut.header_len <= bytes.len());
            prop_assert!(cut.next_header_offset < cut.header_len);
        }
        let _ = rewrite_header(&mut bytes, 50, payload_len);
    }
}
