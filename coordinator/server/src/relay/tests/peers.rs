//! A relay beside the coordinator asks the map.

use super::*;

/// A map in which these are peers of each other, that somebody else changes.
#[derive(Clone, Default)]
struct Map(Arc<Mutex<BTreeSet<u64>>>);

impl Map {
    fn of(nodes: &[u64]) -> Self {
        Self(Arc::new(Mutex::new(nodes.iter().copied().collect())))
    }

    fn remove(&self, node: u64) {
        self.0.lock().unwrap().remove(&node);
    }
}

impl Peering for Map {
    fn has(&self, node: NodeId) -> bool {
        self.0.lock().unwrap().contains(&node.0)
    }

    fn are_peers(&self, one: NodeId, other: NodeId) -> bool {
        // Seven sees nobody.
        self.has(one) && self.has(other) && one.0 != 7 && other.0 != 7
    }
}

fn world(map: &Map) -> World {
    let mut world = World::new();
    world.relay.peers = peering::Peers::new(Some(Box::new(map.clone())), world.start);
    world
}

/// Two nodes that have done all that is theirs to do.
fn pair(world: &mut World, [one, other]: [u64; 2]) -> [Client; 2] {
    let clients =
        [one, other].map(|node| Client::new(world, &format!("198.51.100.{node}:4500"), node, &["192.0.2.1"]));
    let relayed = [clients[0].allocate(world), clients[1].allocate(world)];
    clients[0].bind(world, 0x4000, relayed[1]).unwrap();
    clients[1].bind(world, 0x4000, relayed[0]).unwrap();
    clients
}

fn passes(world: &mut World, from: &Client) -> bool {
    world.sends(from.address, &channel_data(0x4000, b"sealed")).is_some()
}

#[test]
fn peers_reach_each_other_and_nodes_that_are_no_peers_do_not() {
    let mut world = world(&Map::of(&[1, 2, 3, 7]));
    let [alpha, beta] = pair(&mut world, [1, 2]);
    assert!(passes(&mut world, &alpha) && passes(&mut world, &beta));
    let [gamma, lonely] = pair(&mut world, [3, 7]);
    assert!(!passes(&mut world, &gamma) && !passes(&mut world, &lonely));
    assert_eq!(world.relay.counters().not_permitted, 2);
}

#[test]
fn a_removed_node_is_cut_off_within_a_second_and_cannot_come_back() {
    let map = Map::of(&[1, 2]);
    let mut world = world(&map);
    let [alpha, beta] = pair(&mut world, [1, 2]);
    assert!(passes(&mut world, &alpha));
    map.remove(2);
    world.now += Duration::from_secs(1);
    assert!(!passes(&mut world, &alpha) && !passes(&mut world, &beta));
    world.pass(Duration::ZERO);
    assert_eq!(world.relay.len(), 1, "its allocation has ended");
    assert_eq!(world.ports.open.len(), 1);
    assert_eq!(beta.try_allocate(&mut world), Err(403));
    assert_eq!(alpha.refresh(&mut world, 600), Ok(600));
}

#[test]
fn a_stranger_with_a_credential_of_a_node_that_never_was_gets_no_port() {
    let mut world = world(&Map::of(&[1]));
    let stranger = Client::new(&mut world, "198.51.100.9:4500", 9, &["192.0.2.1"]);
    assert_eq!(stranger.try_allocate(&mut world), Err(403));
    assert!(world.relay.is_empty() && world.ports.open.is_empty());
    assert_eq!(world.relay.counters().forbidden, 1);
}
