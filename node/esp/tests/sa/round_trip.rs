//! What one end seals, the other opens.

use proptest::prelude::*;
use twinmesh_esp::{Content, DropReason, Mode, SaParameters, Suite, split_transport, write_transport_packet};

use crate::support::{gcm, inbound, open, outbound, outer, pair, parameters, seal, v4, v6};

#[test]
fn every_suite_carries_both_families_in_both_modes_with_and_without_esn() {
    for suite in Suite::all() {
        for mode in [Mode::Tunnel, Mode::Transport] {
            for esn in [false, true] {
                let (out, into) = pair(&SaParameters { mode, esn, ..parameters(suite) });
                for (len, packet) in (0..70).flat_map(|len| {
                    let payload = vec![0x55; len];
                    [(len, v4(&payload)), (len, v6(&payload))]
                }) {
                    let sealed = seal(&out, &packet);
                    let expected = match mode {
                        Mode::Tunnel => packet,
                        Mode::Transport => [&[17], vec![0x55; len].as_slice()].concat(),
                    };
                    assert_eq!(open(&into, &sealed), Ok(expected), "{suite} {mode:?} {len} bytes");
                }
            }
        }
    }
}

#[test]
fn no_plain_text_is_on_the_wire() {
    for suite in Suite::all().filter(|suite| suite.is_confidential()) {
        let sealed = seal(&outbound(&parameters(suite)), &v4(b"attack at dawn, and bring the ladders"));
        assert!(!sealed.windows(6).any(|window| window == b"attack" || window == b"ladder"), "{suite}");
    }
}

#[test]
fn a_transport_mode_packet_is_rebuilt_as_it_was() {
    let parameters = SaParameters { mode: Mode::Transport, ..gcm() };
    let (out, into) = pair(&parameters);
    // Hop-by-hop options and a routing header stay outside, destination options after them go inside.
    let chain =
        [&[43, 0, 5, 2, 0, 0, 0, 0][..], &[60, 0, 9, 0, 0, 0, 0, 0], &[17, 0, 1, 4, 0, 0, 0, 0], b"udp"];
    let mut extended = v6(&chain.concat());
    extended[6] = 0;
    for packet in [v4(b"payload"), v6(b""), extended] {
        let cut = split_transport(&packet).unwrap();
        let mut sealed = seal(&out, &packet);
        let opened = into.open(&mut sealed, outer(), into.made()).unwrap();
        let Content::Payload { next_header, range } = opened.content else {
            panic!("{opened:?}");
        };
        let mut rebuilt = vec![0; packet.len()];
        let len =
            write_transport_packet(&packet[..cut.header_len], next_header, &sealed[range], &mut rebuilt);
        assert_eq!((len, rebuilt), (Some(packet.len()), packet));
    }
}

#[test]
fn trap_22_a_dummy_is_dropped_and_counted_and_takes_a_sequence_number() {
    for mode in [Mode::Tunnel, Mode::Transport] {
        let (out, into) = pair(&SaParameters { mode, ..gcm() });
        let mut sealed = vec![0; 2000];
        let len = out.seal_dummy(1400, &mut sealed, out.made()).unwrap();
        assert_eq!(len, out.sealed_len(1400), "as long as a packet");
        let opened = into.open(&mut sealed[..len], outer(), into.made()).unwrap();
        assert_eq!(opened.content, Content::Dummy);
        assert!(opened.newest);
        assert_eq!(into.counters().dropped(DropReason::Dummy), 1);
        assert_eq!((into.sequence(), out.sequence()), (1, 1));
    }
}

#[test]
fn tfc_padding_hides_the_length_and_is_cut_off() {
    let parameters = SaParameters { tfc_multiple: 500, tfc_limit: 1400, ..gcm() };
    let (out, into) = pair(&parameters);
    for (len, padded) in [(20, 500), (500, 500), (501, 1000), (1001, 1400), (1400, 1400), (1411, 1411)] {
        for packet in [v4(&vec![7; len - 20]), v6(&vec![7; len.saturating_sub(40)])] {
            let sealed = seal(&out, &packet);
            let expected = if packet.len() == len { padded } else { 500 };
            assert_eq!(sealed.len(), 16 + (expected + 2_usize).next_multiple_of(4) + 16);
            assert_eq!(sealed.len(), out.sealed_len(packet.len()));
            assert_eq!(open(&into, &sealed), Ok(packet));
        }
    }
}

#[test]
fn counters_tell_packets_and_inner_bytes_at_both_ends() {
    let (out, into) = pair(&gcm());
    for len in [10, 100] {
        open(&into, &seal(&out, &v4(&vec![0; len]))).unwrap();
    }
    for snapshot in [out.counters().snapshot(), into.counters().snapshot()] {
        assert_eq!((snapshot.packets, snapshot.bytes), (2, 150));
        assert_eq!(snapshot.drops().count() + snapshot.refusals().count(), 0);
    }
}

#[test]
fn only_the_newest_packet_says_so() {
    let (out, into) = pair(&gcm());
    let mut sealed: Vec<_> = (0..3).map(|_| seal(&out, &v4(b""))).collect();
    let mut newest = |index: usize| into.open(&mut sealed[index], outer(), into.made()).unwrap().newest;
    assert!(newest(0));
    assert!(newest(2));
    assert!(!newest(1), "late: its outer address may be stale");
}

proptest! {
    #[test]
    fn any_packet_comes_back(
        payload in prop::collection::vec(any::<u8>(), 0..9000),
        v4_inside in any::<bool>(), suite in 0..Suite::all().count(), esn in any::<bool>(), align_8 in any::<bool>(),
        tfc_multiple in 0u16..2000, tfc_limit in any::<u16>(),
    ) {
        let suite = Suite::all().nth(suite).unwrap();
        let parameters =
            SaParameters { esn, align_8, tfc_multiple, tfc_limit, ..parameters(suite) };
        let (out, into) = (outbound(&parameters), inbound(&parameters));
        let packet = if v4_inside { v4(&payload) } else { v6(&payload) };
        let sealed = seal(&out, &packet);
        prop_assert_eq!(sealed.len(), out.sealed_len(packet.len()));
        prop_assert_eq!(open(&into, &sealed), Ok(packet));
        prop_assert_eq!(open(&into, &sealed), Err(DropReason::Replayed));
    }
}
