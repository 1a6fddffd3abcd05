//! What the network sends that no honest peer does: each has a reason and a counter, and moves nothing.

use proptest::prelude::*;
use twinmesh_esp::{Content, DropReason, InboundSa, Mode, OriginalAddresses, SaParameters, Suite};

use crate::selectors::selectors;
use crate::support::{
    SPI, addresses, forge, gcm, inbound, open, outer, packet, pair, parameters, seal, start, text, v4, v6,
};

fn dropped(into: &InboundSa, sealed: &[u8], reason: DropReason) {
    let (packets, drops) = (into.counters().packets(), into.counters().dropped(reason));
    assert_eq!(open(into, sealed), Err(reason));
    assert_eq!((into.counters().packets(), into.counters().dropped(reason)), (packets, drops + 1));
}

#[test]
fn every_truncation_is_dropped() {
    for suite in Suite::all() {
        let (out, into) = pair(&parameters(suite));
        let sealed = seal(&out, &v4(b"payload"));
        let ends = 8 + suite.iv_len() + 2 + suite.icv_len();
        for len in 0..sealed.len() {
            let expected = [DropReason::Truncated, DropReason::Forged];
            let reason = open(&into, &sealed[..len]).unwrap_err();
            assert!(expected.contains(&reason), "{suite}, {len} bytes");
            assert!(len >= ends || reason == DropReason::Truncated, "{suite}, {len} bytes");
        }
        assert_eq!(into.sequence(), 0);
        assert!(open(&into, &sealed).is_ok());
    }
}

#[test]
fn text_that_is_no_multiple_of_the_block_is_dropped_before_the_cipher() {
    for suite in Suite::all().filter(|suite| suite.block() > 1) {
        let (out, into) = pair(&parameters(suite));
        let sealed = seal(&out, &v4(&[0; 100]));
        dropped(&into, &[&sealed[..], &[0]].concat(), DropReason::Truncated);
    }
}

#[test]
fn another_spi_is_not_opened() {
    let (out, into) = pair(&gcm());
    let mut sealed = seal(&out, &v4(b""));
    sealed[3] ^= 1;
    dropped(&into, &sealed, DropReason::UnknownSpi);
}

#[test]
fn trap_1_sequence_zero_is_dropped_though_authentic() {
    dropped(&inbound(&gcm()), &forge(0, false, &text(&v4(b""), 4)), DropReason::SequenceZero);
}

#[test]
fn trap_1_a_replay_is_dropped_within_the_window_and_behind_it() {
    let (out, into) = pair(&gcm());
    let sealed: Vec<_> = (0..65).map(|_| seal(&out, &v4(b""))).collect();
    open(&into, &sealed[1]).unwrap();
    dropped(&into, &sealed[1], DropReason::Replayed);
    open(&into, &sealed[64]).unwrap();
    assert_eq!(open(&into, &sealed[1]), Err(DropReason::Replayed));
    assert_eq!(open(&into, &sealed[0]), Err(DropReason::BehindWindow));
}

#[test]
fn trap_1_a_forged_packet_never_moves_the_window() {
    for suite in Suite::all() {
        for esn in [false, true] {
            let (out, into) = pair(&SaParameters { esn, ..parameters(suite) });
            let sealed = seal(&out, &v4(b"payload"));
            let mut ahead = sealed.clone();
            ahead[4..8].copy_from_slice(&1_000_000u32.to_be_bytes());
            dropped(&into, &ahead, DropReason::Forged);
            assert_eq!(into.sequence(), 0);
            let mut flipped = sealed.clone();
            *flipped.last_mut().unwrap() ^= 0x80;
            assert_eq!(open(&into, &flipped), Err(DropReason::Forged), "{suite}");
            assert!(open(&into, &sealed).is_ok(), "{suite}: neither behind the window nor replayed");
        }
    }
}

#[test]
fn nothing_of_a_forged_packet_is_left_as_plain_text() {
    for suite in Suite::all().filter(|suite| suite.is_confidential()) {
        let (out, into) = pair(&parameters(suite));
        let mut sealed = seal(&out, &v4(b"attack at dawn, and bring the ladders"));
        *sealed.last_mut().unwrap() ^= 1;
        assert_eq!(into.open(&mut sealed, outer(), into.made()), Err(DropReason::Forged));
        assert!(!sealed.windows(6).any(|window| window == b"attack" || window == b"ladder"), "{suite}");
    }
}

#[test]
fn trap_22_bad_padding_is_dropped_and_its_number_is_used_up() {
    let packet = v4(b"payload");
    for trailer in [
        // Longer than the packet.
        &[1, 2, 255, 4][..],
        &[28, 4],
        // Not 1, 2, 3….
        &[0, 1, 2, 4],
        &[1, 2, 4, 3, 4],
        &[0, 0, 0, 3, 4],
    ] {
        let into = inbound(&gcm());
        let sealed = forge(1, false, &[&packet, trailer].concat());
        dropped(&into, &sealed, DropReason::BadPadding);
        assert_eq!(open(&into, &sealed), Err(DropReason::Replayed), "authentic, so seen");
    }
}

#[test]
fn up_to_255_bytes_of_padding_are_read() {
    let packet = v4(b"payload");
    let padding: Vec<u8> = (1..=255).collect();
    let sealed = forge(1, false, &[&packet[..], &padding, &[255, 4]].concat());
    assert_eq!(open(&inbound(&gcm()), &sealed), Ok(packet));
}

#[test]
fn a_tunnel_carries_ip_packets_only_and_transport_none() {
    let udp = text(b"12345678", 17);
    dropped(&inbound(&gcm()), &forge(1, false, &udp), DropReason::NotTunnelled);
    let transport = SaParameters { mode: Mode::Transport, ..gcm() };
    for (packet, next_header) in [(v4(b""), 4), (v6(b""), 41)] {
        let sealed = forge(1, false, &text(&packet, next_header));
        dropped(&inbound(&transport), &sealed, DropReason::NotTransported);
    }
}

#[test]
fn an_inner_header_that_lies_is_dropped() {
    let (short, long) = (v4(b"payload"), v6(b"payload"));
    let lie = |packet: &[u8], at: usize, value: u8| {
        let mut packet = packet.to_vec();
        packet[at] = value;
        packet
    };
    for (inner, next_header) in [
        // The other family's next header.
        (short.clone(), 41),
        (long.clone(), 4),
        // Longer than what came, shorter than the header, no header, no version.
        (lie(&short, 3, 28), 4),
        (lie(&short, 2, 0xff), 4),
        (lie(&short, 3, 19), 4),
        (lie(&short, 0, 0x44), 4),
        (lie(&short, 0, 0x05), 4),
        (lie(&long, 5, 8), 41),
        (lie(&long, 4, 0xff), 41),
        (short[..19].to_vec(), 4),
        (long[..39].to_vec(), 41),
        (Vec::new(), 4),
    ] {
        let into = inbound(&gcm());
        let sealed = forge(1, false, &text(&inner, next_header));
        dropped(&into, &sealed, DropReason::InnerMalformed);
        assert_eq!(open(&into, &sealed), Err(DropReason::Replayed), "authentic, so seen");
    }
}

#[test]
fn an_extension_header_cut_short_is_dropped_where_selectors_must_look_behind_it() {
    let inner = packet("2001:db8::1", "2001:db8:1::1", 0, &[17, 5, 0, 0, 0, 0, 0, 0]);
    let narrow = selectors(&["2001:db8:1::/48"], &["2001:db8::/48[udp]"]);
    let into = inbound(&SaParameters { selectors: narrow, ..gcm() });
    dropped(&into, &forge(1, false, &text(&inner, 41)), DropReason::InnerMalformed);
}

#[test]
fn one_packet_is_delivered_once_among_threads() {
    let (out, into) = pair(&gcm());
    for _ in 0..200 {
        let sealed = seal(&out, &v4(b"payload"));
        let delivered: usize = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| usize::from(open(&into, &sealed).is_ok()))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(delivered, 1);
    }
}

proptest! {
    #[test]
    fn any_flipped_bit_is_noticed(bit in 0usize..8 * 95, esn in any::<bool>(), suite in 0..Suite::all().count()) {
        let suite = Suite::all().nth(suite).unwrap();
        let (out, into) = pair(&SaParameters { esn, ..parameters(suite) });
        let mut sealed = seal(&out, &v4(b"a payload of some length or other"));
        let bit = bit % (sealed.len() * 8);
        sealed[bit / 8] ^= 1 << (bit % 8);
        let reason = open(&into, &sealed).unwrap_err();
        prop_assert!(
            [DropReason::Forged, DropReason::UnknownSpi, DropReason::SequenceZero, DropReason::BehindWindow].contains(&reason)
        );
        prop_assert_eq!(into.sequence(), 0);
    }

    #[test]
    fn garbage_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        suite in 0..Suite::all().count(), esn in any::<bool>(), ours in any::<bool>(), tunnel in any::<bool>(),
    ) {
        let suite = Suite::all().nth(suite).unwrap();
        let mode = if tunnel { Mode::Tunnel } else { Mode::Transport };
        let into = inbound(&SaParameters { esn, mode, ..parameters(suite) });
        let bytes = if ours { [&SPI.to_be_bytes(), &bytes[..]].concat() } else { bytes };
        prop_assert!(open(&into, &bytes).is_err());
    }

    #[test]
    fn authentic_garbage_never_panics(
        inside in prop::collection::vec(prop_oneof![0u8..6, Just(0x45), Just(0x60), Just(41), any::<u8>()], 0..200),
        next_header in prop_oneof![Just(4u8), Just(41), Just(59), any::<u8>()],
        pad_len in any::<Option<u8>>(), tunnel in any::<bool>(), narrow in any::<bool>(),
    ) {
        let mode = if tunnel { Mode::Tunnel } else { Mode::Transport };
        let selectors = if narrow {
            selectors(&["0.0.0.0/0[tcp]"], &["::/0[udp/5]"])
        } else {
            gcm().selectors
        };
        let original = addresses("10.0.0.1", "10.0.0.2");
        let into = inbound(&SaParameters { mode, selectors, ..gcm() }).behind_nat(OriginalAddresses {
            source: original.source, destination: original.destination,
        });
        let inside = match pad_len {
            Some(pad_len) => [&inside[..], &[pad_len, next_header]].concat(),
            None => text(&inside, next_header),
        };
        let mut sealed = forge(1, false, &inside);
        let len = sealed.len();
        if let Ok(opened) = into.open(&mut sealed, outer(), start()) {
            match opened.content {
                Content::Packet(range) | Content::Payload { range, .. } => {
                    prop_assert!(range.start == 16 && range.end <= len - 18);
                }
                Content::Dummy => {}
            }
        }
        prop_assert_eq!(into.sequence(), 1);
    }
}
