use proptest::prelude::*;
use twinmesh_esp::{DropReason, decapsulate_ecn};
use twinmesh_packet::Checksum;

use crate::packets::{v4, v6};

const NOT_ECT: u8 = 0b00;
const ECT_0: u8 = 0b10;
const ECT_1: u8 = 0b01;
const CE: u8 = 0b11;
const COLUMNS: [u8; 4] = [NOT_ECT, ECT_0, ECT_1, CE];

/// RFC 6040 figure 4: the header inside, then what leaves for each header outside in the order of `COLUMNS`.
const TABLE: [(u8, [Option<u8>; 4]); 4] = [
    (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
    (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
    (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
    (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
];

fn ecn(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 { packet[1] & 3 } else { packet[1] >> 4 & 3 }
}

#[test]
fn trap_25_figure_4_of_rfc_6040_holds_line_by_line() {
    for (inner, line) in TABLE {
        for (outer, expected) in COLUMNS.into_iter().zip(line) {
            for original in [v4(0xb8 | inner, true, 17, b"data"), v6(0xb8 | inner, 0xabcde, 17, b"data")] {
                let mut packet = original.clone();
                // Another DSCP outside must not show.
                let result = decapsulate_ecn(0x28 | outer, &mut packet);
                let Some(expected) = expected else {
                    assert_eq!(result, Err(DropReason::EcnDrop));
                    assert_eq!(packet, original);
                    continue;
                };
                assert_eq!(result, Ok(()), "{inner:02b} inside, {outer:02b} outside");
                assert_eq!(ecn(&packet), expected, "{inner:02b} inside, {outer:02b} outside");
                let again = if packet[0] >> 4 == 4 {
                    v4(0xb8 | expected, true, 17, b"data")
                } else {
                    v6(0xb8 | expected, 0xabcde, 17, b"data")
                };
                assert_eq!(packet, again, "nothing else changes");
            }
        }
    }
}

#[test]
fn what_is_no_ip_packet_is_refused() {
    for mut packet in [vec![], vec![0x45], vec![0x45; 11], vec![0x60], vec![0x50; 40]] {
        assert_eq!(decapsulate_ecn(CE, &mut packet), Err(DropReason::InnerMalformed));
    }
}

proptest! {
    #[test]
    fn the_checksum_of_ipv4_stays_right(outer: u8, tos: u8, df: bool, protocol: u8) {
        let mut packet = v4(tos, df, protocol, b"");
        if decapsulate_ecn(outer, &mut packet).is_ok() {
            prop_assert_eq!(Checksum::new().with(&packet).finish(), 0);
            prop_assert_eq!(&packet, &v4(packet[1], df, protocol, b""));
        }
    }

    #[test]
    fn any_bytes_pass_without_a_panic(outer: u8, mut packet in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decapsulate_ecn(outer, &mut packet);
    }
}
