//! Two nodes over a link that loses, repeats, reorders, cuts and invents.
#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed step of a test is a panic; support is a module"
)]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::{Seen, World, address, packet};
use twinmesh_wireguard::{Change, DropReason, EndpointPolicy, PeerSettings, PeerState, PresharedKey};

#[test]
fn packets_that_waited_for_the_handshake_arrive_in_order() {
    let mut world = World::new();
    for number in 0..5 {
        assert_eq!(world.a.seal(&packet(number), world.now), None);
    }
    assert_eq!(world.a.peer.state(world.now), PeerState::Connecting);
    let (_, at_b) = world.deliver();
    assert_eq!(at_b, (0..5).map(packet).collect::<Vec<_>>());
    assert_eq!(world.a.changes, [Change::Up(address(2))]);
    assert_eq!(world.b.changes, [Change::Up(address(1))]);
    assert_eq!(world.b.peer.received().packets, 5);
    assert_eq!(world.a.peer.sent().packets, 5);
    world.b.seal(&packet(9), world.now);
    assert_eq!(world.deliver().0, [packet(9)]);
}

#[test]
fn both_may_begin_at_once() {
    let mut world = World::new();
    world.a.seal(&packet(1), world.now);
    world.b.seal(&packet(2), world.now);
    assert_eq!(world.deliver(), (vec![packet(2)], vec![packet(1)]));
}

#[test]
fn no_more_packets_wait_than_may() {
    let mut world = World::new();
    let dropped = (0..300).filter_map(|number| world.a.seal(&packet(number), world.now)).collect::<Vec<_>>();
    assert_eq!(dropped, [DropReason::QueueFull; 300 - 256]);
    assert_eq!(world.deliver().1.len(), 256);
}

#[test]
fn a_peer_without_any_address_takes_nothing() {
    let mut world = World::with(PeerSettings::default(), PeerSettings::default());
    assert_eq!(world.a.seal(&packet(0), world.now), Some(DropReason::NoEndpoint));
    world.a.tick(world.now);
    world.a.network_changed(world.now);
    assert!(world.a.outbox.is_empty());
}

#[test]
fn the_first_copy_of_a_handshake_decides_where_the_peer_is() {
    let candidates = vec![address(7), address(2), address(8)];
    let mut world =
        World::with(PeerSettings { candidates, ..PeerSettings::default() }, PeerSettings::default());
    world.a.seal(&packet(0), world.now);
    let copies: Vec<_> = world.a.outbox.drain(..).collect();
    assert_eq!(copies.iter().map(|copy| copy.to).collect::<Vec<_>>(), [address(7), address(2), address(8)]);
    // A translator on each path shows the initiator under different addresses.
    let seen: Vec<_> = (21u8..)
        .zip(&copies)
        .map(|(at, copy)| world.b.receive(address(at), &copy.bytes, world.now))
        .collect();
    let replayed = Seen::Dropped(DropReason::ReplayedHandshake);
    assert_eq!(seen, [Seen::Accepted, replayed.clone(), replayed]);
    assert_eq!(world.b.peer.endpoint(), Some(address(21)));
    let response = world.b.outbox.pop_front().unwrap();
    assert_eq!(response.to, address(21));
    world.a.receive(address(2), &response.bytes, world.now);
    assert_eq!(world.a.peer.endpoint(), Some(address(2)));
}

#[test]
fn the_endpoint_follows_the_peer() {
    let mut world = World::up();
    world.a.address = address(30);
    world.a.network_changed(world.now);
    world.deliver();
    assert_eq!(world.b.changes, [Change::Moved(address(30))]);
    world.b.seal(&packet(1), world.now);
    assert_eq!(world.deliver().0, [packet(1)]);
}

#[test]
fn a_path_that_is_found_while_a_handshake_has_no_answer_is_tried_at_once() {
    let managed = PeerSettings { endpoint: EndpointPolicy::Managed, ..PeerSettings::default() };
    let of_b = PeerSettings { candidates: vec![address(7)], ..managed.clone() };
    let mut world = World::with(of_b, managed);
    world.a.seal(&packet(0), world.now);
    world.deliver();
    world.pass(Duration::from_millis(200));
    world.a.peer.set_path(Some(address(2)));
    let now = world.now;
    world.a.tick(now);
    world.deliver();
    assert_eq!(world.a.changes, [Change::Up(address(2))]);
}

#[test]
fn a_managed_peer_meets_at_all_candidates_and_then_keeps_to_its_path() {
    let managed = |at: &[u8]| PeerSettings {
        candidates: at.iter().copied().map(address).collect(),
        endpoint: EndpointPolicy::Managed,
        ..PeerSettings::default()
    };
    let mut world = World::with(managed(&[7, 2]), managed(&[]));
    world.a.peer.set_path(Some(address(8)));
    world.a.seal(&packet(0), world.now);
    let tried: Vec<_> = world.a.outbox.iter().map(|copy| copy.to).collect();
    assert_eq!(tried, [address(8), address(7), address(2)], "no session: everywhere");
    assert_eq!(
        world.deliver().1,
        [] as [Vec<u8>; 0],
        "the session's first data went to the path, which is dead"
    );
    assert_eq!(world.a.changes, [Change::Up(address(2))]);
    world.a.peer.set_path(Some(address(2)));
    world.a.seal(&packet(1), world.now);
    assert_eq!(world.deliver().1, [packet(1)]);

    world.b.peer.set_path(Some(address(1)));
    world.b.changes.clear();
    world.a.address = address(30);
    world.a.seal(&packet(2), world.now);
    assert_eq!(world.deliver().1, [packet(2)]);
    assert_eq!(
        (&world.b.changes[..], world.b.peer.endpoint()),
        (&[Change::Heard(address(30))][..], Some(address(1)))
    );
}

#[test]
fn a_replayed_packet_from_elsewhere_neither_passes_nor_moves_the_endpoint() {
    let mut world = World::up();
    world.a.seal(&packet(1), world.now);
    let datagram = world.a.outbox.pop_front().unwrap();
    assert_eq!(world.b.receive(datagram.from, &datagram.bytes, world.now), Seen::Packet(packet(1)));
    let again = world.b.receive(address(66), &datagram.bytes, world.now);
    assert_eq!(again, Seen::Dropped(DropReason::ReplayedPacket));
    assert_eq!(world.b.peer.endpoint(), Some(address(1)));
}

#[test]
fn every_truncation_of_every_message_is_refused() {
    let mut world = World::new();
    let mut messages = 0;
    let now = world.now;
    world.a.seal(&packet(0), now);
    loop {
        let (from_a, datagram) = match (world.a.outbox.pop_front(), world.b.outbox.pop_front()) {
            (Some(datagram), _) => (true, datagram),
            (None, Some(datagram)) => (false, datagram),
            (None, None) => break,
        };
        let receiver = if from_a { &mut world.b } else { &mut world.a };
        for len in 0..datagram.bytes.len() {
            let seen = receiver.receive(datagram.from, &datagram.bytes[..len], now);
            assert!(matches!(seen, Seen::Dropped(_)), "{len} bytes of {:?}", datagram.bytes);
        }
        assert!(!matches!(receiver.receive(datagram.from, &datagram.bytes, now), Seen::Dropped(_)));
        messages += 1;
    }
    // Initiation, response, keepalive, packet.
    assert_eq!(messages, 4);
}

#[test]
fn under_load_a_node_asks_for_a_cookie_and_lets_in_who_has_it() {
    let mut world = World::new();
    world.a.seal(&packet(0), world.now);
    let initiation = world.a.outbox.pop_front().unwrap();
    let mut flood = std::iter::repeat_with(|| world.b.receive(address(1), &initiation.bytes, world.now));
    assert_eq!(flood.next(), Some(Seen::Accepted));
    assert!(flood.take(10_000).any(|seen| seen == Seen::Dropped(DropReason::UnderLoad)));
    let cookie = world.b.outbox.pop_back().unwrap();
    assert_eq!(cookie.bytes.len(), 64);
    assert_eq!(world.a.receive(cookie.from, &cookie.bytes, world.now), Seen::Accepted);
    assert_eq!(world.a.peer.endpoint(), None, "a cookie proves no address");

    world.b.outbox.clear();
    world.pass(Duration::from_millis(1));
    world.a.network_changed(world.now);
    assert_eq!(world.deliver().1, [packet(0)]);
}

#[test]
fn keys_that_differ_give_no_session() {
    let with = |key: Option<u8>, at| PeerSettings {
        preshared_key: key.map(|byte| PresharedKey::from_bytes([byte; 32])),
        candidates: vec![address(at)],
        endpoint: EndpointPolicy::Follow,
        keepalive: None,
    };
    for (of_b, of_a, passes) in [(Some(1), Some(1), true), (Some(1), Some(2), false), (Some(1), None, false)]
    {
        let mut world = World::with(with(of_b, 2), with(of_a, 1));
        world.a.seal(&packet(0), world.now);
        assert_eq!(!world.deliver().1.is_empty(), passes);
    }
}

#[test]
fn an_update_keeps_the_session_and_a_new_preshared_key_renews_it() {
    let mut world = World::up();
    let mut settings = PeerSettings { candidates: vec![address(40)], ..PeerSettings::default() };
    world.a.peer.update(settings.clone(), world.now);
    world.a.seal(&packet(1), world.now);
    assert_eq!(world.deliver().1, [packet(1)]);

    settings.preshared_key = Some(PresharedKey::from_bytes([7; 32]));
    world.pass(Duration::from_millis(1));
    for node in [&mut world.a, &mut world.b] {
        node.peer.update(settings.clone(), world.now);
        node.changes.clear();
    }
    world.a.tick(world.now);
    world.deliver();
    assert_eq!(world.a.changes, [Change::Up(address(2))]);
    world.b.seal(&packet(2), world.now);
    assert_eq!(world.deliver().0, [packet(2)]);
}

#[test]
fn handshakes_from_strangers_are_told_apart() {
    let mut world = World::up();
    let mut stranger = World::new();
    stranger.a.seal(&packet(0), stranger.now);
    let theirs = stranger.a.outbox.pop_front().unwrap();
    let seen = world.b.receive(theirs.from, &theirs.bytes, world.now);
    assert_eq!(seen, Seen::Dropped(DropReason::InvalidMac), "it was meant for another key");
    let unsolicited = {
        stranger.b.receive(theirs.from, &theirs.bytes, stranger.now);
        stranger.b.outbox.pop_front().unwrap()
    };
    assert_eq!(stranger.a.receive(address(2), &unsolicited.bytes, stranger.now), Seen::Accepted);
    let again = stranger.a.receive(address(2), &unsolicited.bytes, stranger.now);
    assert_eq!(again, Seen::Dropped(DropReason::UnexpectedHandshake));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn disorder_loses_and_repeats_nothing_that_arrives(
        fates in prop::collection::vec((0usize..3, 0u16..200), 1..150),
    ) {
        let mut world = World::up();
        let mut arrivals = Vec::new();
        let mut expected = Vec::new();
        for (number, (copies, delay)) in (1u16..).zip(&fates) {
            world.a.seal(&packet(number), world.now);
            let datagram = world.a.outbox.pop_front().unwrap();
            for copy in 0..*copies {
                arrivals.push((number + delay * u16::try_from(copy + 1).unwrap(), datagram.clone()));
            }
            if *copies > 0 {
                expected.push(packet(number));
            }
        }
        arrivals.sort_by_key(|(at, _)| *at);
        let mut received: Vec<_> = arrivals
            .into_iter()
            .filter_map(|(_, datagram)| match world.b.receive(datagram.from, &datagram.bytes, world.now) {
                Seen::Packet(packet) => Some(packet),
                Seen::Accepted | Seen::Dropped(_) => None,
            })
            .collect();
        received.sort();
        prop_assert_eq!(received, expected);
    }

    #[test]
    fn noise_is_dropped_and_harms_nothing(
        noise in prop::collection::vec(
            (prop_oneof![0u8..6, any::<u8>()], any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 1..20,
        ),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..20),
    ) {
        let mut world = World::up();
        for (kind, plausible, mut bytes) in noise {
            if plausible && bytes.len() >= 12 {
                bytes[..4].copy_from_slice(&[kind, 0, 0, 0]);
            }
            prop_assert!(matches!(world.b.receive(address(9), &bytes, world.now), Seen::Dropped(_)));
        }
        world.a.seal(&packet(1), world.now);
        let datagram = world.a.outbox.pop_front().unwrap();
        for (at, flip) in flips {
            let mut bytes = datagram.bytes.clone();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(matches!(world.b.receive(address(9), &bytes, world.now), Seen::Dropped(_)));
        }
        let seen = world.b.receive(datagram.from, &datagram.bytes, world.now);
        prop_assert_eq!(seen, Seen::Packet(packet(1)));
        prop_assert_eq!(world.b.peer.endpoint(), Some(address(1)));
    }
}
