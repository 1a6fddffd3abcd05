//! What the protocol does as time passes: `cargo nextest run -p twinmesh-wireguard --features mock-clock`.
#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed step of a test is a panic; support is a module"
)]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::{Datagram, Seen, World, address, packet};
use twinmesh_wireguard::{Change, DropReason, EndpointPolicy, PeerSettings, PeerState, PresharedKey};

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
    world.a.peer.update(settings(&[50], None), world.now);
    run(&mut world, Duration::from_mins(5));
    world.a.seal(&packet(1), world.now);
    assert_eq!(world.deliver().1, [packet(1)]);
}

#[test]
fn a_peer_that_moved_silently_is_found_within_two_seconds_of_new_candidates() {
    let mut world = World::up();
    world.b.address = address(50);
    world.a.peer.update(settings(&[2, 50], None), world.now);
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
    world.a.peer.update(settings(&[52], None), world.now);
    world.b.peer.update(settings(&[51], None), world.now);
    let start = world.now;
    while world.a.peer.endpoint() != Some(address(52)) || world.b.peer.endpoint() != Some(address(51)) {
        world.a.seal(&packet(1), world.now);
        run(&mut world, TICK);
        assert!(world.now - start < Duration::from_secs(2));
    }
}

/// `a` and `b` after a session between them has ended; what `a` had sent: an initiation, a keepalive and a packet.
fn asleep() -> (World, Vec<Datagram>) {
    let mut world = World::new();
    world.a.seal(&packet(0), world.now);
    let mut sent = [Vec::new(), Vec::new()];
    deliver_noting(&mut world, &mut sent);
    assert!(world.a.peer.is_awake() && world.b.peer.is_awake());
    run(&mut world, Duration::from_secs(175));
    assert!(world.a.peer.is_awake() && world.b.peer.is_awake(), "the session may still be used");
    run(&mut world, Duration::from_secs(10));
    assert!(world.a.peer.is_at_rest() && world.b.peer.is_at_rest());
    world.a.changes.clear();
    world.b.changes.clear();
    let [_, sent] = sent;
    (world, sent)
}

#[test]
fn a_tunnel_that_slept_comes_up_for_packets_of_either_end_and_loses_none() {
    let (mut world, _) = asleep();
    for number in 1..4 {
        world.a.seal(&packet(number), world.now);
    }
    assert_eq!(world.deliver().1, (1..4).map(packet).collect::<Vec<_>>());
    assert_eq!(
        (&world.a.changes[..], &world.b.changes[..]),
        (&[Change::Up(address(2))][..], &[Change::Up(address(1))][..])
    );
    let (mut world, _) = asleep();
    world.b.seal(&packet(1), world.now);
    assert_eq!(world.deliver().0, [packet(1)]);
    world.a.seal(&packet(2), world.now);
    assert_eq!(world.deliver().1, [packet(2)]);
}

#[test]
fn an_old_initiation_is_refused_by_a_tunnel_that_slept_and_does_not_wake_it() {
    let (mut world, sent) = asleep();
    let replayed = |world: &mut World, old: &Datagram| world.b.receive(old.from, &old.bytes, world.now);
    let refused = Seen::Dropped(DropReason::ReplayedHandshake);
    assert_eq!(replayed(&mut world, &sent[0]), refused);
    assert!(!world.b.peer.is_awake());
    assert!(world.b.outbox.is_empty(), "no answer");

    world.a.seal(&packet(1), world.now);
    let second = world.a.outbox.front().unwrap().clone();
    assert_eq!(world.deliver().1, [packet(1)]);
    run(&mut world, Duration::from_mins(4));
    for old in [&sent[0], &second] {
        assert_eq!(replayed(&mut world, old), refused);
        assert!(!world.b.peer.is_awake());
    }
    assert_eq!(world.b.peer.endpoint(), Some(address(1)));
}

#[test]
fn an_old_initiation_is_refused_after_a_change_of_the_preshared_key() {
    let mut world = World::new();
    world.a.seal(&packet(0), world.now);
    let initiation = world.a.outbox.front().unwrap().clone();
    world.deliver();
    let key = PresharedKey::from_bytes([7; 32]);
    let new = PeerSettings { preshared_key: Some(key), ..settings(&[1], None) };
    world.b.peer.update(new, world.now);
    let seen = world.b.receive(initiation.from, &initiation.bytes, world.now);
    assert_eq!(seen, Seen::Dropped(DropReason::ReplayedHandshake));
}

#[test]
fn what_belongs_to_no_tunnel_wakes_none() {
    let (mut world, sent) = asleep();
    let data = &sent.last().unwrap().bytes;
    assert_eq!(world.b.receive(address(1), data, world.now), Seen::Dropped(DropReason::NoSession));
    let mut cookie = [0; 64];
    cookie[0] = 3;
    cookie[4..8].copy_from_slice(&data[4..8]);
    let seen = world.b.receive(address(1), &cookie, world.now);
    assert_eq!(seen, Seen::Dropped(DropReason::UnexpectedHandshake));
    assert!(!world.b.peer.is_awake());
}

#[test]
fn a_peer_that_never_answers_is_given_up_and_its_tunnel_with_it() {
    let mut world = World::new();
    world.a.seal(&packet(1), world.now);
    for _ in 0..3000 {
        world.pass(TICK);
        world.a.tick(world.now);
        world.a.outbox.clear();
    }
    assert!(world.a.peer.is_at_rest());
    world.a.seal(&packet(2), world.now);
    assert_eq!(world.deliver().1, [packet(2)], "what waited is too old");
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Seal {
        at_a: bool,
    },
    Pass {
        seconds: u64,
    },
    /// One of all datagrams that ever went to that end.
    Replay {
        at_a: bool,
        which: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<bool>().prop_map(|at_a| Step::Seal { at_a }),
        2 => (1u64..400).prop_map(|seconds| Step::Pass { seconds }),
        4 => (any::<bool>(), any::<usize>()).prop_map(|(at_a, which)| Step::Replay { at_a, which }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whether tunnels slept in between or not.
    #[test]
    fn nothing_that_was_delivered_once_is_accepted_again(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        let mut sent = [Vec::new(), Vec::new()];
        let mut number = 0;
        for step in steps {
            match step {
                Step::Seal { at_a } => {
                    number += 1;
                    let now = world.now;
                    let node = if at_a { &mut world.a } else { &mut world.b };
                    node.seal(&packet(number), now);
                }
                Step::Pass { seconds } => {
                    for _ in 0..seconds {
                        world.pass(Duration::from_secs(1));
                        world.a.tick(world.now);
                        world.b.tick(world.now);
                        deliver_noting(&mut world, &mut sent);
                    }
                }
                Step::Replay { at_a, which } => {
                    let now = world.now;
                    let (node, old) = if at_a { (&mut world.a, &sent[0]) } else { (&mut world.b, &sent[1]) };
                    if !old.is_empty() {
                        let Datagram { from, bytes, .. } = &old[which % old.len()];
                        let seen = node.receive(*from, bytes, now);
                        prop_assert!(matches!(seen, Seen::Dropped(_)), "{:?} of {:?}", seen, bytes[0]);
                    }
                }
            }
            deliver_noting(&mut world, &mut sent);
        }
    }
}

/// Delivers all, and notes what went to `a` and to `b`.
fn deliver_noting(world: &mut World, sent: &mut [Vec<Datagram>; 2]) {
    while !(world.a.outbox.is_empty() && world.b.outbox.is_empty()) {
        let (to_a, to_b) = (world.b.outbox.drain(..).collect(), world.a.outbox.drain(..).collect());
        let all: [Vec<Datagram>; 2] = [to_a, to_b];
        for (node, (datagrams, sent)) in
            [&mut world.a, &mut world.b].into_iter().zip(all.into_iter().zip(sent.iter_mut()))
        {
            for datagram in datagrams {
                node.receive(datagram.from, &datagram.bytes, world.now);
                sent.push(datagram);
            }
        }
    }
}
