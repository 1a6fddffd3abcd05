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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A path that carries so much, and loses so many percent of the round trips.
    struct Link {
        width: u16,
        loss: u32,
        random: fastrand::Rng,
    }

    impl Link {
        fn new(width: u16, loss: u32, seed: u64) -> Self {
            Self { width, loss, random: fastrand::Rng::with_seed(seed) }
        }

        /// Bytes that were sent.
        fn run(&mut self, search: &mut SizeSearch, now: &mut Instant, duration: Duration) -> usize {
            let end = *now + duration;
            let round_trip = Duration::from_millis(20);
            let mut sent = 0;
            while *now < end {
                for size in search.attempt(round_trip * 2, *now) {
                    let id = self.random.u128(..).into();
                    search.sends(id, size);
                    sent += usize::from(size);
                    if size <= self.width && self.random.u32(0..100) >= self.loss {
                        search.answers(id, *now + round_trip);
                    }
                }
                *now = search.due().unwrap_or(*now).max(*now + round_trip);
            }
            sent
        }
    }

    fn is_found(mtu: u16, width: u16) -> bool {
        mtu <= width && mtu + STEP + 4 > width
    }

    #[test]
    fn the_largest_size_is_taken_at_the_first_answer_and_confirmed_from_then_on() {
        let mut now = Instant::now();
        let mut search = SizeSearch::new(576, 1500);
        let sent = Link::new(1500, 0, 1).run(&mut search, &mut now, Duration::from_mins(1));
        assert_eq!((search.mtu(), sent), (1500, 1500 * 12));
    }

    #[test]
    fn a_narrower_path_is_found_within_three_seconds_and_a_wider_one_in_ten_minutes() {
        let mut now = Instant::now();
        let mut search = SizeSearch::new(576, 1500);
        let mut link = Link::new(1500, 0, 1);
        link.run(&mut search, &mut now, Duration::from_secs(30));
        for width in [1400, 1280, 1411, 900] {
            link.width = width;
            link.run(&mut search, &mut now, CONFIRM + Duration::from_secs(3));
            assert!(search.mtu() <= width, "{} of {width}", search.mtu());
            link.run(&mut search, &mut now, Duration::from_secs(5));
            assert!(is_found(search.mtu(), width), "{} of {width}", search.mtu());
            link.width = 1500;
            link.run(&mut search, &mut now, RAISE + Duration::from_secs(10));
            assert_eq!(search.mtu(), 1500);
        }
    }

    #[test]
    fn a_changed_network_or_another_limit_begins_anew() {
        let mut now = Instant::now();
        let mut search = SizeSearch::new(576, 1500);
        let mut link = Link::new(1300, 0, 1);
        link.run(&mut search, &mut now, Duration::from_secs(10));
        assert!(is_found(search.mtu(), 1300));
        link.width = 9000;
        search.restart();
        link.run(&mut search, &mut now, Duration::from_secs(1));
        assert_eq!(search.mtu(), 1500);
        search.set_limit(9000);
        link.run(&mut search, &mut now, Duration::from_secs(1));
        assert_eq!(search.mtu(), 9000);
    }

    #[test]
    fn a_path_that_answers_nothing_tells_nothing_of_sizes() {
        let mut now = Instant::now();
        let mut search = SizeSearch::new(576, 1500);
        let mut link = Link::new(1500, 0, 1);
        link.run(&mut search, &mut now, Duration::from_secs(1));
        link.loss = 100;
        link.run(&mut search, &mut now, Duration::from_secs(10));
        assert_eq!(search.mtu(), 1500);
    }

    proptest! {
        #[test]
        fn any_width_is_found_at_any_loss(width in 576..=9000_u16, limit in 576..=9000_u16, loss in 0..50_u32, seed: u64) {
            let mut now = Instant::now();
            let mut search = SizeSearch::new(576, limit);
            Link::new(width, loss, seed).run(&mut search, &mut now, Duration::from_secs(30));
            let width = width.min(limit);
            prop_assert!(search.mtu() <= width.max(576));
            prop_assert!(is_found(search.mtu(), width), "{} of {}", search.mtu(), width);
        }
    }
}
