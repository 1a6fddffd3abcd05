//! Much of everything.

use proptest::prelude::*;

use super::*;

#[test]
fn strangers_leave_nothing_behind_and_get_few_answers() {
    let mut world = World::new();
    let request = Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish();
    let one = (0..10_000).filter(|_| world.sends(socket("198.51.100.1:9"), &request).is_some()).count();
    assert_eq!(one, 100);
    let mut answered = 0_usize;
    for port in 1..u16::MAX {
        let from = SocketAddr::from(([203, 0, 113, port.to_be_bytes()[1]], port));
        answered += usize::from(world.sends(from, &request).is_some());
    }
    assert!(answered <= 256 * 100, "{answered}");
    assert!(world.relay.is_empty() && world.relay.usages.is_empty());
    // A node that is known is not silenced by it.
    world.pass(Duration::from_secs(1));
    Client::new(&mut world, "198.51.100.7:4500", 1, &[]).allocate(&mut world);
}

#[test]
fn a_node_and_all_nodes_have_so_many_ports_and_no_more() {
    let mut world = World::new();
    let mut allocate = |node: u64, port: u16| {
        let client = Client::new(&mut world, &format!("198.51.100.{node}:{port}"), node, &[]);
        client.try_allocate(&mut world)
    };
    for node in 1..=4 {
        assert!(allocate(node, 1).is_ok() && allocate(node, 2).is_ok());
        assert_eq!(allocate(node, 3), Err(486));
    }
    assert_eq!(allocate(5, 1), Err(508));
    assert_eq!((world.relay.len(), world.ports.open.len()), (8, 8));
    assert_eq!(world.relay.counters().over_quota, 5);
}

#[test]
fn a_node_over_its_rate_loses_packets_and_others_do_not() {
    let mut world = World::new();
    let [alpha, beta] = [1, 2]
        .map(|node| Client::new(&mut world, &format!("198.51.100.{node}:4500"), node, &["203.0.113.9"]));
    for client in [&alpha, &beta] {
        client.allocate(&mut world);
        client.bind(&mut world, 0x4000, socket("203.0.113.9:50000")).unwrap();
    }
    let packet = channel_data(0x4000, &[0; 1000]);
    let mut passed = HashMap::new();
    // Alpha tries 10 MB a second, beta a tenth of it, for two seconds; the rate is 1 MB a second.
    for millisecond in 0..2000 {
        world.now = world.start + Duration::from_millis(millisecond);
        for (client, packets) in [(&alpha, 10), (&beta, 1)] {
            for _ in 0..packets {
                *passed.entry(client.address).or_insert(0) +=
                    i32::from(world.sends(client.address, &packet).is_some());
            }
        }
    }
    assert_eq!(passed[&beta.address], 2000);
    assert!((2000..=2260).contains(&passed[&alpha.address]), "{passed:?}");
    assert!(world.relay.counters().over_rate > 17_000);
}

#[test]
fn one_allocation_has_room_for_so_many_peers_and_no_more() {
    let mut world = World::new();
    let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["203.0.113.9"]);
    alpha.allocate(&mut world);
    let bound = (0..300_u16)
        .map(|n| alpha.bind(&mut world, 0x4000 + n, SocketAddr::new([203, 0, 113, 9].into(), 1 + n)));
    let bound: Vec<_> = bound.collect();
    assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 256);
    assert_eq!(bound.last(), Some(&Err(508)));
}

proptest! {
    #[test]
    fn any_datagram_is_answered_or_dropped(bytes: Vec<u8>, from in 0_usize..4, cut: usize, damage: Vec<(usize, u8)>) {
        let mut world = World::new();
        let alpha = Client::new(&mut world, "198.51.100.1:4500", 1, &["203.0.113.9"]);
        let relayed = alpha.allocate(&mut world);
        alpha.bind(&mut world, 0x4000, socket("203.0.113.9:50000")).unwrap();
        world.sends(alpha.address, &bytes);
        world.arrives(relayed, socket("203.0.113.9:50000"), &bytes);
        let mut datagram = match from {
            0 => alpha.request(REFRESH, &[&Lifetime::new(600)]),
            1 => alpha.request(ALLOCATE, &[&RequestedTransport::new(17)]),
            2 => channel_data(0x4000, &bytes),
            _ => alpha.request(CREATE_PERMISSION, &[]),
        };
        datagram.truncate(datagram.len() - cut % datagram.len().max(1));
        for (at, value) in damage {
            let length = datagram.len().max(1);
            if let Some(byte) = datagram.get_mut(at % length) {
                *byte = value;
            }
        }
        world.sends(alpha.address, &datagram);
        // Whatever came, nothing was opened beyond the credential.
        prop_assert_eq!(alpha.permit(&mut world, "10.0.0.1:0"), Err(403));
    }
}
