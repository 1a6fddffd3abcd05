//! Permissions, channels, and what comes in.

use super::*;

const CREATE_PERMISSION: u16 = 8;
const CHANNEL_BIND: u16 = 9;

fn carrier(world: &World) -> Option<Carrier> {
    world.carried.get(&socket(PEER)).copied()
}

#[test]
fn a_listed_peer_is_reached_at_once_and_gets_a_channel_when_it_is_used() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.client.set_peers([socket(PEER)].into(), world.now);
    assert_eq!(carrier(&world), None);
    world.until_home(NEAR, Transport::Udp).unwrap();
    assert_eq!(carrier(&world), Some(Carrier::Indication { server: socket(NEAR) }));
    world.client.set_in_use([socket(PEER)].into(), world.now);
    world.seconds(1);
    assert_eq!(carrier(&world), Some(Carrier::Channel { server: socket(NEAR), number: 0x4000 }));
    assert_eq!(world.relay(NEAR).only().channels[&0x4000], socket(PEER));
    world.client.set_peers(BTreeSet::new(), world.now);
    world.seconds(1);
    assert_eq!(carrier(&world), None);
}

#[test]
fn all_relays_may_send_from_the_first_moment_wherever_their_peers_are() {
    let mut world = World::by_udp(&[(NEAR, 10), (FAR, 30)]);
    world.client.set_peers([socket("198.51.100.7:50000")].into(), world.now);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.pass(Duration::from_millis(20));
    let permitted: Vec<_> = world.relay(NEAR).only().permissions.iter().map(ToString::to_string).collect();
    assert_eq!(permitted, ["192.0.2.1", "192.0.2.2", "198.51.100.7"]);
}

#[test]
fn permissions_and_channels_are_renewed_before_they_end() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(3600);
    for (method, longest) in [(CREATE_PERMISSION, 300), (CHANNEL_BIND, 300)] {
        let asked = world.relay(NEAR).asked.clone();
        let times: Vec<_> = asked.iter().filter(|(asked, _)| *asked == method).map(|(_, at)| *at).collect();
        assert!(times.len() >= 12);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] < Duration::from_secs(longest)));
    }
    assert_eq!(world.relay(NEAR).only().channels.len(), 1, "one number for one peer");
}

#[test]
fn a_channel_that_is_used_no_more_ends_and_its_number_stays_its_peers() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(1);
    let before = carrier(&world);
    assert!(matches!(before, Some(Carrier::Channel { .. })));
    world.client.set_in_use(BTreeSet::new(), world.now);
    world.seconds(600);
    assert_eq!(carrier(&world), Some(Carrier::Indication { server: socket(NEAR) }));
    // The model refuses a number with another peer.
    world.client.set_in_use([socket("192.0.2.1:51001")].into(), world.now);
    world.seconds(1);
    world.client.set_in_use([socket(PEER)].into(), world.now);
    world.seconds(1);
    assert_eq!(carrier(&world), before);
}

#[test]
fn by_a_stream_no_channel_is_bound() {
    let mut world = World::new(&[(NEAR, 10)]);
    world.client.set_servers([server(NEAR, Transport::Tls)], world.now);
    world.use_peer(PEER);
    world.until_home(NEAR, Transport::Tls).unwrap();
    world.seconds(600);
    assert_eq!(carrier(&world), Some(Carrier::Stream { server: socket(NEAR) }));
    assert_eq!(world.relay(NEAR).count(CHANNEL_BIND), 0);
}

#[test]
fn more_peers_than_channels_are_reached_all_the_same() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    let peers: BTreeSet<_> = (0..400).map(|n| SocketAddr::from(([192, 0, 2, 1], 51_000 + n))).collect();
    world.client.set_peers(peers.clone(), world.now);
    world.client.set_in_use(peers, world.now);
    world.until_home(NEAR, Transport::Udp).unwrap();
    world.seconds(2);
    let by_channel = world.carried.values().filter(|carrier| matches!(carrier, Carrier::Channel { .. }));
    assert_eq!((world.carried.len(), by_channel.count()), (400, 250));
}

#[test]
fn who_is_heard_before_the_map_lists_it_is_answered_the_same_way() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.until_home(NEAR, Transport::Udp).unwrap();
    let data = Relay::data(socket(PEER), b"hello");
    let received = world.client.handle_datagram(socket(NEAR), &data, world.now);
    assert_eq!(received, Received::Data { from: socket(PEER), payload: b"hello" });
    world.seconds(1);
    assert!(carrier(&world).is_some());
    world.seconds(400);
    assert_eq!(carrier(&world), None, "not for ever");
}

#[test]
fn a_relay_cannot_make_the_node_remember_peers_without_end() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.until_home(NEAR, Transport::Udp).unwrap();
    for port in 1..1000 {
        let data = Relay::data(SocketAddr::from(([192, 0, 2, 1], port)), b"x");
        world.client.handle_datagram(socket(NEAR), &data, world.now);
    }
    world.seconds(1);
    assert_eq!(world.carried.len(), 64);
}

#[test]
fn data_from_others_than_the_relay_or_from_an_address_without_permission_is_no_data() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.until_home(NEAR, Transport::Udp).unwrap();
    let data = Relay::data(socket(PEER), b"hello");
    let mut hear = |from: &str, data: &[u8]| {
        matches!(world.client.handle_datagram(socket(from), data, world.now), Received::Data { .. })
    };
    assert!(!hear("198.51.100.66:3478", &data));
    assert!(!hear("192.0.2.1:3479", &data));
    assert!(!hear(NEAR, &Relay::data(socket("10.1.2.3:80"), b"hello")));
    assert!(hear("[::ffff:192.0.2.1]:3478", &data));
}

#[test]
fn a_binding_that_another_client_asked_for_is_left_to_it() {
    let mut world = World::by_udp(&[(NEAR, 10)]);
    world.until_home(NEAR, Transport::Udp).unwrap();
    let request = message_request();
    let (node, now) = (world.node, world.now);
    let answer = world.relay(NEAR).answer((node, Transport::Udp), &request, now).unwrap();
    assert_eq!(world.client.handle_datagram(socket(NEAR), &answer, now), Received::Foreign);
}

fn message_request() -> Vec<u8> {
    crate::message::request(7.into())
}
