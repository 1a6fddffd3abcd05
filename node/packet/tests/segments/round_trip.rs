//! Whatever is cut and joined on its way, the far host sees the same packets.

use proptest::prelude::*;
use twinmesh_packet::Sums;

use crate::headers::any_headers;
use crate::packets::{self, ACK, CWR, DONT_FRAGMENT, ECE, FIN, PSH, Packet, SYN};
use crate::receive::{Written, by_flow, cut, receive, seen};
use crate::reference;

/// A step of a sender: mostly the next packet of its stream, at times something odd.
#[derive(Debug, Clone)]
struct Step {
    flow: usize,
    len: usize,
    odd: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![8 => Just(101usize), 1 => Just(0usize), 1 => 1usize..140];
    let odd = prop_oneof![20 => Just(0u8), 10 => 1u8..15];
    let step = (0usize..6, len, odd).prop_map(|(flow, len, odd)| Step { flow, len, odd });
    prop::collection::vec(step, 0..80)
}

/// The packets that the steps send, on six flows of all kinds.
fn send(steps: &[Step], fragment_flags: u8) -> Vec<Vec<u8>> {
    let mut flows: Vec<Packet> =
        [(false, false), (false, true), (true, false), (true, true), (false, false), (true, false)]
            .into_iter()
            .zip(5000..)
            .map(|((v6, udp), port)| Packet { v6, udp, fragment_flags, port, ..Packet::tcp(v6, Vec::new()) })
            .collect();
    let mut sent = Vec::new();
    for Step { flow, len, odd } in steps {
        let flow = &mut flows[*flow];
        let fill = u8::try_from(sent.len()).unwrap();
        let mut packet = Packet { payload: vec![fill; *len], ..flow.clone() };
        match odd {
            1 => packet.flags |= PSH,
            2 => packet.flags |= FIN,
            3 => packet.flags |= CWR,
            4 => packet.flags |= ECE,
            5 => packet.flags |= SYN,
            6 => packet.hop_limit -= 1,
            7 => packet.sequence = packet.sequence.wrapping_sub(3),
            8 => packet.identification = packet.identification.wrapping_add(9),
            9 => packet.tcp_options.clear(),
            10 => packet.class ^= 1,
            11 => flow.acknowledgment += 1,
            _ => {}
        }
        flow.sequence = flow.sequence.wrapping_add(u32::try_from(*len).unwrap());
        flow.identification = flow.identification.wrapping_add(1);
        let mut bytes = packet.bytes();
        match odd {
            12 => {
                let at = packets::checksum_field(&bytes);
                bytes[at] ^= 1;
            }
            13 if !packet.v6 => bytes[10] ^= 1,
            14 => packets::make_partial(&mut bytes),
            _ => {}
        }
        sent.push(bytes);
    }
    sent
}

proptest! {
    #[test]
    fn any_sequence_of_packets_arrives_in_order_byte_for_byte(
        steps in steps(), fragment_flags in prop_oneof![Just(0), Just(DONT_FRAGMENT)], full: bool,
    ) {
        let sums = if full { Sums::Full } else { Sums::Partial };
        let sent = send(&steps, fragment_flags);
        let arrived: Vec<Vec<u8>> = receive(&sent, sums).iter().flat_map(Written::packets).collect();
        let view = |packets: &[Vec<u8>]| -> Vec<Vec<u8>> {
            packets.iter().map(|bytes| seen(bytes, sums)).collect()
        };
        prop_assert_eq!(by_flow(&view(&arrived)), by_flow(&view(&sent)));
    }

    #[test]
    fn a_super_packet_that_was_cut_is_joined_to_the_same_again(
        headers in any_headers(), pieces in 2usize..=64, last in 1usize..=900, size in 1u16..=900, byte: u8, full: bool,
    ) {
        let size_bytes = usize::from(size);
        let payload = (0..size_bytes * (pieces - 1) + last.min(size_bytes))
            .map(|index| byte.wrapping_add(u8::try_from(index % 251).unwrap()))
            .collect();
        let flags = headers.flags & (FIN | PSH | ECE | CWR) | ACK;
        let packet = Packet { payload, flags, ip_options: Vec::new(), ..headers };
        let mut bytes = packet.bytes();
        packets::make_partial(&mut bytes);
        let offload = reference::offload(&packet, size);
        let sums = if full { Sums::Full } else { Sums::Partial };
        let written = receive(&cut(&bytes, offload, sums), sums);
        prop_assert_eq!(written, vec![Written { offload, bytes }]);
    }
}
