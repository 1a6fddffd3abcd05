//! What a mark of congestion on the tunnel means to the packet inside (RFC 6040 §4.2).

use twinmesh_packet::Checksum;

use super::ECN_MASK;
use crate::reason::DropReason;

const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const CE: u8 = 0b11;

/// Brings the ECN field of the header outside into the packet that came out of the tunnel. The DSCP inside
/// stays as it is (RFC 4301 §5.1.2.1).
pub fn decapsulate_ecn(outer_traffic_class: u8, inner: &mut [u8]) -> Result<(), DropReason> {
    let before = traffic_class(inner).ok_or(DropReason::InnerMalformed)?;
    let ecn = combine(outer_traffic_class & ECN_MASK, before & ECN_MASK).ok_or(DropReason::EcnDrop)?;
    let after = before & !ECN_MASK | ecn;
    if before != after {
        set_traffic_class(inner, after);
    }
    Ok(())
}

/// Figure 4 of RFC 6040: the ECN field that leaves; `None` if the packet is dropped, since its sender would
/// not understand that it met congestion.
const fn combine(outer: u8, inner: u8) -> Option<u8> {
    match (outer, inner) {
        (CE, NOT_ECT) => None,
        (_, NOT_ECT) => Some(NOT_ECT),
        (_, CE) | (CE, _) => Some(CE),
        (ECT_1, _) => Some(ECT_1),
        (_, inner) => Some(inner),
    }
}

fn traffic_class(packet: &[u8]) -> Option<u8> {
    match packet {
        [0x40..=0x4f, tos, _, _, _, _, _, _, _, _, _, _, ..] => Some(*tos),
        [first @ 0x60..=0x6f, second, ..] => Some(first << 4 | second >> 4),
        _ => None,
    }
}

fn set_traffic_class(packet: &mut [u8], class: u8) {
    match packet {
        [version @ 0x40..=0x4f, tos, _, _, _, _, _, _, _, _, c0, c1, ..] => {
            // RFC 1624 §3: the sum changes by the difference of the 16-bit word that holds the TOS.
            let sum = Checksum::new()
                .with(&[!*c0, !*c1])
                .with(&[!*version, !*tos])
                .with(&[*version, class])
                .finish();
            *tos = class;
            [*c0, *c1] = sum.to_be_bytes();
        }
        [first @ 0x60..=0x6f, second, ..] => {
            *first = 0x60 | class >> 4;
            *second = class << 4 | *second & 0x0f;
        }
        // `traffic_class` has found it.
        _ => {}
    }
}
