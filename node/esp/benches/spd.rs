//! What a look-up in the SPD costs, and building one, by the number of policies.

use std::net::Ipv4Addr;

use divan::{Bencher, black_box};
use twinmesh_esp::{Action, Flow, IpRange, Policy, Ports, Selectors, Spd, TrafficSelector};

const SIZES: [u32; 3] = [100, 1000, 10_000];

fn main() {
    divan::main();
}

/// A policy for each subnet behind a peer, then one for all the rest.
fn policies(size: u32) -> Vec<Policy<u32>> {
    let policy = |remote, action| {
        let selector = TrafficSelector::new;
        let selectors = Selectors { local: vec![selector(IpRange::ANY_V4)], remote: vec![selector(remote)] };
        Policy { selectors, action }
    };
    let subnets = (0..size).map(|index| {
        let first = 0x0a00_0000 + (index << 8);
        let range = IpRange::new(Ipv4Addr::from(first).into(), Ipv4Addr::from(first | 255).into());
        policy(range.expect("it runs upwards"), Action::Protect(index))
    });
    subnets.chain([policy(IpRange::ANY_V4, Action::Bypass)]).collect()
}

fn flow_to(destination: u32) -> Flow {
    Flow {
        source: Ipv4Addr::new(192, 0, 2, 1).into(),
        destination: Ipv4Addr::from(destination).into(),
        protocol: 6,
        ports: Ports::Pair { source: 50_000, destination: 443 },
    }
}

/// As many flows as a busy moment has, spread over the whole list.
#[divan::bench(args = SIZES, sample_size = 1000)]
fn lookup_of_64_flows(bencher: Bencher<'_, '_>, size: u32) {
    let spd = Spd::new(policies(size));
    let mut turn = 0;
    bencher.bench_local(|| {
        turn = (turn + 1) % 64;
        let subnet = turn * (size / 64);
        black_box(spd.lookup(black_box(&flow_to(0x0a00_0009 + (subnet << 8)))).is_some())
    });
}

/// Never the same policy twice in a row of thousands, so that the cache has none of them.
#[divan::bench(args = SIZES, sample_size = 1000)]
fn lookup_of_every_policy(bencher: Bencher<'_, '_>, size: u32) {
    let spd = Spd::new(policies(size));
    let mut index = 0;
    bencher.bench_local(|| {
        // A prime step.
        index = (index + 7919) % size;
        black_box(spd.lookup(black_box(&flow_to(0x0a00_0009 + (index << 8)))).is_some())
    });
}

#[divan::bench(args = SIZES)]
fn lookup_of_the_default(bencher: Bencher<'_, '_>, size: u32) {
    let spd = Spd::new(policies(size));
    bencher.bench_local(|| black_box(spd.lookup(black_box(&flow_to(0xc633_6401))).is_some()));
}

/// The search that the index replaces.
#[divan::bench(args = SIZES)]
fn linear_search_of_the_default(bencher: Bencher<'_, '_>, size: u32) {
    let policies = policies(size);
    bencher.bench_local(|| {
        let flow = black_box(flow_to(0xc633_6401));
        black_box(policies.iter().position(|policy| policy.selectors.allows_outbound(&flow)))
    });
}

#[divan::bench(args = SIZES)]
fn build(bencher: Bencher<'_, '_>, size: u32) {
    bencher.with_inputs(|| policies(size)).bench_local_values(Spd::new);
}
