//! Full IKEv2 handshakes with one child SA: how many a second on one core, both ends in one thread.
//!
//! Goal: at least 1,000 a second with x25519 and Ed25519.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod support;

use std::time::Instant;

use support::{Peers, Proof};
use twinmesh_ike::EngineConfig;

const ROUNDS: usize = 11;
const HANDSHAKES: usize = 500;

fn main() {
    println!("aes128gcm16-prfsha256-x25519, both ends, one core    median handshakes/s (least, most)");
    for (name, proof) in [("pre-shared key", Proof::PreSharedKey), ("Ed25519 raw keys", Proof::Ed25519)] {
        let mut rates: Vec<f64> = (0..ROUNDS).map(|_| rate(proof)).collect();
        rates.sort_by(f64::total_cmp);
        let (least, median, most) = (rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]);
        println!("{name:<52} {median:>8.0} ({least:.0}, {most:.0})");
    }
}

fn rate(proof: Proof) -> f64 {
    let mut peers = Peers::new(HANDSHAKES, proof, &EngineConfig::default());
    let start = Instant::now();
    for index in 0..HANDSHAKES {
        peers.handshake(index);
    }
    let elapsed = start.elapsed();
    assert_eq!(peers.established, HANDSHAKES, "every handshake came to its end");
    f64::from(u32::try_from(HANDSHAKES).expect("few")) / elapsed.as_secs_f64()
}
