//! Ten thousand peers that are silent cost little, and the one that speaks is served as if it were alone. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a failed step of a test is a panic; support is a module of which each test uses its part"
)]
#![expect(unsafe_code, reason = "an allocator that counts")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use support::{meshed, until};
use twinmesh_dataplane::{EndpointPolicy, Engine, IpNet, PeerConfig, PeerState, PrivateKey, ProbeAddresses};

const PEERS: u32 = 10_000;
/// Bytes of the heap that an idle peer may cost in the data plane. What it is for an agent in all is DESIGN's figure.
const MOST_BYTES: usize = 3 * 1024;

/// Bytes that are allocated.
static HEAP: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is the system's allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those that it wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; the pointer came from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn prefix(number: u32) -> IpNet {
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(100, 65, 0, 0).to_bits() + number);
    IpNet::new(address.into(), 32).unwrap()
}

/// A peer such as another agent is one.
fn peer(number: u32) -> PeerConfig {
    PeerConfig {
        public_key: PrivateKey::generate().unwrap().public_key(),
        preshared_key: None,
        endpoints: vec!["192.0.2.99:4500".parse().unwrap(), "198.51.100.99:4500".parse().unwrap()],
        endpoint: EndpointPolicy::Managed,
        allowed_ips: vec![prefix(number)],
        keepalive: None,
        wireguard: true,
        probe: Some(ProbeAddresses { own: "100.64.0.1".parse().unwrap(), peer: prefix(number).addr() }),
        partial_checksums: true,
    }
}

#[test]
fn ten_thousand_silent_peers_cost_little_and_disturb_none() {
    let (a, b) = meshed();
    let peers: Vec<PeerConfig> = (0..PEERS).map(peer).collect();
    let keys: Vec<_> = peers.iter().map(|peer| peer.public_key).collect();
    let before = HEAP.load(Ordering::Relaxed);
    for peer in &peers {
        a.dataplane.set_peer(peer.clone()).unwrap();
    }
    // The timers look at all of them each 5 s.
    thread::sleep(Duration::from_secs(6));
    let each = (HEAP.load(Ordering::Relaxed) - before) / peers.len();
    assert!((300..MOST_BYTES).contains(&each), "{each} bytes for each peer");

    until("a packet among them", || a.pings("100.64.0.2"));
    until("what is used to be told", || a.dataplane.take_used() == [b.key]);
    assert_eq!(a.dataplane.take_used(), [], "nothing since");
    let status = a.dataplane.status();
    assert_eq!(status.peers.len(), peers.len() + 1);
    assert_eq!(status.peers.iter().filter(|peer| peer.state == PeerState::Up).count(), 1);

    // A silent one that is spoken to has its timers again: what has no answer is asked for once more.
    a.namespace.sh("ping -c 1 -W 1 100.65.0.7");
    until("it to be looked for", || a.status_of(keys[7]).state == PeerState::Connecting);
    for key in &keys {
        assert!(a.dataplane.remove_peer(key));
    }
    // Workers let go of the table that they had when they waited.
    assert!(a.dataplane.set_engine(&b.key, Engine::WireGuard));
    until("their memory to be given back", || {
        let left = HEAP.load(Ordering::Relaxed).saturating_sub(before) / keys.len();
        // Indices rest for a while, and maps keep their room.
        left < 500
    });
}
