//! Relays that die, come back, or are overtaken; networks that change.

use super::*;

/// Methods of RFC 8656 §17.
const REFRESH: u16 = 4;

#[test]
fn a_dead_relay_in_use_is_replaced_within_three_seconds() {
    for offset in [0, 300, 700, 999] {
        let mut world = World::by_udp(&[(NEAR, 10), (FAR, 30)]);
        world.use_peer(PEER);
        world.until_home(NEAR, Transport::Udp).unwrap();
        world.pass(Duration::from_millis(20_000 + offset));
        world.relay(NEAR).serves = false;
        let took = world.until_home(FAR, Transport::Udp).unwrap();
        assert!(took <= Duration::from_secs(3), "{offset}: {took:?}");
        let by_far = match world.carried[&socket(PEER)] {
            Carrier::Indication { server } | Carrier::Channel { server, .. } => server == socket(FAR),
            Carrier::Stream { .. } => false,
        };
        assert!(by_far);
    }
}

#[test]
fn an_idle_relay_costs_four_requests_a_minute() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(1);
    let before = world.relay(NEAR).count(REFRESH);
    world.seconds(60);
    assert_eq!(world.relay(NEAR).count(REFRESH) - before, 4);
}

#[test]
fn a_single_relay_that_falls_silent_is_home_again_when_it_answers() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(5);
    let before = world.client.home().unwrap();
    world.udp_passes = false;
    world.seconds(20);
    assert!(!world.client.home().unwrap().answers);
    assert_eq!(world.troubles(), [Trouble::Silent]);
    world.udp_passes = true;
    let took = world.until_home(NEAR, Transport::Udp).unwrap();
    assert!(took <= Duration::from_millis(5100), "{took:?}");
    assert_eq!(world.client.home().unwrap().relayed, before.relayed, "the allocation stood");
}

#[test]
fn when_udp_is_blocked_home_moves_to_tls_and_back_later() {
    let mut world = World::by_both(NEAR);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(60);
    world.udp_passes = false;
    let took = world.until_home(NEAR, Transport::Tls).unwrap();
    assert!(took <= Duration::from_millis(3500), "{took:?}");
    assert_eq!(world.carried[&socket(PEER)], Carrier::Stream { server: socket(NEAR) });
    world.seconds(30);
    world.udp_passes = true;
    let took = world.until_home(NEAR, Transport::Udp).unwrap();
    assert!(took <= Duration::from_secs(8), "{took:?}");
    assert!(world.streams.contains(&socket(NEAR)), "the former home serves a while");
    world.seconds(31);
    assert!(world.streams.is_empty());
}

#[test]
fn udp_that_comes_and_goes_is_not_followed_each_time() {
    let mut world = World::by_both(NEAR);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Udp).unwrap();
    let mut changes = 0;
    for step in 0..120 {
        world.udp_passes = step % 2 == 0;
        world.seconds(10);
    }
    for event in &world.events {
        changes += usize::from(matches!(event, Event::Home(Some(home)) if home.answers));
    }
    assert!(changes <= 24, "{changes} changes in 20 minutes");
}

#[test]
fn a_stream_that_ends_is_replaced_by_another_relay() {
    let mut world = World::new(&[(NEAR, 10), (FAR, 30)]);
    world.client.set_servers([server(NEAR, Transport::Tls), server(FAR, Transport::Tls)], world.now);
    world.until_home(NEAR, Transport::Tls).unwrap();
    world.relay(NEAR).serves = false;
    world.streams.clear();
    world.client.handle_disconnected(socket(NEAR), world.now);
    let took = world.until_home(FAR, Transport::Tls).unwrap();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(world.troubles(), [Trouble::Disconnected]);
}

#[test]
fn a_stream_over_which_nothing_comes_is_given_up() {
    let mut world = World::new(&[(NEAR, 10), (FAR, 30)]);
    world.client.set_servers([server(NEAR, Transport::Tls), server(FAR, Transport::Tls)], world.now);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Tls).unwrap();
    world.relay(NEAR).serves = false;
    let took = world.until_home(FAR, Transport::Tls).unwrap();
    assert!(took < Duration::from_millis(6500), "{took:?}");
    assert!(!world.streams.contains(&socket(NEAR)));
}

#[test]
fn a_nearer_relay_becomes_home_and_the_former_one_serves_thirty_seconds_more() {
    let mut world = World::by_udp(&[(NEAR, 60), (FAR, 40)]);
    world.until_home(FAR, Transport::Udp).unwrap();
    world.relay(NEAR).delay = Duration::from_millis(5);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(29);
    assert_eq!(world.relay(FAR).allocations.len(), 1);
    let data = Relay::data(socket(PEER), b"late");
    let received = world.client.handle_datagram(socket(FAR), &data, world.now);
    assert_eq!(received, Received::Data { from: socket(PEER), payload: b"late" });
    world.seconds(2);
    assert!(world.relay(FAR).allocations.is_empty(), "it is given back");
}

#[test]
fn another_outer_port_leads_to_another_allocation_at_once() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(5);
    let before = world.client.home().unwrap().relayed;
    world.node = socket("203.0.113.9:61000");
    world.client.network_changed(world.now);
    let took = world.until(Duration::from_secs(5), |world| {
        world.client.home().is_some_and(|home| home.relayed != before)
    });
    assert!(took.unwrap() < Duration::from_millis(100), "{took:?}");
    world.seconds(1);
    assert!(matches!(world.carried[&socket(PEER)], Carrier::Channel { .. }), "{:?}", world.carried);
}

#[test]
fn a_relay_that_is_no_longer_listed_is_left() {
    let mut world = World::by_udp(&[(NEAR, 10), (FAR, 30)]);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.client.set_servers([server(FAR, Transport::Udp)], world.now);
    world.until_home(FAR, Transport::Udp).unwrap();
    assert!(world.relay(NEAR).allocations.is_empty());
}

#[test]
fn at_the_end_everything_is_given_back() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(1);
    world.client.close(world.now);
    world.seconds(1);
    assert!(world.relay(NEAR).allocations.is_empty() && world.carried.is_empty());
    assert_eq!((world.client.home(), world.client.poll_timeout(world.now)), (None, None));
}
