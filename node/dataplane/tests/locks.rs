//! How often workers wait for a lock while packets flow. Needs root.
//!
//! `parking_lot` spins for some ten turns of a loop, then gives way by `sched_yield`, then sleeps by the system call `futex`. This
//! program has functions of its own in front of the C library's `sched_yield` and `syscall`, and counts how often workers call
//! either. What is settled within those turns is not seen.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a failed step of a test is a panic; support is a module of which each test uses its part"
)]
#![expect(unsafe_code, reason = "a system call that is counted, and asking for a thread's name")]

mod support;

use std::cell::Cell;
use std::ffi::{c_int, c_long, c_void};
use std::mem;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread;

use support::transfer::{data, through};
use support::twins::{known, tunnel_to};
use support::{Node, pair_with, third};
use twinmesh_dataplane::{Engine, Offload};

static YIELDS: AtomicU64 = AtomicU64::new(0);
static WAITS: AtomicU64 = AtomicU64::new(0);
static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

type Syscall = unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;

/// In place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn sched_yield() -> c_int {
    if is_worker() {
        YIELDS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: it takes nothing, and always succeeds.
    unsafe { syscall(libc::SYS_sched_yield, 0, 0, 0, 0, 0, 0).try_into().unwrap_or_default() }
}

/// In place of the C library's: its arguments are in registers, of which a caller that gives fewer leaves the rest as they are.
///
/// # Safety
/// As the call that it makes.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    one: c_long,
    two: c_long,
    three: c_long,
    four: c_long,
    five: c_long,
    six: c_long,
) -> c_long {
    let operation = two & c_long::from(!(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME));
    let waits = [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET].map(c_long::from).contains(&operation);
    if number == libc::SYS_futex && waits && is_worker() {
        WAITS.fetch_add(1, Ordering::Relaxed);
    }
    let mut real = REAL.load(Ordering::Relaxed);
    if real.is_null() {
        // SAFETY: the name is a C string.
        real = unsafe { libc::dlsym(libc::RTLD_NEXT, c"syscall".as_ptr()) };
        REAL.store(real, Ordering::Relaxed);
    }
    // SAFETY: it is the C library's function of that name, which takes what the caller gave.
    unsafe { mem::transmute::<*mut c_void, Syscall>(real)(number, one, two, three, four, five, six) }
}

fn is_worker() -> bool {
    thread_local! {
        static KNOWN: Cell<Option<bool>> = const { Cell::new(None) };
    }
    KNOWN
        .try_with(|known| {
            known.get().unwrap_or_else(|| {
                let mut name = [0u8; 16];
                // SAFETY: PR_GET_NAME writes 16 bytes at most, which `name` has.
                let _: c_int = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
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

/// One node and two peers of it, all with both engines and two workers.
fn star() -> (Node, Node, Node) {
    let (a, b) = pair_with([Offload::ALL; 2]);
    let c = third(&a.namespace);
    for peer in [&b, &c] {
        let (number, round) = (peer.number, peer.number);
        a.dataplane.set_peer(known(1, peer)).unwrap();
        peer.dataplane.set_peer(known(number, &a)).unwrap();
        a.dataplane.add_esp(tunnel_to(1, number, peer.key, round)).unwrap();
        peer.dataplane.add_esp(tunnel_to(number, 1, a.key, round)).unwrap();
    }
    (a, b, c)
}

/// To both peers and from both, at once.
fn load(a: &Node, b: &Node, c: &Node, data: &[u8]) {
    let flows = [
        (a, b, "100.64.0.2:7000"),
        (b, a, "100.64.0.1:7001"),
        (a, c, "100.64.0.3:7002"),
        (c, a, "100.64.0.1:7003"),
    ];
    thread::scope(|scope| {
        for (from, to, address) in flows {
            scope.spawn(move || assert!(through(from, to, address, data) == data, "to {address}"));
        }
    });
}

/// What workers did in a transfer.
#[derive(Debug)]
struct Counted {
    packets: u64,
    yields: u64,
    waits: u64,
}

impl Counted {
    fn now(nodes: [&Node; 3]) -> Self {
        Self {
            packets: nodes.iter().map(|node| node.dataplane.status().totals.tx_packets).sum(),
            yields: YIELDS.load(Ordering::Relaxed),
            waits: WAITS.load(Ordering::Relaxed),
        }
    }
}

fn count(engine: Engine) -> Counted {
    let (a, b, c) = star();
    for (here, there) in [(&a, &b), (&a, &c), (&b, &a), (&c, &a)] {
        assert!(here.dataplane.set_engine(&there.key, engine));
    }
    let data = data();
    // The first connections make sessions.
    load(&a, &b, &c, &data[..1 << 20]);
    let before = Counted::now([&a, &b, &c]);
    load(&a, &b, &c, &data);
    let after = Counted::now([&a, &b, &c]);
    Counted {
        packets: after.packets - before.packets,
        yields: after.yields - before.yields,
        waits: after.waits - before.waits,
    }
}

#[test]
fn the_count_sees_a_worker_that_waits() {
    let lock = parking_lot::Mutex::new(());
    let held = lock.lock();
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("twinmesh-worker-t".to_owned());
        worker.spawn_scoped(scope, || drop(lock.lock())).unwrap();
        support::until("a wait", || WAITS.load(Ordering::Relaxed) > 0 && YIELDS.load(Ordering::Relaxed) > 0);
        drop(held);
    });
}

#[test]
fn workers_that_serve_two_peers_do_not_wait_for_each_other() {
    for engine in [Engine::Esp, Engine::WireGuard] {
        let counted = count(engine);
        println!("{engine:?}: {counted:?}");
        let Counted { packets, yields, waits } = counted;
        assert!(packets > 20_000, "{engine:?}: {counted:?}");
        match engine {
            // The control thread takes some locks too, now and then.
            Engine::Esp => assert!(waits == 0 && yields <= 5, "{counted:?}"),
            // One lock for each peer's session, which a worker that seals and one that opens may both want.
            Engine::WireGuard | Engine::Hold => assert!((waits + yields) * 20 < packets, "{counted:?}"),
        }
    }
}
