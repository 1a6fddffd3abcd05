//! What is joined, and what travels alone.

use twinmesh_packet::{Candidate, Join, MAX_PIECES, Offload, Segmented, Sums, Verdict, single};

use crate::packets::{self, ACK, CWR, DONT_FRAGMENT, ECE, FIN, PSH, Packet, SYN};
use crate::receive::{Written, receive};
use crate::reference;

/// Packets of one connection, each of this many bytes, as one sender sends them.
fn stream(v6: bool, lengths: &[usize]) -> Vec<Packet> {
    let mut sequence = 0xffff_ff00_u32;
    let mut identification = 0xfffe_u16;
    let packet = |len: &usize| {
        let payload = (0..*len).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
        let packet = Packet { identification, sequence, ..Packet::tcp(v6, payload) };
        sequence = sequence.wrapping_add(u32::try_from(*len).unwrap());
        identification = identification.wrapping_add(1);
        packet
    };
    lengths.iter().map(packet).collect()
}

fn bytes(packets: &[Packet]) -> Vec<Vec<u8>> {
    packets.iter().map(Packet::bytes).collect()
}

/// How many packets were joined to each that the kernel gets.
fn joined(packets: &[Vec<u8>]) -> Vec<usize> {
    receive(packets, Sums::Full).iter().map(|written| written.packets().len()).collect()
}

#[test]
fn a_stream_becomes_one_super_packet_with_the_headers_of_the_first() {
    for v6 in [false, true] {
        let mut packets = stream(v6, &[1000, 1000, 700]);
        packets[2].flags = ACK | PSH | FIN;
        let written = receive(&bytes(&packets), Sums::Full);
        let payload = packets.iter().flat_map(|packet| packet.payload.clone()).collect();
        let expected = Packet { payload, flags: ACK | PSH | FIN, ..packets[0].clone() };
        let mut expected_bytes = expected.bytes();
        packets::make_partial(&mut expected_bytes);
        assert_eq!(
            written,
            [Written { offload: reference::offload(&expected, 1000), bytes: expected_bytes }]
        );
    }
}

#[test]
fn datagrams_of_equal_size_are_joined() {
    for v6 in [false, true] {
        let mut packets: Vec<Packet> = [300, 300, 299].map(|len| Packet::udp(v6, vec![9; len])).to_vec();
        for (packet, identification) in packets.iter_mut().zip(5..) {
            packet.identification = identification;
        }
        let written = receive(&bytes(&packets), Sums::Full);
        assert_eq!(written[0].offload.segmentation.unwrap().kind, Segmented::Udp);
        assert_eq!(written[0].packets(), bytes(&packets));
    }
}

#[test]
fn a_shorter_packet_and_one_with_psh_or_fin_are_the_last() {
    assert_eq!(joined(&bytes(&stream(false, &[900, 899, 899, 900]))), [2, 1, 1]);
    for flag in [PSH, FIN] {
        let mut packets = stream(false, &[900; 4]);
        packets[1].flags |= flag;
        assert_eq!(joined(&bytes(&packets)), [2, 2]);
    }
}

#[test]
fn congestion_signals_are_kept_apart() {
    let mut packets = stream(false, &[900; 4]);
    packets[2].flags |= ECE;
    packets[3].flags |= ECE;
    assert_eq!(joined(&bytes(&packets)), [2, 2]);
    packets[0].flags |= CWR;
    let written = receive(&bytes(&packets[..2]), Sums::Full);
    assert!(written[0].offload.segmentation.unwrap().ecn);
    packets[1].flags |= CWR;
    assert_eq!(joined(&bytes(&packets[..2])), [1, 1]);
    packets[1].flags = ACK;
    packets[1].class ^= 1;
    assert_eq!(joined(&bytes(&packets[..2])), [1, 1]);
}

#[test]
fn nothing_is_joined_that_would_lose_a_difference() {
    let changes: [fn(&mut Packet); 10] = [
        |packet| packet.sequence += 1,
        |packet| packet.acknowledgment += 1,
        |packet| packet.window += 1,
        |packet| packet.flags |= 0x20,
        |packet| packet.flags |= 0x04,
        |packet| packet.flags |= SYN,
        |packet| packet.hop_limit -= 1,
        |packet| packet.class ^= 4,
        |packet| packet.tcp_options[11] += 1,
        |packet| packet.tcp_options.clear(),
    ];
    for v6 in [false, true] {
        for (index, change) in changes.iter().enumerate() {
            let mut packets = stream(v6, &[900; 2]);
            change(&mut packets[1]);
            assert_eq!(joined(&bytes(&packets)), [1, 1], "change {index}");
        }
    }
}

#[test]
fn identifications_count_unless_the_packet_must_not_be_fragmented() {
    let mut packets = stream(false, &[900; 2]);
    packets[1].identification = 7;
    assert_eq!(joined(&bytes(&packets)), [1, 1]);
    packets[0].fragment_flags = DONT_FRAGMENT;
    assert_eq!(joined(&bytes(&packets)), [1, 1]);
    packets[1].fragment_flags = DONT_FRAGMENT;
    assert_eq!(joined(&bytes(&packets)), [2]);
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    for v6 in [false, true] {
        for index in 0..3 {
            let mut sent = bytes(&stream(v6, &[900; 3]));
            *sent[index].last_mut().unwrap() ^= 1;
            let written = receive(&sent, Sums::Full);
            let alone = Written { offload: Offload::NONE, bytes: sent[index].clone() };
            assert!(written.contains(&alone));
            let arrived: Vec<_> = written.iter().flat_map(Written::packets).collect();
            assert_eq!(arrived, sent);
        }
    }
    let mut sent = bytes(&stream(false, &[900; 2]));
    sent[1][10] ^= 1;
    assert_eq!(joined(&sent), [1, 1]);
    let no_checksum = [1, 2].map(|identification| {
        let mut bytes = Packet { identification, ..Packet::udp(false, vec![0; 50]) }.bytes();
        bytes[26..28].fill(0);
        bytes
    });
    assert_eq!(joined(&no_checksum), [1, 1]);
}

#[test]
fn acknowledgments_go_at_once_and_keep_their_place() {
    let mut packets = stream(false, &[900, 900, 0, 900]);
    packets[2].acknowledgment += 5;
    packets[3].acknowledgment += 5;
    let sent = bytes(&packets);
    assert!(Join::begin(&Candidate::parse(&sent[2], Sums::Full).unwrap()).is_none());
    assert_eq!(joined(&sent), [2, 1, 1]);
}

#[test]
fn a_super_packet_has_bounds() {
    assert_eq!(joined(&bytes(&stream(false, &[100; MAX_PIECES + 3]))), [MAX_PIECES, 3]);
    let written = receive(&bytes(&stream(true, &[1400; 60])), Sums::Full);
    assert_eq!(written[0].packets().len(), (65_535 - 72) / 1400);
}

#[test]
fn flows_of_one_batch_are_joined_each_for_itself() {
    let mut sent = Vec::new();
    for (first, second) in stream(false, &[900; 3]).into_iter().zip(stream(true, &[500; 3])) {
        sent.extend([first.bytes(), second.bytes(), Packet { port: 4001, ..first }.bytes()]);
    }
    assert_eq!(joined(&sent), [3, 3, 3]);
}

#[test]
fn partial_checksums_are_for_peers_that_announced_them() {
    let mut sent = bytes(&stream(false, &[900; 3]));
    let complete = sent.clone();
    for bytes in &mut sent {
        packets::make_partial(bytes);
    }
    let written = receive(&sent, Sums::Partial);
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].packets(), complete);
    assert_eq!(joined(&sent), [1, 1, 1]);
    assert_eq!(single(&sent[0], Sums::Full), Offload::NONE);
    let offload = single(&sent[0], Sums::Partial);
    assert_eq!(reference::delivered(&sent[0], offload), complete[..1]);
    assert_eq!(single(&complete[0], Sums::Partial), Offload::NONE);
}

#[test]
fn padding_behind_a_packet_is_not_joined() {
    let mut sent = bytes(&stream(false, &[900; 2]));
    let complete = sent.clone();
    for bytes in &mut sent {
        bytes.resize(bytes.len() + 12, 0xaa);
    }
    assert_eq!(receive(&sent, Sums::Full)[0].packets(), complete);
}

#[test]
fn what_was_refused_leaves_the_join_as_it_was() {
    let packets = stream(false, &[900; 3]);
    let sent = bytes(&packets);
    let parse = |index: usize| Candidate::parse(&sent[index], Sums::Full).unwrap();
    let mut join = Join::begin(&parse(0)).unwrap();
    assert_eq!(join.add(&parse(2)), Verdict::Refused);
    assert_eq!(join.add(&parse(1)), Verdict::Added { payload: 52..952 });
    assert_eq!(join.add(&parse(2)), Verdict::Added { payload: 52..952 });
    assert_eq!((join.count(), join.first_len(), join.total_len()), (3, 952, 2752));
}
