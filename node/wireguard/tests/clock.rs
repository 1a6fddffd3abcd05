//! What the protocol does as time passes: `cargo nextest run -p twinmesh-wireguard --features mock-clock`.
#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed step of a test is a panic; support is a module"
)]

mod support;

use std::time::Duration;

use support::{World, address, packet};
use twinmesh_wireguard::{Change, EndpointPolicy, PeerSettings, PeerState};

const INITIATION: u8 = 1;
const TICK: Duration = Duration::from_millis(100);

fn settings(candidates: &[u8], keepalive: Option<u64>) -> PeerSettings {
    PeerSettings {
        preshared_key: None,
        candidates: candidates.iter().copied().map(address).collect(),
        endpoint: EndpointPolicy::Follow,
        keepalive: keepalive.map(Duration::from_secs),
    }
}

/// Lets time pass in ticks and delivers everything.
fn run(world: &mut World, time: Duration) {
    let end = world.now + time;
    while world.now < end {
        world.pass(TICK);
        world.a.tick(world.now);
        world.b.tick(world.now);
        world.deliver();
    }
}

#[test]
fn a_session_in_use_is_renewed_after_two_minutes_without_loss() {
    let mut world = World::up();
    let first = world.a.peer.last_handshake().unwrap();
    for second in 0..600u16 {
        run(&mut world, Duration::from_secs(1));
        world.a.seal(&packet(second), world.now);
        world.b.seal(&packet(second), world.now);
        assert_eq!(world.deliver(), (vec![packet(second)], vec![packet(second)]), "second {second}");
        if second == 118 {
            assert_eq!(world.a.peer.last_handshake(), Some(first));
        }
        if second == 122 {
            assert!(world.a.peer.last_handshake() > Some(first));
        }
    }
    assert_eq!((world.a.changes, world.b.changes), (vec![], vec![]), "it was up all the time");
}

#[test]
fn an_idle_session_ends_after_three_minutes_and_returns_with_the_next_packet() {
    let mut world = World::up();
    run(&mut world, Duration::from_secs(175));
    assert_eq!(world.a.peer.state(world.now), PeerState::Up);
    run(&mut world, Duration::from_secs(10));
    assert_eq!(world.a.peer.state(world.now), PeerState::Idle);
    run(&mut world, Duration::from_mins(15));
    world.a.seal(&packet(1), world.now);
    assert_eq!(world.deliver().1, [packet(1)]);
    assert_eq!(world.a.changes, [Change::Up(address(2))]);
}

#[test]
fn a_keepalive_is_sent_as_often_as_asked_and_keeps_the_session() {
    let mut world = World::with(settings(&[2], Some(25)), settings(&[], None));
    run(&mut world, Duration::from_secs(1));
    assert_eq!(world.a.changes, [Change::Up(address(2))], "without waiting for traffic");
    let mut silence = Duration::ZERO;
    for _ in 0..6000 {
        world.pass(TICK);
        world.a.tick(world.now);
        world.b.tick(world.now);
        silence = if world.a.outbox.is_empty() { silence + TICK } else { Duration::ZERO };
        assert!(silence <= Duration::from_secs(25));
        world.deliver();
        assert_eq!(world.b.peer.state(world.now), PeerState::Up);
    }
}

#[test]
fn a_peer_that_is_away_is_asked_for_at_every_candidate_until_it_comes() {
    let mut world = World::with(settings(&[2, 3], Some(25)), settings(&[], None));
    let mut initiations = 0;
    for second in 0..600 {
        world.pass(Duration::from_secs(1));
        world.a.tick(world.now);
        let sent: Vec<_> = world.a.outbox.drain(..).collect();
        assert!(sent.iter().all(|datagram| datagram.bytes[0] == INITIATION));
        assert_eq!(sent.len() % 2, 0, "one for each candidate");
        initiations += sent.len() / 2;
        if second == 9 {
            assert!((8..=10).contains(&initiations), "quick at first: {initiations}");
        }
    }
    assert!((100..250).contains(&initiations), "{initiations}");
    run(&mut world, Duration::from_secs(6));
    assert_eq!(world.a.changes, [Change::Up(address(2))]);
}

#[test]
fn silence_brings_a_handshake_to_the_endpoint_and_more_silence_one_to_all_candidates() {
    let mut world = World::with(settings(&[2, 3], None), settings(&[], None));
    world.a.seal(&packet(0), world.now);
    assert_eq!(world.deliver().1, [packet(0)]);
    run(&mut world, Duration::from_secs(1));
    world.a.seal(&packet(1), world.now);
    world.a.outbox.clear();
    let mut targets = Vec::new();
    for _ in 0..220 {
        world.pass(TICK);
        world.a.tick(world.now);
        targets.extend(world.a.outbox.drain(..).map(|datagram| datagram.to));
    }
    assert_eq!(targets[..3], [address(2), address(2), address(3)]);
}

#[test]
fn a_peer_that_moved_while_the_session_had_ended_is_found_at_once() {
    let mut world = World::with(settings(&[2], None), settings(&[], None));
    world.a.seal(&packet(0), world.now);
    assert_eq!(world.deliver().1, [packet(0)]);
    run(&mut world, Duration::from_mins(4));
    world.b.address = address(50);
    world.a.peer.update(&world.a.device, settings(&[50], None), world.now);
    run(&mut world, Duration::from_mins(5));
    world.a.seal(&packet(1), world.now);
    assert_eq!(world.deliver().1, [packet(1)]);
}

#[test]
fn a_peer_that_moved_silently_is_found_within_two_seconds_of_new_candidates() {
    let mut world = World::up();
    world.b.address = address(50);
    world.a.peer.update(&world.a.device, settings(&[2, 50], None), world.now);
    let mut waited = Duration::ZERO;
    while world.a.peer.endpoint() != Some(address(50)) {
        world.a.seal(&packet(1), world.now);
        run(&mut world, TICK);
        waited += TICK;
        assert!(waited < Duration::from_secs(2));
    }
    assert_eq!(world.a.changes, [Change::Moved(address(50))]);
    world.a.seal(&packet(2), world.now);
    assert_eq!(world.deliver().1, [packet(2)]);
}

#[test]
fn two_peers_that_move_at_once_meet_again_within_two_seconds_of_new_candidates() {
    let mut world = World::up();
    (world.a.address, world.b.address) = (address(51), address(52));
    for node in [&mut world.a, &mut world.b] {
        node.network_changed(world.now);
    }
    world.deliver();
    assert_eq!(world.a.peer.endpoint(), Some(address(2)), "each told an empty house");
    world.a.peer.update(&world.a.device, settings(&[52], None), world.now);
    world.b.peer.update(&world.b.device, settings(&[51], None), world.now);
    let start = world.now;
    while world.a.peer.endpoint() != Some(address(52)) || world.b.peer.endpoint() != Some(address(51)) {
        world.a.seal(&packet(1), world.now);
        run(&mut world, TICK);
        assert!(world.now - start < Duration::from_secs(2));
    }
}
