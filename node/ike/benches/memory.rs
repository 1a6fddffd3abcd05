//! Memory, counted by the allocator: of an IKE SA that stands with one child SA, and under a flood of half-open ones.
//!
//! Goal: at most 8 KiB for each IKE SA with one child.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod support;

use std::alloc::System;

use cap::Cap;
use support::{Peers, Proof, random, responder_address};
use twinmesh_ike::{EngineConfig, Transmit};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const ESTABLISHED: usize = 1000;
/// An answer with a key exchange is longer, one with a cookie shorter.
const SHORTEST_AGREEMENT: usize = 150;
/// More than the engine admits.
const FLOOD: usize = 20_000;

fn main() {
    println!("bytes for each established IKE SA with one child SA, mean of the two ends");
    for (name, proof) in [("pre-shared key", Proof::PreSharedKey), ("Ed25519 raw keys", Proof::Ed25519)] {
        println!("{name:<52} {:>8}", established(proof));
    }
    let Flooded { forged, cookies, half_open, bytes } = flood();
    println!("{FLOOD} IKE_SA_INIT from forged addresses: {forged} half-open");
    println!(
        "{FLOOD} with cookies, so from real ones, without IKE_AUTH: {half_open} half-open, {cookies} asked"
    );
    println!("bytes held then, and for each half-open: {bytes}, {}", bytes / half_open.max(1));
}

fn established(proof: Proof) -> usize {
    let mut peers = Peers::new(ESTABLISHED, proof, &EngineConfig::default());
    let before = ALLOCATOR.allocated();
    for index in 0..ESTABLISHED {
        peers.handshake(index);
    }
    assert_eq!(peers.established, ESTABLISHED, "every handshake came to its end");
    ALLOCATOR.allocated().saturating_sub(before) / ESTABLISHED / 2
}

struct Flooded {
    /// Half-open IKE SAs after the requests without a cookie.
    forged: usize,
    cookies: usize,
    half_open: usize,
    bytes: usize,
}

/// First nobody answers the responder's demand for a cookie, as when addresses are forged; then everybody does, and
/// says nothing more.
fn flood() -> Flooded {
    let mut peers = Peers::new(FLOOD, Proof::PreSharedKey, &EngineConfig::default());
    let mut requests = Vec::new();
    for index in 0..FLOOD {
        peers.begin(index);
        requests.extend(peers.take_initiators());
    }
    let before = ALLOCATOR.allocated();
    let mut answers = deliver(&mut peers, &requests);
    let held_by_answers = size(&answers);
    let first = ALLOCATOR.allocated() - before - held_by_answers;
    let forged = peers.responder.half_open();
    answers.retain(|answer| answer.datagram.len() < SHORTEST_AGREEMENT);
    let cookies = answers.len();
    requests.clear();
    for Transmit { local, remote, datagram } in &answers {
        peers.initiators.handle_input(peers.now, *remote, *local, datagram, &mut random);
        requests.extend(peers.take_initiators());
    }
    let before = ALLOCATOR.allocated();
    drop(deliver(&mut peers, &requests));
    let second = ALLOCATOR.allocated() - before;
    Flooded { forged, cookies, half_open: peers.responder.half_open(), bytes: first + second }
}

fn size(sent: &Vec<Transmit>) -> usize {
    let datagrams: usize = sent.iter().map(|transmit| transmit.datagram.capacity()).sum();
    datagrams + sent.capacity() * size_of::<Transmit>()
}

fn deliver(peers: &mut Peers, sent: &[Transmit]) -> Vec<Transmit> {
    let mut answers = Vec::new();
    for Transmit { local, remote, datagram } in sent {
        assert_eq!(*remote, responder_address());
        peers.responder.handle_input(peers.now, *remote, *local, datagram, &mut random);
        answers.extend(peers.take_responder());
    }
    answers
}
