//! What goes through.

use turn_types::attribute::Data;
use turn_types::message::{DATA, SEND};

use super::*;

#[test]
fn two_nodes_of_one_relay_reach_each_other_and_no_socket_is_between() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["192.0.2.1"]);
    let beta = Client::new(&mut world, "203.0.113.1:4500", 2, &["192.0.2.1"]);
    let (a, b) = (alpha.allocate(&mut world), beta.allocate(&mut world));
    assert_eq!((a.ip(), b.ip()), (RELAY, RELAY));
    alpha.bind(&mut world, 0x4001, b).unwrap();
    // Beta has given no permission yet.
    assert_eq!(world.sends(alpha.address, &channel_data(0x4001, b"hello")), None);
    assert_eq!(world.relay.counters().not_permitted, 1);
    beta.bind(&mut world, 0x4007, a).unwrap();
    let (from, to, bytes) = world.sends(alpha.address, &channel_data(0x4001, b"hello")).unwrap();
    assert_eq!((from, to, bytes), (None, beta.address, channel_data(0x4007, b"hello")));
    let (_, to, bytes) = world.sends(beta.address, &channel_data(0x4007, b"")).unwrap();
    assert_eq!((to, bytes), (alpha.address, channel_data(0x4001, b"")));
    assert_eq!((world.relay.counters().forwarded, world.relay.counters().forwarded_bytes), (2, 5));
}

#[test]
fn indications_carry_data_where_no_channel_is_bound() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["203.0.113.9:51820"]);
    let relayed = alpha.allocate(&mut world);
    let peer = socket("203.0.113.9:51820");
    let mut send = Message::builder_indication(SEND, MessageWriteVec::new());
    send.add_attribute(&XorPeerAddress::new(peer, send.transaction_id())).unwrap();
    send.add_attribute(&Data::new(b"sealed")).unwrap();
    let send = send.finish();
    assert_eq!(world.sends(alpha.address, &send), None);
    alpha.permit(&mut world, "203.0.113.9:51820").unwrap();
    let out = (Some(relayed), peer, b"sealed".to_vec());
    assert_eq!(world.sends(alpha.address, &send), Some(out));

    let (to, bytes) = world.arrives(relayed, peer, b"answer").unwrap();
    assert_eq!(to, alpha.address);
    let message = Message::from_bytes(&bytes).unwrap();
    assert!(message.has_method(DATA));
    assert_eq!(message.attribute::<Data<'_>>().unwrap().data(), b"answer");
    assert_eq!(message.attribute::<XorPeerAddress>().unwrap().addr(message.transaction_id()), peer);
    // Another port of that host is not in the credential, though the permission knows no ports.
    assert_eq!(world.arrives(relayed, socket("203.0.113.9:53"), b"answer"), None);
}

#[test]
fn permissions_channels_and_allocations_end_unless_they_are_refreshed() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["203.0.113.9"]);
    let relayed = alpha.allocate(&mut world);
    let peer = socket("203.0.113.9:50000");
    alpha.bind(&mut world, 0x4000, peer).unwrap();
    let passes = |world: &mut World| world.sends(alpha.address, &channel_data(0x4000, b"x")).is_some();
    assert!(passes(&mut world));
    world.pass(Duration::from_secs(301));
    assert!(!passes(&mut world), "the permission has ended");
    alpha.permit(&mut world, "203.0.113.9:0").unwrap();
    assert!(passes(&mut world), "the channel has not");
    world.pass(Duration::from_secs(298));
    assert_eq!(world.relay.len(), 1);
    world.pass(Duration::from_secs(2));
    assert!(world.relay.is_empty() && world.ports.open.is_empty());
    assert_eq!(world.arrives(relayed, peer, b"late"), None);
    assert_eq!(alpha.refresh(&mut world, 600), Err(437));
}

#[test]
fn an_allocation_that_ends_between_two_datagrams_of_one_instant_carries_the_first_alone() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["203.0.113.9"]);
    let relayed = alpha.allocate(&mut world);
    let peer = socket("203.0.113.9:50000");
    alpha.bind(&mut world, 0x4000, peer).unwrap();
    assert!(world.sends(alpha.address, &channel_data(0x4000, b"first")).is_some());
    assert_eq!(alpha.refresh(&mut world, 0), Ok(0));
    assert_eq!(world.sends(alpha.address, &channel_data(0x4000, b"second")), None);
    assert_eq!(world.arrives(relayed, peer, b"second"), None);
}

#[test]
fn a_lifetime_is_bounded_by_the_rules_and_by_the_credential() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["192.0.2.1"]);
    alpha.allocate(&mut world);
    assert_eq!(alpha.refresh(&mut world, 1), Ok(600));
    assert_eq!(alpha.refresh(&mut world, u32::MAX), Ok(3600));
    world.pass(Duration::from_secs(3500));
    assert_eq!(alpha.refresh(&mut world, 3600), Ok(3600));
    world.pass(Duration::from_secs(3500));
    // The nonce of the start is too old by now, and the credential has 200 s left.
    assert_eq!(alpha.refresh(&mut world, 3600), Err(438));
    let again = Client::proving(
        &mut world,
        "198.51.100.1:4500",
        &alpha.username,
        &secret().password(&alpha.username),
    );
    assert_eq!(again.refresh(&mut world, 3600), Ok(200));
    assert_eq!(again.refresh(&mut world, 0), Ok(0));
    assert!(world.relay.is_empty() && world.ports.open.is_empty());
}

#[test]
fn a_newer_credential_of_the_node_takes_over_its_allocation() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["203.0.113.9"]);
    let relayed = alpha.allocate(&mut world);
    alpha.bind(&mut world, 0x4000, socket("203.0.113.9:50000")).unwrap();
    world.pass(Duration::from_mins(1));
    // The peer's relay is gone from it.
    let newer = Client::new(&mut world, "198.51.100.1:4500", 1, &["203.0.113.10"]);
    assert_eq!(newer.refresh(&mut world, 3600), Ok(3600));
    assert_eq!(world.sends(alpha.address, &channel_data(0x4000, b"x")), None);
    assert_eq!(world.arrives(relayed, socket("203.0.113.9:50000"), b"x"), None);
    assert_eq!(newer.permit(&mut world, "203.0.113.9:0"), Err(403));
    newer.permit(&mut world, "203.0.113.10:0").unwrap();
}

#[test]
fn an_allocation_whose_answer_was_lost_is_told_again() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &[]);
    let request = alpha.request(ALLOCATE, &[&RequestedTransport::new(RequestedTransport::UDP)]);
    let first = world.answer(alpha.address, &request).unwrap().unwrap();
    assert_eq!(world.answer(alpha.address, &request), Some(Ok(first)));
    assert_eq!(world.relay.len(), 1);
    assert_eq!(alpha.try_allocate(&mut world), Err(437));
}
