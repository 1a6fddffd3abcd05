//! The answerer's side: whose questions are opened, and how many are answered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::keys::PairKeys;
use super::message::Incoming;

/// Keys of more askers are not kept; whoever asked least lately is forgotten.
const MAX_KNOWN: usize = 256;
/// An agreement of keys costs as much as a handshake: so many at once, and so many a second.
const AGREEMENTS: Rate = Rate { burst: 32, a_second: 8 };
/// One question is asked at up to 16 places, five times in two seconds.
const ANSWERS: Rate = Rate { burst: 64, a_second: 16 };

/// Bounds what strangers and peers can make this node do.
pub struct Answerer {
    known: BTreeMap<u64, Known>,
    agreements: Bucket,
    counters: Counters,
}

/// What became of questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Opened, and within the bounds.
    pub opened: u64,
    /// Not sealed by whom they name.
    pub forged: u64,
    /// Too many.
    pub limited: u64,
}

struct Known {
    peer: [u8; 32],
    keys: PairKeys,
    answers: Bucket,
    last: Instant,
}

impl Answerer {
    pub fn new(now: Instant) -> Self {
        Self {
            known: BTreeMap::new(),
            agreements: Bucket::full(AGREEMENTS, now),
            counters: Counters::default(),
        }
    }

    /// What is asked, if it is authentic and not too much. `peer`: the asker's public key now, `agree` its keys with it.
    pub fn open(
        &mut self,
        incoming: &Incoming,
        peer: &[u8; 32],
        agree: impl FnOnce() -> PairKeys,
        now: Instant,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let asker = incoming.asker();
        if self.known.get(&asker).is_none_or(|known| known.peer != *peer) {
            if !self.agreements.take(AGREEMENTS, now) {
                self.counters.limited += 1;
                return None;
            }
            let answers = Bucket::full(ANSWERS, now);
            self.known.insert(asker, Known { peer: *peer, keys: agree(), answers, last: now });
            if self.known.len() > MAX_KNOWN
                && let Some(oldest) = self.known.iter().min_by_key(|(_, known)| known.last).map(|(id, _)| *id)
            {
                self.known.remove(&oldest);
            }
        }
        let known = self.known.get_mut(&asker)?;
        let Some(content) = incoming.open(&known.keys) else {
            self.counters.forged += 1;
            return None;
        };
        known.last = now;
        if known.answers.take(ANSWERS, now) {
            self.counters.opened += 1;
            Some(content)
        } else {
            self.counters.limited += 1;
            None
        }
    }

    /// For [`Incoming::answer`], after [`Self::open`].
    pub fn keys(&self, incoming: &Incoming) -> Option<&PairKeys> {
        self.known.get(&incoming.asker()).map(|known| &known.keys)
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// This node's key is another one.
    pub fn forget_keys(&mut self) {
        self.known.clear();
    }
}

#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    a_second: u32,
}

/// A token bucket.
struct Bucket {
    tokens: u32,
    /// Up to when tokens were put in.
    filled: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst, filled: now }
    }

    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let interval = Duration::from_secs(1) / rate.a_second;
        let passed = now.saturating_duration_since(self.filled).as_nanos() / interval.as_nanos();
        let due = u32::try_from(passed).unwrap_or(u32::MAX);
        if due >= rate.burst - self.tokens {
            *self = Self::full(rate, now);
        } else {
            self.tokens += due;
            self.filled += interval * due;
        }
        let taken = self.tokens.checked_sub(1);
        self.tokens = taken.unwrap_or(0);
        taken.is_some()
    }
}
