//! Flows that are sent, joined and delivered, and super-packets that are cut and joined again: always what the slow reference
//! of the crate's tests says, byte for byte.

use twinmesh_packet::Sums;

use crate::packets::{self, ACK, CWR, DONT_FRAGMENT, ECE, FIN, PSH, Packet, SYN, TIMESTAMPS};
use crate::receive::{Written, by_flow, cut, receive, seen};
use crate::reference;
use crate::script::Script;

/// Of one flow or super-packet; more finds nothing new.
const MAX_PAYLOAD: u16 = 4000;
const MAX_PACKETS: usize = 100;

pub(crate) fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let shape = script.byte();
    let sums = if shape & 1 == 0 { Sums::Full } else { Sums::Partial };
    if shape & 2 == 0 {
        flows(&mut script, sums);
    } else {
        super_packet(&mut script, sums);
    }
}

fn flows(script: &mut Script<'_>, sums: Sums) {
    let mut flows: Vec<Packet> = (0..4).map(|port| Packet { port, ..headers(script) }).collect();
    let mut sent = Vec::new();
    while !script.is_over() && sent.len() < MAX_PACKETS {
        let shape = script.byte();
        let Some(flow) = flows.get_mut(usize::from(shape & 3)) else { continue };
        // Mostly of one size, so that they follow each other.
        let len = if shape & 0x80 == 0 { 100 } else { script.word() % 300 };
        let fill = script.byte();
        let mut packet = Packet { payload: payload(len, fill), ..flow.clone() };
        flow.sequence = flow.sequence.wrapping_add(u32::from(len));
        flow.identification = flow.identification.wrapping_add(1);
        let oddity = shape >> 2 & 15;
        match oddity {
            1 => packet.flags |= PSH,
            2 => packet.flags |= FIN,
            3 => packet.flags ^= script.byte(),
            4 => packet.sequence = packet.sequence.wrapping_add(u32::from(script.byte())),
            5 => packet.identification ^= script.word(),
            6 => packet.class ^= script.byte(),
            7 => packet.hop_limit ^= script.byte(),
            8 => flow.acknowledgment = flow.acknowledgment.wrapping_add(1),
            9 => packet.window ^= script.word(),
            _ => {}
        }
        let mut bytes = packet.bytes();
        if oddity == 10 {
            packets::make_partial(&mut bytes);
        }
        if oddity == 11 || oddity == 12 {
            damage(&mut bytes, packet.transport(), script);
        }
        sent.push(bytes);
    }
    let arrived: Vec<Vec<u8>> = receive(&sent, sums).iter().flat_map(Written::packets).collect();
    let view =
        |packets: &[Vec<u8>]| -> Vec<Vec<u8>> { packets.iter().map(|bytes| seen(bytes, sums)).collect() };
    assert_eq!(by_flow(&view(&arrived)), by_flow(&view(&sent)));
}

/// One bit behind the IP header, on its way.
fn damage(bytes: &mut [u8], transport: usize, script: &mut Script<'_>) {
    let bits = (bytes.len() - transport) * 8;
    let bit = usize::from(script.word()) % bits;
    if let Some(byte) = bytes.get_mut(transport + bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
}

fn super_packet(script: &mut Script<'_>, sums: Sums) {
    let headers = headers(script);
    let (len, size, fill) = (script.word() % MAX_PAYLOAD, script.word() % 1500 + 1, script.byte());
    let packet = Packet { payload: payload(len, fill), ..headers };
    let mut bytes = packet.bytes();
    packets::make_partial(&mut bytes);
    let offload = reference::offload(&packet, size);
    let expected = reference::segments(&bytes, size.into());
    assert_eq!(cut(&bytes, offload, Sums::Full), expected);
    let segments = cut(&bytes, offload, sums);
    let whole: Vec<Vec<u8>> = segments.iter().map(|segment| seen(segment, Sums::Partial)).collect();
    let expected: Vec<Vec<u8>> = expected.iter().map(|segment| seen(segment, Sums::Partial)).collect();
    assert_eq!(whole, expected);
    let joinable = packet.ip_options.is_empty()
        && (packet.udp || packet.flags & !(FIN | PSH | ECE | CWR) == ACK)
        && (2..=twinmesh_packet::MAX_PIECES).contains(&segments.len());
    if joinable {
        assert_eq!(receive(&segments, sums), [Written { offload, bytes }]);
    }
}

fn headers(script: &mut Script<'_>) -> Packet {
    let shape = script.byte();
    let (v6, udp) = (shape & 1 != 0, shape & 2 != 0);
    // Padding options: of IPv4 "no operation", of IPv6 destination options full of zeros.
    let ip_options = match (shape & 0x1c == 0x1c, v6) {
        (false, _) => Vec::new(),
        (true, false) => vec![1; 4],
        (true, true) => vec![0; 8],
    };
    let tcp_options = if shape & 0x20 == 0 { TIMESTAMPS.to_vec() } else { script.bytes(12).to_vec() };
    let whole_words = tcp_options.len() / 4 * 4;
    Packet {
        v6,
        udp,
        class: script.byte(),
        hop_limit: script.byte(),
        identification: script.word(),
        fragment_flags: if shape & 0x40 == 0 { 0 } else { DONT_FRAGMENT },
        ip_options,
        port: script.word(),
        sequence: u32::from(script.word()) << 16 | 0xfff0,
        acknowledgment: script.word().into(),
        flags: if shape & 0x80 == 0 { ACK } else { script.byte() | script.of(&[ACK, SYN, ECE, 0]) },
        window: script.word(),
        tcp_options: tcp_options.into_iter().take(whole_words).collect(),
        payload: Vec::new(),
    }
}

fn payload(len: u16, fill: u8) -> Vec<u8> {
    (0..len).map(|index| fill.wrapping_add((index % 251).to_be_bytes()[1])).collect()
}
