//! Whatever the network does.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Udp(bool),
    Serves(bool, bool),
    Forget(bool),
    Nonce(bool),
    Moved(u16),
    Use(bool),
    Loss(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..40_000_u64).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Udp),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(near, serves)| Step::Serves(near, serves)),
        1 => any::<bool>().prop_map(Step::Forget),
        1 => any::<bool>().prop_map(Step::Nonce),
        1 => (1024..65_535_u16).prop_map(Step::Moved),
        1 => any::<bool>().prop_map(Step::Use),
        1 => (0..4_u8).prop_map(Step::Loss),
    ]
}

fn world() -> World {
    let mut world = World::new(&[(NEAR, 10), (FAR, 30)]);
    let all = [NEAR, FAR]
        .into_iter()
        .flat_map(|address| [Transport::Udp, Transport::Tls].map(|transport| server(address, transport)));
    world.client.set_servers(all.collect::<Vec<_>>(), world.now);
    world.client.set_peers([socket(PEER)].into(), world.now);
    world
}

fn take(world: &mut World, step: &Step) {
    let relay = |near| if near { NEAR } else { FAR };
    match *step {
        Step::Pass(millis) => world.pass(Duration::from_millis(millis)),
        Step::Udp(passes) => world.udp_passes = passes,
        Step::Serves(near, serves) => {
            world.relay(relay(near)).serves = serves;
            if !serves && world.streams.remove(&socket(relay(near))) {
                world.client.handle_disconnected(socket(relay(near)), world.now);
            }
        }
        Step::Forget(near) => world.relay(relay(near)).allocations.clear(),
        Step::Nonce(near) => world.relay(relay(near)).nonce += 1,
        Step::Moved(port) => {
            world.node.set_port(port);
            world.client.network_changed(world.now);
        }
        Step::Use(used) => {
            let peers = if used { [socket(PEER)].into() } else { BTreeSet::new() };
            world.client.set_in_use(peers, world.now);
        }
        Step::Loss(every) => {
            world.losses = vec![false; usize::from(every) + 4];
            if every > 0 {
                world.losses[0] = true;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// While a relay lives and something passes, a minute of quiet is enough to have a home that answers, and to reach
    /// the peer by it.
    #[test]
    fn there_is_a_home_wherever_there_can_be_one(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = world();
        for step in &steps {
            take(&mut world, step);
        }
        world.losses = vec![false];
        world.relay(NEAR).serves = true;
        world.relay(FAR).serves = true;
        // A relay may rest for five minutes.
        let found = world.until(Duration::from_mins(6), |world| {
            world.client.home().is_some_and(|home| home.answers) && world.carried.contains_key(&socket(PEER))
        });
        prop_assert!(found.is_some(), "{:?}", world.troubles());
        prop_assert!(world.relays.values().all(|relay| relay.allocations.len() <= 40));
    }

    /// A relay, or somebody in its place, can send anything.
    #[test]
    fn garbage_does_no_harm(
        damaged in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut in 0..200_usize,
    ) {
        let mut world = world();
        let mut random = fastrand::Rng::with_seed(u64::try_from(cut).unwrap());
        for _ in 0..40 {
            world.pass(Duration::from_millis(random.u64(1..500)));
            let flights: Vec<_> = world.flights.iter().map(|flight| flight.bytes.clone()).collect();
            for mut bytes in flights {
                for (place, byte) in &damaged {
                    let place = place.index(bytes.len());
                    bytes[place] = *byte;
                }
                bytes.truncate(bytes.len().saturating_sub(cut % 8));
                world.client.handle_datagram(socket(NEAR), &bytes, world.now);
                world.client.handle_message(socket(NEAR), &bytes, world.now);
            }
        }
        prop_assert!(world.until_home(NEAR, Transport::Udp).is_some());
    }
}
