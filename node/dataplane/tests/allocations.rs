//! Workers allocate nothing while packets flow. Needs root.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a failed step of a test is a panic; support is a module of which each test uses its part"
)]
#![expect(
    unsafe_code,
    reason = "an allocator that counts, and asking for a thread's name without allocating"
)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use support::transfer::{data, through};
use support::twins::twins;
use twinmesh_dataplane::Engine;

static BY_WORKERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Known once it was asked for.
    static IS_WORKER: Cell<Option<bool>> = const { Cell::new(None) };
}

struct Counting;

// SAFETY: everything is the system's allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_worker() {
            BY_WORKERS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promises are those that it wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn is_worker() -> bool {
    IS_WORKER
        .try_with(|known| {
            known.get().unwrap_or_else(|| {
                let mut name = [0u8; 16];
                // SAFETY: PR_GET_NAME writes 16 bytes at most, which `name` has.
                unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
                let is_worker = name.starts_with(b"twinmesh-worker");
                // A thread is named a little after it began.
                if is_worker {
                    known.set(Some(true));
                }
                is_worker
            })
        })
        .unwrap_or(false)
}

#[test]
fn a_worker_allocates_nothing_for_a_packet() {
    let (a, b) = twins();
    let data = data();
    assert!(BY_WORKERS.load(Ordering::Relaxed) > 0, "workers make their buffers: the count works");
    for engine in [Engine::WireGuard, Engine::Esp] {
        for (here, there) in [(&a, &b), (&b, &a)] {
            assert!(here.dataplane.set_engine(&there.key, engine));
        }
        // The first connection makes sessions and grows what grows once.
        assert!(through(&a, &b, "100.64.0.2:7000", &data) == data);
        let (before, packets) = (BY_WORKERS.load(Ordering::Relaxed), a.dataplane.status().totals.tx_packets);
        assert!(through(&a, &b, "100.64.0.2:7001", &data) == data);
        let allocated = BY_WORKERS.load(Ordering::Relaxed) - before;
        let packets = a.dataplane.status().totals.tx_packets - packets;
        assert!(packets > 5000 && allocated < 20, "{engine:?}: {allocated} allocations, {packets} packets");
    }
}
