//! The sealed packet itself, and packets that are not sealed.

use std::collections::HashSet;
use std::thread;

use proptest::prelude::*;
use twinmesh_esp::{Mode, OutboundSa, SaParameters, SealError, Suite};

use crate::support::{SPI, forge, gcm, keys, outbound, parameters, seal, start, text, v4, v6};

#[test]
fn the_packet_is_what_rfc_4106_says() {
    for esn in [false, true] {
        let out = outbound(&SaParameters { esn, ..gcm() });
        for sequence in 1..4 {
            let packet = v4(&vec![3; 40 + usize::try_from(sequence).unwrap()]);
            assert_eq!(seal(&out, &packet), forge(sequence, esn, &text(&packet, 4)));
        }
        let packet = v6(b"hello");
        assert_eq!(seal(&out, &packet), forge(4, esn, &text(&packet, 41)));
    }
}

#[test]
fn the_header_carries_spi_and_low_sequence_and_the_first_number_is_one() {
    for suite in Suite::all() {
        let sealed = seal(&outbound(&parameters(suite)), &v4(b""));
        assert_eq!(sealed[..4], SPI.to_be_bytes(), "{suite}");
        assert_eq!(sealed[4..8], 1u32.to_be_bytes(), "{suite}");
    }
}

#[test]
fn text_is_aligned_to_four_bytes_the_block_and_eight_where_asked() {
    for suite in Suite::all() {
        for align_8 in [false, true] {
            let out = outbound(&SaParameters { align_8, ..parameters(suite) });
            for len in 0..40 {
                let sealed = seal(&out, &v4(&vec![0; len]));
                let text_len = sealed.len() - 8 - suite.iv_len() - suite.icv_len();
                let alignment = suite.block().max(if align_8 { 8 } else { 4 });
                assert_eq!(
                    text_len,
                    (20 + len + 2).next_multiple_of(alignment),
                    "{suite}: no more than needed"
                );
            }
        }
    }
}

#[test]
fn packets_of_a_run_are_what_each_would_be_alone() {
    for parameters in [gcm(), SaParameters { esn: true, tfc_multiple: 64, tfc_limit: 1400, ..gcm() }] {
        let (alone, together) = (outbound(&parameters), outbound(&parameters));
        let packets = [v4(b"one"), v4(b"three"), v6(b"")];
        let bytes = packets.iter().map(Vec::len).sum();
        let mut run = together.run(3, bytes, together.made()).unwrap();
        let mut seal_in_run = |packet: &[u8]| {
            let mut out = vec![0; 200];
            let write = |text: &mut [u8]| {
                text.copy_from_slice(packet);
                true
            };
            let len = run.seal_with(packet.len(), &mut out, write)?;
            out.truncate(len);
            Ok(out)
        };
        for packet in &packets {
            assert_eq!(seal_in_run(packet), Ok(seal(&alone, packet)));
        }
        assert_eq!(seal_in_run(&packets[0]), Err(SealError::SequenceExhausted), "the run is over");
        assert_eq!(seal(&alone, &packets[0]), seal(&together, &packets[0]), "the SA goes on");
        let [alone, together] = [alone, together].map(|sa| sa.counters().snapshot());
        assert_eq!((together.packets, together.bytes), (alone.packets, alone.bytes));
    }
    let transport = SaParameters { mode: Mode::Transport, ..gcm() };
    assert!(outbound(&transport).run(1, 20, start()).is_none());
    let esn = SaParameters { esn: true, ..gcm() };
    let late = OutboundSa::with_sequence(esn, &keys(gcm().suite), start(), u64::MAX - 2).unwrap();
    assert!(late.run(3, 60, start()).is_none(), "there are two more numbers");
    let mut run = late.run(2, 40, start()).unwrap();
    let mut last = || {
        run.seal_with(20, &mut [0; 64], |text| {
            text.copy_from_slice(&v4(b""));
            true
        })
    };
    assert!(last().is_ok() && last().is_ok());
}

#[test]
fn no_number_is_given_out_twice_among_threads() {
    let out = outbound(&gcm());
    let mut ivs: Vec<Vec<u8>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..500).flat_map(|_| four_ivs(&out)).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    ivs.sort();
    ivs.dedup();
    assert_eq!(ivs.len(), 8000);
    assert_eq!(out.sequence(), 8000);
}

/// One packet alone, and three in a run.
fn four_ivs(out: &OutboundSa) -> [Vec<u8>; 4] {
    let packet = v4(b"");
    let mut run = out.run(3, 3 * packet.len(), out.made()).unwrap();
    let alone = seal_short(out);
    let [one, two, three] = [(); 3].map(|()| {
        let mut sealed = [0; 64];
        let write = |text: &mut [u8]| {
            text.copy_from_slice(&packet);
            true
        };
        run.seal_with(packet.len(), &mut sealed, write).unwrap();
        sealed
    });
    [alone, one, two, three].map(|sealed| sealed[8..16].to_vec())
}

fn seal_short(out: &OutboundSa) -> [u8; 64] {
    let mut sealed = [0; 64];
    out.seal(&v4(b"")[..], &mut sealed, out.made()).unwrap();
    sealed
}

#[test]
fn the_numbers_end_without_wrapping_even_among_threads() {
    for (esn, limit) in [(false, u64::from(u32::MAX)), (true, u64::MAX)] {
        let parameters = SaParameters { esn, ..gcm() };
        let out = OutboundSa::with_sequence(parameters, &keys(gcm().suite), start(), limit - 100).unwrap();
        let sealed: Vec<_> = thread::scope(|scope| {
            let seal = || {
                let mut sealed = [0; 64];
                out.seal(&v4(b""), &mut sealed, out.made()).map(|_| sealed[8..16].to_vec())
            };
            let workers: Vec<_> =
                (0..4).map(|_| scope.spawn(move || (0..50).map(|_| seal()).collect::<Vec<_>>())).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        let numbers: HashSet<_> = sealed.iter().flatten().collect();
        assert_eq!(numbers.len(), 100, "each of the last hundred once");
        assert!(numbers.contains(&limit.to_be_bytes().to_vec()));
        assert_eq!(out.counters().refused(SealError::SequenceExhausted), 100);
        assert_eq!(
            out.seal(&v4(b""), &mut [0; 64], out.made()),
            Err(SealError::SequenceExhausted),
            "for good"
        );
        assert_eq!(out.sequence(), limit);
    }
}

#[test]
fn a_buffer_too_short_uses_up_no_number_and_is_left_alone() {
    let out = outbound(&gcm());
    let packet = v4(b"payload");
    let needed = out.sealed_len(packet.len());
    let mut short = vec![0xee; needed - 1];
    assert_eq!(out.seal(&packet, &mut short, out.made()), Err(SealError::BufferTooShort));
    assert_eq!(short, vec![0xee; needed - 1]);
    assert_eq!(out.sequence(), 0);
    assert_eq!(out.seal(&packet, &mut vec![0; needed], out.made()), Ok(needed));
}

#[test]
fn only_one_whole_ip_packet_is_sealed() {
    for mode in [Mode::Tunnel, Mode::Transport] {
        let out = outbound(&SaParameters { mode, ..gcm() });
        for good in [v4(b"payload"), v6(b"payload")] {
            let cut = &good[..good.len() - 1];
            let longer = [&good[..], &[0]].concat();
            let other_version = [&[0x75], &good[1..]].concat();
            for bad in [&[][..], &good[..10], cut, &longer, &other_version] {
                assert_eq!(
                    out.seal(bad, &mut [0; 200], out.made()),
                    Err(SealError::Malformed),
                    "{mode:?} {bad:?}"
                );
            }
        }
        assert_eq!(out.counters().refused(SealError::Malformed), 10);
    }
}

#[test]
fn fragments_pass_in_tunnel_mode_only() {
    let mut fragment = v4(b"12345678");
    fragment[6..8].copy_from_slice(&0x2001u16.to_be_bytes());
    let tunnel = outbound(&gcm());
    assert!(tunnel.seal(&fragment, &mut [0; 200], tunnel.made()).is_ok());
    let transport = outbound(&SaParameters { mode: Mode::Transport, ..gcm() });
    assert_eq!(transport.seal(&fragment, &mut [0; 200], transport.made()), Err(SealError::Fragment));
}

#[test]
fn keys_of_the_wrong_length_make_no_sa() {
    let error = OutboundSa::new(gcm(), &keys(Suite::AES_256_GCM_16), start()).unwrap_err();
    assert_eq!((error.needed, error.given), (20, 36));
}

#[test]
fn keys_are_not_printed() {
    let printed = format!("{:?}", outbound(&gcm()));
    assert!(printed.contains("Spi") && !printed.contains("key"), "{printed}");
}

proptest! {
    #[test]
    fn the_longest_payload_for_a_room_is_the_longest(room in 0usize..3000, suite in 0..Suite::all().count()) {
        let suite = Suite::all().nth(suite).unwrap();
        let out = outbound(&parameters(suite));
        let payload = out.max_payload(room);
        if payload > 0 {
            prop_assert!(out.sealed_len(payload) <= room);
        }
        prop_assert!(out.sealed_len(payload + 1) > room);
        prop_assert!(out.sealed_len(room) <= room + out.overhead());
    }
}
