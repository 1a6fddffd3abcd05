//! Sequence numbers, lifetimes, selectors, counters, bad input.

use std::time::{Duration, Instant};

use twinmesh_esp::{
    AhInboundSa, AhOutboundSa, DropReason, KeyMaterial, LifetimeState, Limits, Mode, ReplayWindow, SealError,
    Selectors, Spi, ah_spi,
};

use crate::packets::{A, B, SPI, fix_checksum, key, parameters, receiver, seal, sender, suite, udp, v4, v6};

const UDP: u8 = 17;

#[test]
fn a_packet_opens_once_and_late_ones_within_the_window() {
    let parameters = parameters(suite("sha256"), Mode::Transport);
    let (sender, receiver) = (sender(parameters.clone()), receiver(parameters));
    let packets: Vec<_> = (0..100).map(|_| seal(&sender, &v4(&[], UDP, &udp()), None)).collect();
    let open = |at: usize| receiver.open(&mut packets[at].clone(), Instant::now());
    assert!(open(99).unwrap().newest);
    assert!(!open(36).unwrap().newest);
    assert_eq!(open(36), Err(DropReason::Replayed));
    assert_eq!(open(99), Err(DropReason::Replayed));
    assert_eq!(open(35), Err(DropReason::BehindWindow));
    let counters = receiver.counters().snapshot();
    assert_eq!((counters.packets, counters.bytes), (2, 40));
    assert_eq!(
        counters.drops().collect::<Vec<_>>(),
        [(DropReason::Replayed, 2), (DropReason::BehindWindow, 1)]
    );
}

#[test]
fn a_forged_packet_does_not_move_the_window() {
    let parameters = parameters(suite("sha256"), Mode::Transport);
    let (sender, receiver) = (sender(parameters.clone()), receiver(parameters));
    let mut sealed = seal(&sender, &v4(&[], UDP, &udp()), None);
    let mut forged = sealed.clone();
    forged[28..32].copy_from_slice(&50_000u32.to_be_bytes());
    assert_eq!(receiver.open(&mut forged, Instant::now()), Err(DropReason::Forged));
    assert_eq!(receiver.window().top(), 0);
    assert!(receiver.open(&mut sealed, Instant::now()).is_ok());
}

#[test]
fn sequence_number_0_is_refused() {
    let parameters = parameters(suite("sha256"), Mode::Transport);
    let mut sealed = seal(&sender(parameters.clone()), &v4(&[], UDP, &udp()), None);
    sealed[28..32].fill(0);
    assert_eq!(receiver(parameters).open(&mut sealed, Instant::now()), Err(DropReason::SequenceZero));
}

#[test]
fn trap_2_the_sender_stops_at_the_last_sequence_number_for_good() {
    for (esn, last) in [(false, u64::from(u32::MAX)), (true, u64::MAX)] {
        let mut parameters = parameters(suite("aes128gmac"), Mode::Transport);
        parameters.esn = esn;
        let keys = KeyMaterial::new(key(parameters.suite));
        let now = Instant::now();
        let sa = AhOutboundSa::with_sequence(parameters.clone(), &keys, now, last - 1).unwrap();
        let window = ReplayWindow::with_top(64, last - 1);
        let receiver = AhInboundSa::with_window(parameters, &keys, now, window).unwrap();
        let mut sealed = seal(&sa, &v4(&[], UDP, &udp()), None);
        assert!(receiver.open(&mut sealed, now).is_ok());
        for _ in 0..3 {
            let result = sa.seal(&v4(&[], UDP, &udp()), None, &mut [0; 200], now);
            assert_eq!(result, Err(SealError::SequenceExhausted));
        }
        assert_eq!(sa.sequence(), last);
        assert_eq!(sa.counters().refused(SealError::SequenceExhausted), 3);
    }
}

#[test]
fn the_receiver_infers_the_high_half_across_a_wrap() {
    let mut parameters = parameters(suite("sha384"), Mode::Transport);
    parameters.esn = true;
    let keys = KeyMaterial::new(key(parameters.suite));
    let now = Instant::now();
    let start = 0x3_ffff_fff0;
    let sa = AhOutboundSa::with_sequence(parameters.clone(), &keys, now, start).unwrap();
    let receiver =
        AhInboundSa::with_window(parameters, &keys, now, ReplayWindow::with_top(64, start)).unwrap();
    let mut packets: Vec<_> = (0..32).map(|_| seal(&sa, &v6(UDP, &udp()), None)).collect();
    packets.reverse();
    for mut packet in packets {
        assert!(receiver.open(&mut packet, now).is_ok());
    }
    assert_eq!(receiver.window().top(), 0x4_0000_0010);
}

#[test]
fn trap_2_many_threads_never_share_a_sequence_number() {
    let sa = sender(parameters(suite("md5"), Mode::Transport));
    let packet = v4(&[], UDP, &udp());
    let mut seen: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..200)
                        .map(|_| u32::from_be_bytes(seal(&sa, &packet, None)[28..32].try_into().unwrap()))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    seen.sort_unstable();
    assert_eq!(seen, (1..=800).collect::<Vec<_>>());
}

#[test]
fn the_lifetime_ends_both_sides() {
    let mut parameters = parameters(suite("sha256"), Mode::Transport);
    parameters.lifetime.soft = Limits { packets: Some(1), ..Limits::default() };
    parameters.lifetime.hard =
        Limits { packets: Some(2), time: Some(Duration::from_mins(1)), ..Limits::default() };
    let now = Instant::now();
    let keys = KeyMaterial::new(key(parameters.suite));
    let sender = AhOutboundSa::new(parameters.clone(), &keys, now).unwrap();
    let receiver = AhInboundSa::new(parameters, &keys, now).unwrap();
    let packet = v4(&[], UDP, &udp());
    let mut out = [0; 200];
    assert_eq!(sender.lifetime_state(now), LifetimeState::Fresh);
    let len = sender.seal(&packet, None, &mut out, now).unwrap();
    assert_eq!(sender.lifetime_state(now), LifetimeState::Soft);
    let late = now + Duration::from_mins(1);
    assert_eq!(receiver.lifetime_state(late), LifetimeState::Hard);
    assert_eq!(receiver.open(&mut out[..len].to_vec(), late), Err(DropReason::Expired));
    assert!(receiver.open(&mut out[..len], now).is_ok());
    sender.seal(&packet, None, &mut out, now).unwrap();
    assert_eq!(sender.seal(&packet, None, &mut out, now), Err(SealError::Expired));
}

#[test]
fn trap_10_an_authentic_packet_outside_the_selectors_is_dropped() {
    let mut parameters = parameters(suite("sha256"), Mode::Transport);
    let prefix = |text: &str| text.parse().unwrap();
    let [here, there] = [format!("{B}/32"), format!("{A}/32")];
    parameters.selectors = Selectors::from_prefixes([prefix(&here)], [prefix(&there)]);
    let sender = sender(parameters.clone());
    let receiver = receiver(parameters);
    let mut sealed = seal(&sender, &v4(&[], UDP, &udp()), None);
    assert!(receiver.open(&mut sealed, Instant::now()).is_ok());
    let mut elsewhere = v4(&[], UDP, &udp());
    elsewhere[15] ^= 1;
    fix_checksum(&mut elsewhere);
    let mut sealed = seal(&sender, &elsewhere, None);
    assert_eq!(receiver.open(&mut sealed, Instant::now()), Err(DropReason::OutsideSelectors));
}

#[test]
fn fragments_are_neither_sealed_nor_opened() {
    let parameters = parameters(suite("sha256"), Mode::Transport);
    for flags in [[0x20, 0], [0, 1]] {
        let mut fragment = v4(&[], UDP, &udp());
        fragment[6..8].copy_from_slice(&flags);
        fix_checksum(&mut fragment);
        let result = sender(parameters.clone()).seal(&fragment, None, &mut [0; 200], Instant::now());
        assert_eq!(result, Err(SealError::Fragment));
        let mut sealed = seal(&sender(parameters.clone()), &v4(&[], UDP, &udp()), None);
        sealed[6..8].copy_from_slice(&flags);
        let result = receiver(parameters.clone()).open(&mut sealed, Instant::now());
        assert_eq!(result, Err(DropReason::InnerMalformed));
    }
}

#[test]
fn every_truncation_and_every_short_buffer_is_refused() {
    for packet in [v4(&[], UDP, &udp()), v6(UDP, &udp())] {
        let parameters = parameters(suite("aes256gmac"), Mode::Transport);
        let (sender, receiver) = (sender(parameters.clone()), receiver(parameters));
        let sealed = seal(&sender, &packet, None);
        for len in 0..sealed.len() {
            assert!(receiver.open(&mut sealed[..len].to_vec(), Instant::now()).is_err());
            let result = sender.seal(&packet, None, &mut vec![0; len], Instant::now());
            assert_eq!(result, Err(SealError::BufferTooShort), "{len} bytes");
        }
        for len in 0..packet.len() {
            let result = sender.seal(&packet[..len], None, &mut [0; 200], Instant::now());
            assert_eq!(result, Err(SealError::Malformed));
        }
        assert_eq!(sender.sequence(), 1, "no sequence number was spent");
        // Bytes after the packet's end are not part of it.
        let mut padded = [sealed.as_slice(), &[9; 11]].concat();
        let opened = receiver.open(&mut padded, Instant::now()).unwrap();
        assert_eq!(padded[opened.packet], packet);
    }
}

#[test]
fn a_length_that_the_suite_does_not_have_is_refused() {
    let parameters = parameters(suite("sha256"), Mode::Transport);
    for (packet, at, good) in [(v4(&[], UDP, &udp()), 21, vec![5, 6]), (v6(UDP, &udp()), 41, vec![6])] {
        let sealed = seal(&sender(parameters.clone()), &packet, None);
        for len in 0..=255 {
            let mut changed = sealed.clone();
            changed[at] = len;
            let expected = if changed == sealed {
                continue;
            } else if good.contains(&len) {
                DropReason::Forged
            } else {
                DropReason::Truncated
            };
            assert_eq!(receiver(parameters.clone()).open(&mut changed, Instant::now()), Err(expected));
        }
    }
}

#[test]
fn the_sa_is_found_by_the_spi_behind_any_extension_headers() {
    let options = [UDP, 0, 1, 4, 0, 0, 0, 0];
    let sa = sender(parameters(suite("sha256"), Mode::Transport));
    for packet in [v4(&[], UDP, &udp()), v6(0, &[options.as_slice(), &udp()].concat())] {
        assert_eq!(ah_spi(&packet), None);
        let mut sealed = seal(&sa, &packet, None);
        assert_eq!(ah_spi(&sealed).map(Spi::get), Some(SPI));
        let mut parameters = parameters(suite("sha256"), Mode::Transport);
        parameters.spi = Spi::new(SPI + 1).unwrap();
        assert_eq!(receiver(parameters).open(&mut sealed, Instant::now()), Err(DropReason::UnknownSpi));
    }
}

#[test]
fn keys_of_the_wrong_length_are_refused() {
    let parameters = parameters(suite("aes128gmac"), Mode::Tunnel);
    let error = AhOutboundSa::new(parameters, &KeyMaterial::new(vec![0; 16]), Instant::now()).err().unwrap();
    assert_eq!((error.needed, error.given), (20, 16));
}
