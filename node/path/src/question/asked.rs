//! The asker's side: one question under way.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::message::TransactionId;
use zeroize::Zeroizing;

use super::NONCE_LEN;
use super::keys::PairKeys;
use super::message::{self, TooLong};
use crate::message::canonical;

/// When all are asked, after the beginning.
const ROUNDS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// Nobody has answered so long after the beginning: nobody will.
pub const GIVE_UP: Duration = Duration::from_secs(3);
/// Of one peer's addresses.
const MAX_TARGETS: usize = 16;

/// A question to a peer, at all places where it may be.
///
/// After [`Self::new`], [`Self::aim`] and each [`Self::handle_timeout`] drain [`Self::poll_transmit`]; then wait for a datagram or for
/// [`Self::poll_timeout`]. It ends with a [`Reply`], or [`Self::is_over`].
pub struct Question {
    keys: PairKeys,
    asker: u64,
    id: TransactionId,
    datagram: Vec<u8>,
    targets: Vec<SocketAddr>,
    begun: Instant,
    /// How many of [`ROUNDS`] have begun.
    rounds: usize,
    waiting: VecDeque<SocketAddr>,
    over: bool,
}

/// What the peer answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// Where the answer came from.
    pub from: SocketAddr,
    pub content: Zeroizing<Vec<u8>>,
    /// Since the beginning; it is longer than the round trip where the first copies were lost.
    pub after: Duration,
}

impl Question {
    /// Asks at `targets`, of which the first 16 count. `asker`: this node's number in the network. `random`: from the
    /// system's random source.
    pub fn new(
        keys: PairKeys,
        asker: u64,
        content: &[u8],
        targets: &[SocketAddr],
        random: ([u8; NONCE_LEN], [u8; NONCE_LEN]),
        now: Instant,
    ) -> Result<Self, TooLong> {
        let (id, datagram) = message::question(&keys, asker, content, random)?;
        let targets = targets.iter().copied().take(MAX_TARGETS).collect();
        let waiting = VecDeque::new();
        let mut question =
            Self { keys, asker, id, datagram, targets, begun: now, rounds: 0, waiting, over: false };
        question.handle_timeout(now);
        Ok(question)
    }

    /// The peer may be there as well: the place is asked at once and in the rounds to come, if it is new and there are not
    /// 16 yet.
    pub fn aim(&mut self, target: SocketAddr) {
        if !self.over && self.targets.len() < MAX_TARGETS && !self.targets.contains(&target) {
            self.targets.push(target);
            self.waiting.push_back(target);
        }
    }

    /// Where the datagram is to go next.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, &[u8])> {
        let to = self.waiting.pop_front()?;
        Some((to, &self.datagram))
    }

    /// When the next round begins, or the last one ends.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let after = ROUNDS.get(self.rounds).copied().unwrap_or(GIVE_UP);
        (!self.over).then(|| self.begun + after)
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begun);
        while !self.over && ROUNDS.get(self.rounds).is_some_and(|at| *at <= passed) {
            self.rounds += 1;
            // Of a round that was late there is one copy, not two.
            self.waiting = self.targets.iter().copied().collect();
        }
        if passed >= GIVE_UP {
            self.over = true;
            self.waiting.clear();
        }
    }

    /// `None`: it is not the answer.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> Option<Reply> {
        if self.over {
            return None;
        }
        let content = message::open_answer(&self.keys, self.asker, self.id, datagram)?;
        self.over = true;
        self.waiting.clear();
        let after = now.saturating_duration_since(self.begun);
        Some(Reply { from: canonical(from), content, after })
    }

    /// Answered, or given up.
    pub fn is_over(&self) -> bool {
        self.over
    }
}
