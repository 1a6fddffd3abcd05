//! Seal and open beside the bare AEAD of the same library, with a count of allocations, which is 0 (none shown).
//!
//! `against_bare` measures the two in turns, and so their ratio better.

mod support;

use std::time::Instant;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use support::{BUFFER, Bare, SIZES, outer, packet, pair};
use twinmesh_esp::Suite;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A suite that names a column.
trait Named {
    const SUITE: Suite;
}

struct Aes128Gcm;
struct ChaCha20Poly1305;

impl Named for Aes128Gcm {
    const SUITE: Suite = Suite::AES_128_GCM_16;
}

impl Named for ChaCha20Poly1305 {
    const SUITE: Suite = Suite::CHACHA20_POLY1305;
}

#[divan::bench(args = SIZES, types = [Aes128Gcm, ChaCha20Poly1305], sample_size = 64)]
fn seal<S: Named>(bencher: Bencher<'_, '_>, len: usize) {
    let now = Instant::now();
    let (outbound, _) = pair(S::SUITE, now);
    let (packet, mut buffer) = (packet(len), vec![0; BUFFER]);
    bencher.counter(BytesCount::new(len)).bench_local(|| outbound.seal(&packet, &mut buffer, now));
}

#[divan::bench(args = SIZES, types = [Aes128Gcm, ChaCha20Poly1305], sample_size = 64)]
fn seal_bare<S: Named>(bencher: Bencher<'_, '_>, len: usize) {
    let (mut bare, mut buffer) = (Bare::new(S::SUITE), vec![0; BUFFER]);
    bencher.counter(BytesCount::new(len)).bench_local(|| bare.seal(len, &mut buffer));
}

#[divan::bench(args = SIZES, types = [Aes128Gcm, ChaCha20Poly1305], sample_size = 64)]
fn open<S: Named>(bencher: Bencher<'_, '_>, len: usize) {
    let now = Instant::now();
    let (outbound, inbound) = pair(S::SUITE, now);
    let (packet, outer) = (packet(len), outer());
    let sealed = || {
        let mut sealed = vec![0; outbound.sealed_len(len)];
        outbound.seal(&packet, &mut sealed, now).expect("the buffer is measured");
        sealed
    };
    bencher
        .counter(BytesCount::new(len))
        .with_inputs(sealed)
        .bench_local_refs(|sealed| inbound.open(sealed, outer, now).expect("authentic and new").newest);
}

#[divan::bench(args = SIZES, types = [Aes128Gcm, ChaCha20Poly1305], sample_size = 64)]
fn open_bare<S: Named>(bencher: Bencher<'_, '_>, len: usize) {
    let (mut sender, receiver) = (Bare::new(S::SUITE), Bare::new(S::SUITE));
    let sealed = || {
        let mut sealed = vec![0; len + 32];
        sender.seal(len, &mut sealed);
        sealed
    };
    bencher
        .counter(BytesCount::new(len))
        .with_inputs(sealed)
        .bench_local_refs(|sealed| receiver.open(len, sealed));
}
