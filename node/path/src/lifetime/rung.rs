//! One port that keeps silent for a while, and what has become of its mapping then.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

use crate::message::{probe_to_port, request};

/// First retransmission while the mapping is opened; each further one waits twice as long (RFC 8489 §6.2.1).
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(500);
/// Then the server does not answer.
const MOST_REQUESTS: u32 = 6;
/// Time between two askings.
const ROUND: Duration = Duration::from_millis(100);
/// Askings without enough answers to plain questions tell nothing.
const MOST_ROUNDS: u32 = 60;
/// At a loss of 25 % each way, silence deceives once in some ten thousand.
const CONTROLS: u32 = 8;
/// For answers that take a longer way.
const GRACE: Duration = Duration::from_millis(500);

/// What the server said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    Answer { id: TransactionId, seen: SocketAddr },
    Refusal(TransactionId),
}

#[derive(Debug)]
pub(super) struct Rung {
    lasts: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Opening {
        id: Option<TransactionId>,
        sent: u32,
        last: Instant,
        due: Instant,
    },
    Silent {
        outer: SocketAddr,
        until: Instant,
    },
    Asking(Asking),
    /// The mapping was there.
    Alive,
    Gone,
    Unknown,
}

#[derive(Debug)]
struct Asking {
    outer: SocketAddr,
    rounds: u32,
    /// Open questions.
    to_outer: Vec<TransactionId>,
    plain: Vec<TransactionId>,
    controls: u32,
    due: Instant,
    end: Option<Instant>,
}

impl Rung {
    pub(super) fn new(lasts: Duration, now: Instant) -> Self {
        Self { lasts, state: State::Opening { id: None, sent: 0, last: now, due: now } }
    }

    pub(super) fn lasts(&self) -> Duration {
        self.lasts
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state, State::Alive)
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// Asks no more where nothing is known yet.
    pub(super) fn give_up(&mut self) {
        if self.poll_timeout().is_some() {
            self.state = State::Unknown;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Opening { due, .. } => Some(*due),
            State::Silent { until, .. } => Some(*until),
            State::Asking(asking) => Some(asking.end.map_or(asking.due, |end| end.min(asking.due))),
            State::Alive | State::Gone | State::Unknown => None,
        }
    }

    /// Requests to send now, each with whether it leaves the asking port rather than the silent one.
    pub(super) fn handle_timeout(
        &mut self,
        random: &mut fastrand::Rng,
        now: Instant,
    ) -> Vec<(bool, Vec<u8>)> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return Vec::new();
        }
        match &mut self.state {
            State::Opening { sent, .. } if *sent >= MOST_REQUESTS => {
                self.state = State::Unknown;
                Vec::new()
            }
            State::Opening { id, sent, last, due } => {
                let id = *id.get_or_insert_with(|| random.u128(..).into());
                (*last, *due) = (now, now + FIRST_RETRANSMISSION * 2_u32.pow(*sent));
                *sent += 1;
                vec![(false, request(id))]
            }
            State::Silent { outer, .. } => {
                let mut asking = Asking::new(*outer, now);
                let asked = asking.ask(random, now);
                self.state = State::Asking(asking);
                asked
            }
            State::Asking(asking) if asking.end.is_some_and(|end| end <= now) => {
                self.state = State::Gone;
                Vec::new()
            }
            State::Asking(asking) if asking.rounds >= MOST_ROUNDS => {
                self.state = State::Unknown;
                Vec::new()
            }
            State::Asking(asking) => asking.ask(random, now),
            State::Alive | State::Gone | State::Unknown => Vec::new(),
        }
    }

    /// The silent port heard the server.
    pub(super) fn heard(&mut self, word: Word) {
        let Word::Answer { id, seen } = word else { return };
        match &self.state {
            State::Opening { id: Some(open), last, .. } if *open == id => {
                self.state = State::Silent { outer: seen, until: *last + self.lasts };
            }
            State::Asking(asking) if asking.to_outer.contains(&id) => self.state = State::Alive,
            State::Opening { .. }
            | State::Silent { .. }
            | State::Asking(_)
            | State::Alive
            | State::Gone
            | State::Unknown => {}
        }
    }

    /// The asking port heard the server. True if it does not answer to other ports: then there is nothing to be learnt.
    pub(super) fn heard_by_asking(&mut self, word: Word, now: Instant) -> bool {
        let State::Asking(asking) = &mut self.state else { return false };
        let (id, seen) = match word {
            Word::Answer { id, seen } => (id, Some(seen)),
            Word::Refusal(id) => (id, None),
        };
        if asking.to_outer.contains(&id) {
            return true;
        }
        let Some(place) = asking.plain.iter().position(|plain| *plain == id) else { return false };
        let Some(seen) = seen else { return false };
        // A NAT with several addresses: the question went to another one's port.
        if seen.ip() != asking.outer.ip() {
            self.state = State::Unknown;
            return false;
        }
        // An answer counts once.
        asking.plain.swap_remove(place);
        asking.controls += 1;
        if asking.controls >= CONTROLS {
            asking.end.get_or_insert(now + GRACE);
        }
        false
    }
}

impl Asking {
    fn new(outer: SocketAddr, now: Instant) -> Self {
        let (to_outer, plain) = (Vec::new(), Vec::new());
        Self { outer, rounds: 0, to_outer, plain, controls: 0, due: now, end: None }
    }

    fn ask(&mut self, random: &mut fastrand::Rng, now: Instant) -> Vec<(bool, Vec<u8>)> {
        self.rounds += 1;
        self.due = now + ROUND;
        let (to_outer, plain) = (random.u128(..).into(), random.u128(..).into());
        self.to_outer.push(to_outer);
        self.plain.push(plain);
        vec![(true, probe_to_port(to_outer, self.outer.port())), (true, request(plain))]
    }
}
