//! What waits to be sent.

use std::collections::VecDeque;
use std::net::SocketAddr;

use stun_types::message::TransactionId;

use super::path::Transmit;

/// For a caller that does not drain; checks may be lost.
const MOST: usize = 4096;

pub(crate) struct Outbox {
    random: fastrand::Rng,
    queue: VecDeque<Transmit>,
}

impl Outbox {
    pub(crate) fn new(random: fastrand::Rng) -> Self {
        Self { random, queue: VecDeque::new() }
    }

    pub(crate) fn transaction_id(&mut self) -> TransactionId {
        self.random.u128(..).into()
    }

    pub(crate) fn push(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        if self.queue.len() < MOST {
            self.queue.push_back(Transmit { to, datagram });
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Transmit> {
        self.queue.pop_front()
    }
}
