//! Sealing and opening allocate nothing, whatever the suite, and dropping neither.
#![expect(clippy::unwrap_used, reason = "helpers of tests, as in the tests themselves")]
#![expect(unsafe_code, reason = "an allocator that counts is an unsafe trait, passed on to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use twinmesh_esp::{
    Addresses, InboundSa, KeyMaterial, Lifetime, Mode, OriginalAddresses, OutboundSa, SaParameters,
    Selectors, Spi, Suite,
};

struct Counting;

thread_local! {
    /// Allocations of this thread, so that the test harness's own do not count.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as of the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as of the caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as of the caller.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn parameters(suite: Suite, mode: Mode) -> SaParameters {
    SaParameters {
        spi: Spi::new(0x8000_0001).unwrap(),
        suite,
        mode,
        esn: true,
        // Not any to any, so that the packet's flow is looked at.
        selectors: Selectors::from_prefixes(
            ["0.0.0.0/0".parse().unwrap()],
            ["192.0.2.0/24".parse().unwrap(), "10.0.0.0/8".parse().unwrap()],
        ),
        lifetime: Lifetime::default(),
        replay_window: 4096,
        tfc_multiple: 128,
        tfc_limit: 1400,
        align_8: false,
    }
}

/// UDP, 192.0.2.1 to 198.51.100.1.
fn udp(len: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1];
    packet.resize(len, 7);
    packet[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    packet
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(vec![0; 1000]))), 1);
}

#[test]
fn no_packet_allocates() {
    let now = Instant::now();
    let source = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    let outer = Addresses { source, destination: Ipv4Addr::new(198, 51, 100, 1).into() };
    let original =
        OriginalAddresses { source: Ipv4Addr::new(10, 0, 0, 1).into(), destination: outer.destination };
    for suite in Suite::all() {
        for mode in [Mode::Tunnel, Mode::Transport] {
            let keys = KeyMaterial::new(vec![5; suite.key_len()]);
            let out = OutboundSa::new(parameters(suite, mode), &keys, now).unwrap();
            let into = InboundSa::new(parameters(suite, mode), &keys, now).unwrap().behind_nat(original);
            let mut sealed = vec![0; 9200];
            for packet in [64, 576, 1400, 9000].map(udp) {
                let count = allocations_of(|| {
                    let len = out.seal(&packet, &mut sealed, now).unwrap();
                    into.open(&mut sealed[..len], outer, now).unwrap();
                    // Dropped: a replay, damage, a refusal, a dummy.
                    into.open(&mut sealed[..len], outer, now).unwrap_err();
                    let len = out.seal(&packet, &mut sealed, now).unwrap();
                    sealed[len - 1] ^= 1;
                    into.open(&mut sealed[..len], outer, now).unwrap_err();
                    out.seal(&packet[1..], &mut sealed, now).unwrap_err();
                    let len = out.seal_dummy(100, &mut sealed, now).unwrap();
                    into.open(&mut sealed[..len], outer, now).unwrap();
                });
                assert_eq!(count, 0, "{suite}, {mode:?}, {} bytes", packet.len());
            }
        }
    }
}
