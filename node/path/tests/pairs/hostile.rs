//! What strangers can do: nothing, or little.

use std::net::SocketAddr;

use proptest::prelude::*;
use twinmesh_path::pair::{Handled, MAX_CANDIDATES};

use crate::world::{PEER, World};
use crate::{SECOND, direct, easy};

fn stranger() -> SocketAddr {
    "192.0.2.66:9".parse().unwrap()
}

/// A check of the second node's, as it was on the wire.
fn captured(world: &mut World) -> Vec<u8> {
    world.run(SECOND * 2);
    world.nodes[1].last_check.clone()
}

#[test]
fn what_the_peer_did_not_make_changes_nothing_and_is_not_answered() {
    let mut world = direct(1, [easy(), easy()]);
    let genuine = captured(&mut world);
    for place in 0..genuine.len() {
        let mut forged = genuine.clone();
        forged[place] ^= 1;
        let before = world.nodes[0].pairs.status(PEER, world.now);
        let sent = world.nodes[0].sent;
        let handled = world.inject(0, stranger(), &forged);
        assert!(matches!(handled, Handled::NotOurs | Handled::Refused), "byte {place}: {handled:?}");
        assert_eq!(world.nodes[0].pairs.status(PEER, world.now), before);
        assert_eq!(world.nodes[0].sent, sent);
    }
}

#[test]
fn what_the_node_itself_made_is_not_taken_for_the_peers() {
    let mut world = direct(2, [easy(), easy()]);
    let own = world.nodes[0].last_check.clone();
    assert_eq!(world.inject(0, stranger(), &own), Handled::NotOurs);
}

#[test]
fn an_old_check_from_many_places_costs_little_and_moves_no_path() {
    let mut world = direct(3, [easy(), easy()]);
    let genuine = captured(&mut world);
    assert_eq!(world.inject(0, stranger(), &genuine), Handled::Checked(PEER));
    let (path, told, sent) = (world.nodes[0].path, world.nodes[0].told.len(), world.nodes[0].sent);
    for port in 1..10_000 {
        world.inject(0, SocketAddr::new(stranger().ip(), port), &genuine);
    }
    world.run(SECOND * 3);
    let node = &world.nodes[0];
    assert_eq!((node.path, node.told.len()), (path, told));
    assert!(node.sent - sent < 300, "{} datagrams in three seconds for 10,000", node.sent - sent);
    let known = node.pairs.status(PEER, world.now).unwrap().candidates.len();
    assert!(known <= MAX_CANDIDATES + 4, "{known} candidates");
}

#[test]
fn absurd_addresses_of_a_peer_are_not_tried() {
    let mut world = direct(4, [easy(), easy()]);
    for absurd in ["127.0.0.1:4500", "224.0.0.1:4500", "0.0.0.0:4500", "255.255.255.255:9", "198.51.100.7:0"]
    {
        world.nodes[0].pairs.heard(PEER, absurd.parse().unwrap(), world.now);
        let (sent, check) = (world.nodes[0].sent, world.nodes[1].last_check.clone());
        assert_eq!(world.inject(0, absurd.parse().unwrap(), &check), Handled::Refused);
        assert_eq!(world.nodes[0].sent, sent, "not even an old check is answered there");
        let known = world.nodes[0].pairs.status(PEER, world.now).unwrap().candidates;
        assert!(known.iter().all(|known| known.candidate.address != absurd.parse().unwrap()), "{absurd}");
    }
}

proptest! {
    #[test]
    fn garbage_and_damage_never_panic(
        garbage in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0..120_usize,
        place in 0..120_usize,
        byte in any::<u8>(),
    ) {
        let mut world = direct(5, [easy(), easy()]);
        prop_assert_eq!(world.inject(0, stranger(), &garbage), Handled::NotOurs);
        let mut damaged = captured(&mut world);
        if let Some(damaged) = damaged.get_mut(place) {
            *damaged = byte;
        }
        damaged.truncate(cut);
        world.inject(0, stranger(), &damaged);
    }
}
