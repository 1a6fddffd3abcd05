//! One suite at a time, from outside.

mod properties;
mod suites;
mod vectors;
mod wycheproof;

use super::*;
use crate::keys::KeyMaterial;
use crate::suite::Suite;

/// Key material that differs in every byte.
fn material(suite: Suite) -> KeyMaterial {
    KeyMaterial::new((3..).step_by(7).map(|byte: u16| byte.to_be_bytes()[1]).take(suite.key_len()).collect())
}

/// SPI, low sequence, room, `text`, room.
fn unsealed(suite: Suite, sequence: u64, text: &[u8]) -> Vec<u8> {
    let mut packet = 0x8000_0102_u32.to_be_bytes().to_vec();
    packet.extend(sequence.to_be_bytes()[4..].iter());
    packet.extend(std::iter::repeat_n(0, suite.iv_len()));
    packet.extend(text);
    packet.extend(std::iter::repeat_n(0, suite.icv_len()));
    packet
}

fn text_of(suite: Suite, packet: &[u8]) -> &[u8] {
    &packet[HEADER + suite.iv_len()..packet.len() - suite.icv_len()]
}
