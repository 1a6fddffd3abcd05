//! An SA ends by bytes, packets, time, or for want of sequence numbers.

use std::time::Duration;

use twinmesh_esp::{
    DropReason, InboundSa, Lifetime, LifetimeState, Limits, OutboundSa, SaParameters, SealError,
};

use crate::support::{gcm, keys, outer, pair, start, v4};

fn with(soft: Limits, hard: Limits) -> SaParameters {
    SaParameters { lifetime: Lifetime { soft, hard }, ..gcm() }
}

#[test]
fn at_the_hard_limit_of_packets_or_bytes_both_ends_stop() {
    let packets = |count| Limits { packets: Some(count), ..Limits::default() };
    let bytes = |count| Limits { bytes: Some(count), ..Limits::default() };
    // 20 bytes a packet.
    for parameters in [with(packets(2), packets(4)), with(bytes(40), bytes(61))] {
        let (out, into) = pair(&parameters);
        let (now, mut sealed) = (out.made(), [0; 100]);
        assert!(out.run(4, 80, now).is_none(), "the limit may lie among them");
        assert_eq!(out.sequence(), 0, "no number is lost");
        for state in [LifetimeState::Fresh, LifetimeState::Fresh, LifetimeState::Soft, LifetimeState::Soft] {
            assert_eq!((out.lifetime_state(now), into.lifetime_state(now)), (state, state));
            let len = out.seal(&v4(b""), &mut sealed, now).unwrap();
            into.open(&mut sealed[..len], outer(), now).unwrap();
        }
        assert_eq!(out.lifetime_state(now), LifetimeState::Hard);
        assert_eq!(out.seal(&v4(b""), &mut sealed, now), Err(SealError::Expired));
        assert_eq!(out.seal_dummy(20, &mut sealed, now), Err(SealError::Expired));
        assert_eq!(out.counters().refused(SealError::Expired), 2);
        let fresh = OutboundSa::with_sequence(gcm(), &keys(gcm().suite), now, 4).unwrap();
        let len = fresh.seal(&v4(b""), &mut sealed, now).unwrap();
        assert_eq!(into.open(&mut sealed[..len], outer(), now), Err(DropReason::Expired));
        assert_eq!(into.counters().dropped(DropReason::Expired), 1);
    }
}

#[test]
fn at_the_hard_limit_of_time_both_ends_stop() {
    let time = |seconds| Limits { time: Some(Duration::from_secs(seconds)), ..Limits::default() };
    let (out, into) = pair(&with(time(50), time(60)));
    let mut sealed = [0; 100];
    let at = |seconds| out.made().max(into.made()) + Duration::from_secs(seconds);
    assert_eq!(out.lifetime_state(at(49)), LifetimeState::Fresh);
    assert_eq!(out.lifetime_state(at(50)), LifetimeState::Soft);
    let len = out.seal(&v4(b""), &mut sealed, out.made() + Duration::from_secs(59)).unwrap();
    assert_eq!(out.seal(&v4(b""), &mut [0; 100], at(60)), Err(SealError::Expired));
    assert_eq!(into.open(&mut sealed[..len], outer(), at(60)), Err(DropReason::Expired));
    assert!(into.open(&mut sealed[..len], outer(), into.made() + Duration::from_secs(59)).is_ok());
}

#[test]
fn a_clock_that_goes_back_ages_nothing() {
    let hard = Limits { time: Some(Duration::from_secs(1)), ..Limits::default() };
    let later = start() + Duration::from_secs(100);
    let out = OutboundSa::new(with(hard, hard), &keys(gcm().suite), later).unwrap();
    assert!(out.seal(&v4(b""), &mut [0; 100], start()).is_ok());
}

#[test]
fn without_limits_an_sa_asks_for_its_successor_before_the_numbers_end() {
    for (esn, limit) in [(false, u64::from(u32::MAX)), (true, u64::MAX)] {
        let parameters = SaParameters { esn, ..gcm() };
        let state = |last| {
            let keys = keys(gcm().suite);
            let out = OutboundSa::with_sequence(parameters.clone(), &keys, start(), last).unwrap();
            let into = InboundSa::with_top(parameters.clone(), &keys, start(), last).unwrap();
            (out.lifetime_state(start()), into.lifetime_state(start()))
        };
        assert_eq!(state(limit / 2), (LifetimeState::Fresh, LifetimeState::Fresh));
        assert_eq!(state(limit / 8 * 7 + 8), (LifetimeState::Soft, LifetimeState::Soft));
        // Late packets can still come in.
        assert_eq!(state(limit), (LifetimeState::Hard, LifetimeState::Soft));
    }
}
