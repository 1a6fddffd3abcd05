//! Two nodes and their paths, over networks that delay, lose, block and forget, under a clock of their own.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step of a test is a panic")]

mod hostile;
mod nat;
mod world;

use std::time::Duration;

use nat::Kind;
use twinmesh_path::pair::Why;
use twinmesh_path::{Filtering, Mapping};
use world::{PEER, World};

const MAPPINGS: [Mapping; 4] = [
    Mapping::None,
    Mapping::EndpointIndependent,
    Mapping::AddressDependent,
    Mapping::AddressAndPortDependent,
];
const FILTERS: [Filtering; 3] =
    [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];
const SECOND: Duration = Duration::from_secs(1);

fn easy() -> Kind {
    Kind::new(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent)
}

fn by_destination(kind: Kind) -> bool {
    matches!(kind.mapping, Mapping::AddressDependent | Mapping::AddressAndPortDependent)
}

fn kinds() -> impl Iterator<Item = Kind> {
    MAPPINGS.into_iter().flat_map(|mapping| FILTERS.map(|filtering| Kind::new(mapping, filtering)))
}

/// So many, or as `SEEDS` says: `SEEDS=5000 cargo test --release -p twinmesh-path --test pairs`.
fn seeds(default: u64) -> std::ops::Range<u64> {
    0..std::env::var("SEEDS").ok().map_or(default, |seeds| seeds.parse().unwrap())
}

/// Talking, and by a direct path.
fn direct(seed: u64, kinds: [Kind; 2]) -> World {
    let mut world = World::new(seed, kinds);
    world.talk(true);
    world.run_until(SECOND * 2, World::is_direct).unwrap();
    world.forget_gaps();
    world
}

#[test]
fn a_pair_starts_by_the_relay_and_is_direct_within_a_second_wherever_the_nats_allow_it() {
    for a in kinds() {
        for b in kinds().filter(|b| !by_destination(a) || !by_destination(*b)) {
            for sequential in [false, true] {
                let mut world = World::new(1, [Kind { sequential, ..a }, Kind { sequential, ..b }]);
                assert!(world.is_relayed(), "at once");
                world.needed(0);
                let took = world.run_until(SECOND, World::is_direct);
                let strict = |own: Kind, other: Kind| {
                    by_destination(own) && other.filtering == Filtering::AddressAndPortDependent
                };
                let expected = sequential || !(strict(a, b) || strict(b, a));
                assert_eq!(took.is_some(), expected, "{a:?} {b:?} sequential: {sequential}");
            }
        }
    }
}

#[test]
fn where_both_nats_map_by_destination_the_relay_carries_everything() {
    for b in kinds().filter(|kind| by_destination(*kind)) {
        let a = Kind::new(Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent);
        let mut world = World::new(1, [a, b]);
        world.talk(true);
        world.run(SECOND * 120);
        assert!(world.is_relayed(), "{b:?}");
        assert!(world.nodes.iter().all(|node| node.gap < SECOND && node.told.len() == 1));
    }
}

#[test]
fn without_a_relay_a_direct_path_is_found_if_both_look_and_it_is_kept_open_unused() {
    let lifetime = Duration::from_secs(30);
    let mut world = World::new(3, [easy(), easy()].map(|kind| Kind { lifetime, ..kind }));
    world.set_relay(false);
    assert!(world.nodes.iter().all(|node| node.path.is_none()));
    world.talk(true);
    assert!(world.run_until(SECOND, World::is_direct).is_some());
    world.talk(false);
    world.run(SECOND * 3600);
    assert!(world.is_direct());
    world.talk(true);
    world.forget_gaps();
    world.run(SECOND * 5);
    assert!(world.nodes.iter().all(|node| node.gap < Duration::from_millis(200)), "its mapping is there");
}

#[test]
fn a_direct_path_that_dies_in_use_gives_way_to_the_relay_within_three_seconds_and_comes_back() {
    for seed in seeds(20) {
        let mut world = direct(seed, [easy(), easy()]);
        world.delay = Duration::from_millis(fastrand::Rng::with_seed(seed).u64(1..100));
        world.run(Duration::from_millis(5000 + seed * 10));
        // One direction is enough to make it useless.
        if seed % 2 == 0 {
            world.block(true);
        } else {
            world.blocked = [[true, false]; 2];
        }
        assert!(world.run_until(SECOND * 3, World::is_relayed).is_some(), "seed {seed}");
        world.run(SECOND);
        for node in &world.nodes {
            assert!(node.gap < SECOND * 3, "seed {seed}: nothing came for {:?}", node.gap);
            assert!(node.told.iter().any(|(_, _, why)| *why == Why::Lost));
        }
        world.run(SECOND * 10);
        world.block(false);
        // Searched for every ten seconds by now, and three of proof.
        assert!(world.run_until(SECOND * 25, World::is_direct).is_some(), "seed {seed}");
    }
}

#[test]
fn random_loss_makes_no_path_flap() {
    for seed in seeds(40) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(seed, [easy(), easy()]);
        world.loss = random.u32(0..=30);
        world.delay = Duration::from_millis(random.u64(1..100));
        world.talk(true);
        assert!(world.run_until(SECOND * 5, World::is_direct).is_some(), "seed {seed}");
        world.run(SECOND * 60);
        for node in &world.nodes {
            let changes = &node.told;
            assert_eq!(changes.len(), 2, "seed {seed}, loss {}: {changes:?}", world.loss);
        }
    }
}

/// Of about the same round trip, and both lose something.
fn two_ways(seed: u64) -> World {
    let mut world = World::new(seed, [easy(), easy()]).with_ipv6(Filtering::AddressAndPortDependent);
    world.loss = 10;
    world.delay = Duration::from_millis(40);
    world.delay6 = Duration::from_millis(38);
    world.talk(true);
    world
}

#[test]
fn two_ways_of_about_the_same_round_trip_do_not_alternate() {
    for seed in seeds(20) {
        let mut world = two_ways(seed);
        world.run(SECOND * 300);
        for node in &world.nodes {
            assert!(node.told.len() <= 3, "seed {seed}: {:?}", node.told);
        }
    }
}

#[test]
fn one_lost_check_is_no_reason_to_follow_a_peer_that_was_heard_by_the_other_way() {
    // In this world the peer is heard by both before both are proven, and the first check of the path in use is lost.
    let mut world = two_ways(25);
    world.run(SECOND * 3);
    assert!(world.nodes.iter().all(|node| node.told.len() == 2), "{:?}", world.nodes[0].told);
}

#[test]
fn the_shorter_of_two_ways_is_taken_within_two_minutes() {
    for shorter_is_ipv6 in [false, true] {
        let mut world = World::new(5, [easy(), easy()]).with_ipv6(Filtering::AddressAndPortDependent);
        // The longer one is proven first: the other is blocked at the start.
        world.blocked[usize::from(shorter_is_ipv6)] = [true; 2];
        let (short, long) = (Duration::from_millis(10), Duration::from_millis(60));
        (world.delay, world.delay6) = if shorter_is_ipv6 { (long, short) } else { (short, long) };
        world.talk(true);
        assert!(world.run_until(SECOND, World::is_direct).is_some());
        world.run(SECOND * 8);
        world.block(false);
        let taken = |world: &World| {
            world.nodes.iter().all(|node| node.path.unwrap().remote.is_ipv6() == shorter_is_ipv6)
        };
        assert!(world.run_until(SECOND * 120, taken).is_some());
        assert!(world.nodes.iter().all(|node| node.told.last().unwrap().2 == Why::Shorter));
    }
}

#[test]
fn if_one_of_two_direct_ways_dies_the_other_is_taken_and_not_the_relay() {
    for family in 0..2 {
        let mut world = World::new(6, [easy(), easy()]).with_ipv6(Filtering::AddressAndPortDependent);
        world.blocked[1 - family] = [true; 2];
        world.talk(true);
        assert!(world.run_until(SECOND, World::is_direct).is_some());
        world.block(false);
        world.run(SECOND * 20);
        world.forget_gaps();
        world.blocked[family] = [true; 2];
        world.run(SECOND * 5);
        assert!(world.is_direct());
        for node in &world.nodes {
            assert!(node.gap < SECOND * 3);
            assert!(node.told[2..].iter().all(|(_, path, _)| !path.unwrap().is_relayed()), "{:?}", node.told);
        }
    }
}

#[test]
fn a_nat_that_starts_anew_costs_three_seconds_at_most() {
    for seed in seeds(20) {
        let open = Kind::new(Mapping::EndpointIndependent, Filtering::EndpointIndependent);
        let strict = seed % 2 == 0;
        let mut world = direct(seed, [easy(), if strict { easy() } else { open }]);
        world.run(Duration::from_millis(10_000 + seed * 20));
        world.nodes[0].nat.restart();
        world.run(SECOND * 8);
        if strict {
            // Nobody knows the new port until a STUN server is asked.
            assert!(world.is_relayed());
            world.ask_stun();
        }
        assert!(world.run_until(SECOND * 10, World::is_direct).is_some(), "seed {seed}");
        assert!(world.nodes.iter().all(|node| node.gap < SECOND * 3), "seed {seed}");
    }
}

#[test]
fn a_direct_path_that_comes_and_goes_is_used_ever_more_seldom() {
    let mut world = direct(8, [easy(), easy()]);
    for _ in 0..150 {
        world.block(false);
        world.run(SECOND * 6);
        world.block(true);
        world.run(SECOND * 2);
    }
    for node in &world.nodes {
        assert!(node.told.len() < 20, "{} changes in 20 minutes", node.told.len());
        assert!(node.gap < SECOND * 3);
    }
}

#[test]
fn a_direct_path_that_answers_checks_and_swallows_data_is_left_for_the_relay() {
    let mut world = direct(9, [easy(), easy()]);
    world.run(SECOND * 5);
    world.data_blocked = true;
    world.run(Duration::from_millis(2500));
    world.silent();
    assert!(world.is_relayed());
    assert!(world.nodes.iter().all(|node| node.told.last().unwrap().2 == Why::Silent));
    world.run(SECOND * 9);
    assert!(world.is_relayed(), "its answers alone are not believed for ten seconds");
    let status = world.nodes[0].pairs.status(PEER, world.now).unwrap();
    assert_eq!((status.hold, status.in_use), (Some(SECOND * 10), true));
}

#[test]
fn a_changed_network_is_noticed_before_traffic_would_tell() {
    let mut world = direct(10, [easy(), easy()]);
    world.run(SECOND * 5);
    world.block(true);
    world.network_changed();
    assert!(world.run_until(SECOND * 2, World::is_relayed).is_some());
    world.block(false);
    world.network_changed();
    assert!(world.run_until(SECOND, World::is_direct).is_some(), "the path is not to blame");
}

#[test]
fn the_size_that_passes_is_found_where_routers_are_silent() {
    for seed in seeds(20) {
        let mut world = World::new(seed, [easy(), easy()]).with_ipv6(Filtering::EndpointIndependent);
        let mut random = fastrand::Rng::with_seed(seed);
        world.blocked[random.usize(0..2)] = [true; 2];
        world.width = random.usize(1280..=1500);
        world.loss = random.u32(0..20);
        world.talk(true);
        world.run_until(SECOND * 3, World::is_direct).unwrap();
        let found = |world: &World| {
            let mtu = |at: usize| usize::from(world.nodes[at].path.unwrap().mtu);
            (0..2).all(|at| mtu(at) <= world.width && mtu(at) + 12 > world.width)
        };
        assert!(world.run_until(SECOND * 12, found).is_some(), "seed {seed}, {}", world.width);
        world.width = 1280;
        assert!(world.run_until(SECOND * 10, found).is_some(), "seed {seed}");
        world.run(SECOND);
        assert!(world.nodes.iter().all(|node| node.told.last().unwrap().2 == Why::Size));
    }
}

#[test]
fn a_path_in_use_costs_little() {
    let mut world = direct(14, [easy(), easy()]);
    world.run(SECOND * 20);
    let before: u64 = world.nodes.iter().map(|node| node.sent).sum();
    world.run(SECOND * 100);
    let sent = world.nodes.iter().map(|node| node.sent).sum::<u64>() - before;
    // Each node: a check each 600 ms, of the size each five, of the relay each thirty, and a round of searches a minute.
    assert!((700..920).contains(&sent), "{sent} checks and answers of two nodes in 100 s");
}

#[test]
fn the_relay_is_in_use_while_traffic_goes_by_it_and_ten_seconds_more() {
    let strict = Kind::new(Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent);
    let mut world = World::new(17, [strict, strict]);
    assert_eq!(world.relayed_in_use(), [false; 2], "no traffic yet");
    world.talk(true);
    world.run(SECOND * 20);
    assert_eq!(world.relayed_in_use(), [true; 2]);
    world.talk(false);
    world.run(SECOND * 8);
    assert_eq!(world.relayed_in_use(), [true; 2]);
    world.run(SECOND * 14);
    assert_eq!(world.relayed_in_use(), [false; 2]);
    let direct = direct(17, [easy(), easy()]);
    assert_eq!(direct.relayed_in_use(), [false; 2], "what is direct needs no relay");
}

#[test]
fn a_pair_that_is_not_used_sends_nothing() {
    let mut world = World::new(11, [easy(), easy()]);
    world.run(SECOND * 3600);
    assert!(world.nodes.iter().all(|node| node.sent == 0 && node.pairs.poll_timeout().is_none()));
}

#[test]
fn after_use_a_pair_sends_keepalives_for_ten_minutes_and_then_nothing() {
    let mut world = direct(12, [easy(), easy()]);
    world.talk(false);
    world.run(SECOND * 22);
    let sent = |world: &World| world.nodes.iter().map(|node| node.sent).sum::<u64>();
    let before = sent(&world);
    world.run(SECOND * 600);
    let kept = sent(&world) - before;
    assert!((110..=130).contains(&kept), "{kept} checks and answers of two nodes, every 20 s, in 10 minutes");
    assert!(world.is_relayed());
    assert!(world.nodes.iter().all(|node| node.told.last().unwrap().2 == Why::Idle));
    let before = sent(&world);
    world.run(SECOND * 3600);
    assert_eq!(sent(&world), before);
    world.needed(1);
    assert!(world.run_until(SECOND, World::is_direct).is_some());
}

#[test]
fn keepalives_follow_the_life_of_the_mapping() {
    let lifetime = Duration::from_secs(12);
    let mut world = World::new(13, [easy(), easy()].map(|kind| Kind { lifetime, ..kind }));
    world.set_keepalive(Duration::from_secs(6));
    world.talk(true);
    world.run_until(SECOND, World::is_direct).unwrap();
    world.talk(false);
    world.run(SECOND * 500);
    assert!(world.nodes.iter().all(|node| node.told.len() == 2), "it never died");
}

#[test]
fn keepalives_grow_more_frequent_where_mappings_live_shorter_than_was_said() {
    for has_relay in [false, true] {
        let lifetime = Duration::from_secs(8);
        let mut world = World::new(15, [easy(), easy()].map(|kind| Kind { lifetime, ..kind }));
        world.set_relay(has_relay);
        world.talk(true);
        world.run_until(SECOND * 2, World::is_direct).unwrap();
        world.talk(false);
        // The port is another one each time that the mapping is made anew.
        for _ in 0..8 {
            world.run(SECOND * 22);
            world.ask_stun();
        }
        assert!(world.run_until(SECOND * 40, World::is_direct).is_some());
        let told = world.nodes[0].told.len();
        world.run(SECOND * 200);
        assert!(world.is_direct());
        assert_eq!(world.nodes[0].told.len(), told, "it does not die any more");
    }
}

#[test]
fn what_was_kept_open_and_died_is_looked_for_a_while_without_traffic() {
    let mut world = direct(16, [easy(), easy()]);
    world.set_relay(false);
    world.talk(false);
    world.run(SECOND * 30);
    world.block(true);
    world.run(SECOND * 60);
    assert!(world.nodes.iter().all(|node| node.path.is_none()));
    world.block(false);
    assert!(world.run_until(SECOND * 60, World::is_direct).is_some());
    world.block(true);
    world.run(SECOND * 700);
    let sent = |world: &World| world.nodes.iter().map(|node| node.sent).sum::<u64>();
    let before = sent(&world);
    world.run(SECOND * 3600);
    assert_eq!(sent(&world), before, "but not for ever");
}

/// Anything may happen at any time; what must hold is that data arrives while there is a way for it.
#[test]
fn there_is_always_a_path_while_one_exists() {
    for seed in seeds(20) {
        let mut random = fastrand::Rng::with_seed(seed);
        let all: Vec<Kind> = kinds().collect();
        let kinds = [0, 1].map(|_| Kind { sequential: random.bool(), ..all[random.usize(0..all.len())] });
        let mut world = World::new(seed, kinds);
        if random.bool() {
            world = world.with_ipv6(Filtering::AddressAndPortDependent);
        }
        let mut script = Vec::new();
        for _ in 0..12 {
            let step = random.u32(0..10);
            script.push(step);
            match step {
                0 | 1 => world.block(random.bool()),
                2 => world.blocked[random.usize(0..2)] = [random.bool(), random.bool()],
                3 => world.set_relay(false),
                4 => world.nodes[random.usize(0..2)].nat.restart(),
                5 => world.network_changed(),
                6 => world.loss = random.u32(0..=30),
                7 => world.talk(false),
                8 => world.silent(),
                _ => {}
            }
            world.run(Duration::from_millis(random.u64(0..20_000)));
            // The relay is a way, for as long as it stands.
            if !world.relay {
                world.set_relay(true);
            }
            if !world.talks() {
                world.talk(true);
            }
            world.run(SECOND * 3);
            world.forget_gaps();
            world.run(Duration::from_millis(random.u64(0..10_000)));
            for node in &world.nodes {
                assert!(node.path.is_some(), "seed {seed}, {script:?}");
                assert!(node.gap < SECOND, "seed {seed}, {script:?}: nothing came for {:?}", node.gap);
            }
        }
    }
}
