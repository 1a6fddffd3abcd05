//! How a node comes to its home relay.

use super::*;

#[test]
fn the_nearest_relay_is_home_after_a_moment() {
    let mut world = World::by_udp(&[(FAR, 40), (NEAR, 10)]);
    let took = world.until_home(NEAR, Transport::Udp).unwrap();
    // Two round trips for the allocation, after the farther relay has had its time to answer.
    assert!(took <= Duration::from_millis(160), "{took:?}");
    let home = world.client.home().unwrap();
    assert_eq!((home.relayed, home.round_trip), (socket("192.0.2.1:50000"), Some(Duration::from_millis(20))));
    assert!(world.relay(FAR).allocations.is_empty());
}

#[test]
fn a_far_relay_does_not_hold_up_a_near_one() {
    let mut world = World::by_udp(&[(NEAR, 5), (FAR, 900)]);
    let took = world.until_home(NEAR, Transport::Udp).unwrap();
    assert!(took <= Duration::from_millis(300), "{took:?}");
}

#[test]
fn without_relays_nothing_is_sent() {
    let mut world = World::by_udp(&[]);
    world.seconds(100);
    assert_eq!((world.sent, world.client.home(), world.client.poll_timeout(world.now)), (0, None, None));
}

#[test]
fn where_no_udp_passes_home_is_a_relay_by_tls_within_three_seconds() {
    let mut world = World::by_both(NEAR);
    world.udp_passes = false;
    let took = world.until_home(NEAR, Transport::Tls).unwrap();
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_relay_by_tls_alone_is_not_waited_for() {
    let mut world = World::new(&[(NEAR, 10)]);
    world.client.set_servers([server(NEAR, Transport::Tls)], world.now);
    let took = world.until_home(NEAR, Transport::Tls).unwrap();
    assert_eq!(took, Duration::from_millis(40));
}

#[test]
fn an_ipv6_relay_is_asked_for_an_ipv6_address() {
    let mut world = World::by_udp(&[("[2001:db8::1]:3478", 10)]);
    world.client.set_peers([socket("[2001:db8::1]:51000"), socket(PEER)].into(), world.now);
    world.until_home("[2001:db8::1]:3478", Transport::Udp).unwrap();
    world.seconds(1);
    assert_eq!(world.client.home().unwrap().relayed, socket("[2001:db8::1]:50000"));
    assert_eq!(world.carried.keys().collect::<Vec<_>>(), [&socket("[2001:db8::1]:51000")]);
}

#[test]
fn more_relays_than_a_network_has_are_not_used() {
    let addresses: Vec<_> = (1..=40).map(|last| format!("192.0.2.{last}:3478")).collect();
    let relays: Vec<_> = addresses.iter().map(|address| (&**address, 10)).collect();
    let mut world = World::by_udp(&relays);
    world.seconds(1);
    assert_eq!(world.relays.values().filter(|relay| !relay.asked.is_empty()).count(), MAX_RELAYS);
}

#[test]
fn a_loss_of_every_third_datagram_only_delays() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.losses = vec![true, false, false];
    let took = world.until_home(NEAR, Transport::Udp).unwrap();
    assert!(took < Duration::from_secs(2), "{took:?}");
}
