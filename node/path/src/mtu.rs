//! What size passes by one path, found by padded checks (RFC 8899): routers that should say so may be silent.
//!
//! ```text
//!   Limit ──answered──────────────────────────────┐
//!     │ silence                                    ▼
//!     └──► Plateaus ──► Halves ──────────────► Settled ── 10 min ──► Limit
//!             ▲         between two plateaus       │ 5 s
//!             └──────────── silence ─────────── Confirm
//! ```
//!
//! It begins with the largest size that is of use: most paths carry it, and what is told to programs as too long they
//! remember for minutes.

use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

/// Between two attempts at a size.
const ATTEMPT: Duration = Duration::from_millis(60);
/// A size does not pass if short checks that went beside it were answered so often: then it is not loss. At 30 % each way,
/// silence deceives once in a million.
const CONTROLS: u32 = 10;
/// Of the largest size alone; the plateaus have it too.
const LIMIT_CONTROLS: u32 = 3;
/// The short check.
const CONTROL: u16 = 0;
const CONFIRM: Duration = Duration::from_secs(5);
/// PMTU_RAISE_TIMER (RFC 8899 §5.1.1).
const RAISE: Duration = Duration::from_mins(10);
/// Sizes that links have: Ethernet, and what PPPoE, tunnels and stacks of these leave of it.
const PLATEAUS: [u16; 15] =
    [576, 1000, 1200, 1280, 1340, 1380, 1400, 1420, 1440, 1460, 1480, 1492, 1500, 4352, 9000];
/// Nearer is not looked for.
const STEP: u16 = 8;
const MAX_OPEN: usize = PLATEAUS.len() * 8;

/// Sizes are those of whole IP packets, in bytes, and multiples of four, as STUN messages are.
#[derive(Debug)]
pub(crate) struct SizeSearch {
    least: u16,
    limit: u16,
    mtu: u16,
    step: Step,
    /// Smallest first; those that passed are gone.
    asked: Vec<u16>,
    attempts: u32,
    controls: u32,
    /// In this search: the largest that passed, the smallest that did not.
    passed: u16,
    refused: Option<u16>,
    due: Option<Instant>,
    raise: Option<Instant>,
    open: Vec<(TransactionId, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Limit,
    Plateaus,
    Halves,
    Settled,
    Confirm,
}

impl SizeSearch {
    /// `least` passes everywhere; more than `limit` is of no use.
    pub(crate) fn new(least: u16, limit: u16) -> Self {
        let limit = usable(least, limit);
        Self {
            least,
            limit,
            mtu: limit,
            step: Step::Limit,
            asked: vec![limit],
            attempts: 0,
            controls: 0,
            passed: least,
            refused: None,
            due: None,
            raise: None,
            open: Vec::new(),
        }
    }

    /// What is believed to pass.
    pub(crate) fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Begins anew if another size is of use.
    pub(crate) fn set_limit(&mut self, limit: u16) {
        if usable(self.least, limit) != self.limit {
            *self = Self::new(self.least, limit);
        }
    }

    /// More may pass now, or less.
    pub(crate) fn restart(&mut self) {
        (self.passed, self.refused, self.due) = (self.least, None, None);
        self.ask(Step::Limit, vec![self.limit]);
    }

    /// When [`Self::attempt`] is due; `None`: at once.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The path answers nothing at present: nothing is asked for a while.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.due = self.due.max(Some(now + ATTEMPT));
    }

    /// The sizes to ask now, of which those that are too short for any check are as short as possible. `timeout`: how
    /// long an answer may take.
    pub(crate) fn attempt(&mut self, timeout: Duration, now: Instant) -> Vec<u16> {
        if self.due.is_some_and(|due| due > now) {
            return Vec::new();
        }
        let enough = if self.step == Step::Limit { LIMIT_CONTROLS } else { CONTROLS };
        if self.controls >= enough || self.step == Step::Settled {
            self.proceed(now);
        }
        if self.step == Step::Settled {
            return Vec::new();
        }
        self.attempts += 1;
        // Most sizes pass at once.
        let is_first = self.attempts == 1;
        self.due = Some(now + if is_first { timeout } else { ATTEMPT });
        let control = (!is_first).then_some(CONTROL);
        control.into_iter().chain(self.asked.iter().copied()).collect()
    }

    /// A check of that size is sent.
    pub(crate) fn sends(&mut self, id: TransactionId, size: u16) {
        if self.open.len() == MAX_OPEN {
            self.open.remove(0);
        }
        self.open.push((id, size));
    }

    /// An authentic answer. False if it answers no question of this step.
    pub(crate) fn answers(&mut self, id: TransactionId, now: Instant) -> bool {
        let Some(at) = self.open.iter().position(|(open, _)| *open == id) else { return false };
        let (_, size) = self.open.swap_remove(at);
        if size == CONTROL {
            self.controls += 1;
            return true;
        }
        self.passed = self.passed.max(size);
        self.asked.retain(|asked| *asked > size);
        if self.asked.is_empty() && self.step != Step::Settled {
            self.proceed(now);
        }
        true
    }

    /// The step is over: what is still asked does not pass.
    fn proceed(&mut self, now: Instant) {
        let refused = self.asked.first().copied();
        match self.step {
            // So few attempts prove nothing.
            Step::Limit if refused.is_some() => self.ask_plateaus(self.limit, now),
            Step::Limit | Step::Plateaus => {
                self.mtu = self.passed;
                self.refused = refused.or(self.refused);
                self.halve(now);
            }
            Step::Halves => {
                self.refused = refused.or(self.refused);
                self.halve(now);
            }
            Step::Settled if self.mtu < self.limit && self.raise.is_some_and(|at| at <= now) => {
                (self.passed, self.refused, self.raise) = (self.mtu, None, None);
                self.ask(Step::Limit, vec![self.limit]);
            }
            Step::Settled => self.ask(Step::Confirm, vec![self.mtu]),
            Step::Confirm if refused.is_none() => self.settle(now),
            Step::Confirm => {
                (self.passed, self.refused) = (self.least, Some(self.mtu));
                self.ask_plateaus(self.mtu - 4, now);
            }
        }
    }

    fn ask_plateaus(&mut self, most: u16, now: Instant) {
        let limit = Some(self.limit).filter(|limit| *limit <= most && !PLATEAUS.contains(limit));
        let mut sizes: Vec<u16> = PLATEAUS.into_iter().chain(limit).collect();
        sizes.retain(|size| *size > self.passed && *size <= most);
        sizes.sort_unstable();
        self.ask(Step::Plateaus, sizes);
        if self.asked.is_empty() {
            self.proceed(now);
        }
    }

    fn halve(&mut self, now: Instant) {
        match self.refused {
            Some(refused) if refused - self.passed > STEP => {
                self.ask(Step::Halves, vec![(self.passed + (refused - self.passed) / 2) / 4 * 4]);
            }
            _ => {
                self.mtu = self.passed;
                self.settle(now);
            }
        }
    }

    fn settle(&mut self, now: Instant) {
        self.ask(Step::Settled, Vec::new());
        self.due = Some(now + CONFIRM);
        self.raise.get_or_insert(now + RAISE);
    }

    fn ask(&mut self, step: Step, sizes: Vec<u16>) {
        (self.step, self.asked) = (step, sizes);
        (self.attempts, self.controls) = (0, 0);
        self.open.clear();
        self.due = None;
    }
}

fn usable(least: u16, limit: u16) -> u16 {
    limit.max(least) / 4 * 4
}

#[cfg(test)]
mod tests;
