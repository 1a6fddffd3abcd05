//! Packets into one inbound AH SA, which reads headers and options before it knows whether they are authentic;
//! and the other readers of bytes from the network.

use std::time::Instant;

use twinmesh_esp::{
    AhInboundSa, AhOutboundSa, AhParameters, AhSuite, Flow, KeyMaterial, Lifetime, Mode, Selectors, Spi,
    ah_spi, decapsulate_ecn, fit, parse_too_big, parse_too_big_v6, rewrite_header, split_transport,
};

use crate::script::Script;

const SUITES: [&str; 3] = ["sha256", "aes128gmac", "md5"];
const SPI: u32 = 0x8765_4321;

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let suite: AhSuite = script.of(&SUITES).parse().expect("each of them is one");
    let flags = script.byte();
    let parameters = AhParameters {
        spi: Spi::new(SPI).expect("it is not reserved"),
        suite,
        mode: if flags & 1 == 0 { Mode::Tunnel } else { Mode::Transport },
        esn: flags & 2 != 0,
        selectors: Selectors::any_any(),
        lifetime: Lifetime::default(),
        replay_window: 64,
        align_8: flags & 4 != 0,
    };
    let now = Instant::now();
    let keys = || KeyMaterial::new(vec![0x5a; suite.key_len()]);
    let inbound = AhInboundSa::new(parameters.clone(), &keys(), now).expect("the key fits the suite");
    // Transport mode takes any payload, also one that a receiver in tunnel mode reads as a packet.
    let transport = AhParameters { mode: Mode::Transport, ..parameters };
    let outbound = AhOutboundSa::new(transport, &keys(), now).expect("the key fits the suite");
    let mut steps = 0;
    while !script.is_over() && steps < 16 {
        steps += 1;
        let action = script.byte();
        let len = script.byte().into();
        let packet = ip_packet(action, script.bytes(len));
        read(&packet);
        let mut sealed = vec![0; packet.len() + 100];
        match outbound.seal(&packet, None, &mut sealed, now) {
            Ok(len) if action & 8 == 0 => {
                sealed.truncate(len);
                if action & 16 != 0 {
                    let bit = usize::from(script.word()) % (len * 8);
                    sealed[bit / 8] ^= 1 << (bit % 8);
                }
                read(&sealed);
                if let Ok(opened) = inbound.open(&mut sealed, now) {
                    assert!(Flow::of_packet(&sealed[opened.packet]).is_ok());
                }
            }
            _ => {
                let mut forged = packet;
                assert!(inbound.open(&mut forged, now).is_err(), "a forged packet came in");
            }
        }
    }
}

/// A header whose version and length are right, most of the time.
fn ip_packet(action: u8, bytes: &[u8]) -> Vec<u8> {
    let mut packet = bytes.to_vec();
    if action & 1 != 0 {
        return packet;
    }
    let total = u16::try_from(packet.len()).expect("the script's length is one byte");
    if action & 2 == 0 && packet.len() >= 20 {
        packet[0] = 0x40 | (packet[0] & 15).max(5);
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[6..8].fill(0);
    } else if packet.len() >= 40 {
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&(total - 40).to_be_bytes());
    }
    packet
}

/// Everything that looks at packets without a key.
fn read(packet: &[u8]) {
    let _ = Flow::of_packet(packet);
    let _ = ah_spi(packet);
    let _ = parse_too_big(packet);
    let _ = parse_too_big_v6(packet);
    let _ = fit(packet, 1280);
    let mut copy = packet.to_vec();
    let _ = decapsulate_ecn(3, &mut copy);
    if let Ok(split) = split_transport(packet) {
        assert!(split.header_len <= packet.len() && split.next_header_offset < split.header_len);
        assert!(rewrite_header(&mut copy[..split.header_len], 50, 8).is_some() || packet[0] >> 4 == 4);
    }
}
