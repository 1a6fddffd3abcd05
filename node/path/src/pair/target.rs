//! One address of a peer's, and what is known of it by checks.
//!
//! ```text
//!              search               answer                no answer for 1.6 s
//!     Idle ───────────► Searching ──────────► Proven ─────────────────────────► Idle
//!       ▲                   │                   │ ▲
//!       └─── given up ──────┘                   └─┘ doubt: every 40 ms until answered
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

use super::path::Checked;
use super::settings::{Candidate, Kind, LocalSettings};
use super::sizes::least_mtu;
use crate::mtu::SizeSearch;

/// A path that does not answer for so long is dead…
pub(crate) const DEATH: Duration = Duration::from_millis(1600);
/// …and so many checks have had the time to be answered: at a loss of 30 % each way all of them are lost once in
/// two million doubts.
const LEAST_UNANSWERED: usize = 22;
/// Between two checks of a path in doubt.
const DOUBT: Duration = Duration::from_millis(40);
/// More than are sent until a path is dead.
const MAX_OPEN: usize = 64;
/// A search: many checks at first, since a NAT opens only for those that come after the other end's…
const QUICK: Duration = Duration::from_millis(100);
const QUICK_CHECKS: u32 = 12;
/// …then fewer.
const SLOW: Duration = Duration::from_millis(400);
const SEARCH_CHECKS: u32 = 22;
/// Where the peer was only heard, and for guesses: anybody may have sent an old check from there.
const FEW_CHECKS: u32 = 8;
/// Between two searches of one address.
const REST: Duration = Duration::from_secs(2);
/// A round trip before the first is measured.
const INITIAL_RTT: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) candidate: Candidate,
    pub(crate) source: Source,
    pub(crate) sizes: SizeSearch,
    phase: Phase,
    open: VecDeque<Open>,
    sent: Option<Instant>,
    answered: Option<Instant>,
    searched: Option<Instant>,
    /// Smoothed as in RFC 6298 §2, and how many were measured.
    rtt: Option<(Duration, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// By the map.
    Named,
    /// The peer was heard from there.
    Heard,
    Guessed,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    id: TransactionId,
    sent: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Searching {
        left: u32,
        due: Instant,
    },
    Proven {
        since: Instant,
        /// When the oldest check was sent that is younger than the last answered one.
        doubt: Option<Instant>,
    },
}

impl Target {
    pub(crate) fn new(candidate: Candidate, source: Source) -> Self {
        Self {
            candidate,
            source,
            sizes: SizeSearch::new(least_mtu(&candidate.address), LocalSettings::default().mtu),
            phase: Phase::Idle,
            open: VecDeque::new(),
            sent: None,
            answered: None,
            searched: None,
            rtt: None,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.candidate.address
    }

    pub(crate) fn is_relayed(&self) -> bool {
        self.candidate.kind == Kind::Relayed
    }

    /// Since when it has been answering.
    pub(crate) fn proven_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Proven { since, .. } => Some(since),
            Phase::Idle | Phase::Searching { .. } => None,
        }
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven_since().is_some()
    }

    pub(crate) fn doubted_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Proven { doubt, .. } => doubt,
            Phase::Idle | Phase::Searching { .. } => None,
        }
    }

    /// An answer is overdue.
    pub(crate) fn is_doubted(&self, now: Instant) -> bool {
        self.doubted_since().is_some_and(|since| now >= since + self.timeout())
    }

    /// Checks since the last answered one that should have been answered by now.
    pub(crate) fn unanswered(&self, now: Instant) -> usize {
        let timeout = self.timeout();
        self.open.iter().filter(|open| now.saturating_duration_since(open.sent) >= timeout).count()
    }

    pub(crate) fn answered(&self) -> Option<Instant> {
        self.answered
    }

    /// None before it is measured.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|(rtt, _)| rtt)
    }

    /// None before it was measured so often that chance is small.
    pub(crate) fn sure_rtt(&self) -> Option<Duration> {
        self.rtt.filter(|(_, samples)| *samples >= 4).map(|(rtt, _)| rtt)
    }

    /// Tries it, unless that was done lately or is under way.
    pub(crate) fn search(&mut self, now: Instant) {
        let rested = self.searched.is_none_or(|at| now.saturating_duration_since(at) >= REST);
        if self.phase == Phase::Idle && rested {
            self.search_anew(now);
        }
    }

    /// Tries it from the start, unless it is proven.
    pub(crate) fn search_anew(&mut self, now: Instant) {
        if !self.is_proven() {
            let left = if self.source == Source::Named { SEARCH_CHECKS } else { FEW_CHECKS };
            self.searched = Some(now);
            self.phase = Phase::Searching { left, due: now };
        }
    }

    /// A check came from there: it can be reached now.
    pub(crate) fn hasten(&mut self, now: Instant) {
        let lately = self.sent.is_some_and(|sent| now.saturating_duration_since(sent) < DOUBT / 2);
        if let Phase::Searching { due, .. } = &mut self.phase
            && !lately
        {
            *due = now;
        }
    }

    /// What was known may have changed: the next check is due.
    pub(crate) fn recheck(&mut self) {
        self.sent = None;
    }

    /// Not checked any more; what is known of it may be old.
    pub(crate) fn rest(&mut self) {
        self.phase = Phase::Idle;
        self.open.clear();
    }

    /// True once if it was proven and is dead.
    pub(crate) fn dies(&mut self, now: Instant) -> bool {
        let Phase::Proven { doubt: Some(since), .. } = self.phase else { return false };
        let dead = now.saturating_duration_since(since) >= DEATH && self.unanswered(now) >= LEAST_UNANSWERED;
        if dead {
            self.rest();
        }
        dead
    }

    /// When the next check is to be sent. `interval`: of a proven target without doubt; `None`: no more.
    pub(crate) fn due(&self, interval: Option<Duration>, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Idle => None,
            Phase::Searching { due, .. } => Some(due),
            Phase::Proven { doubt: Some(since), .. } => {
                let sent = self.sent.unwrap_or(since);
                Some((since + self.timeout()).max(sent + DOUBT))
            }
            Phase::Proven { doubt: None, .. } => {
                let interval = interval?;
                Some(self.sent.map_or(now, |sent| sent + interval))
            }
        }
    }

    /// A check is sent now.
    pub(crate) fn sends(&mut self, id: TransactionId, now: Instant) {
        if self.open.len() == MAX_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(Open { id, sent: now });
        self.sent = Some(now);
        match &mut self.phase {
            Phase::Idle => {}
            // The last one may be answered all the same.
            Phase::Searching { left: ..=1, .. } => self.phase = Phase::Idle,
            Phase::Searching { left, due } => {
                *left -= 1;
                let quick = SEARCH_CHECKS - *left <= QUICK_CHECKS || self.source != Source::Named;
                *due = now + if quick { QUICK } else { SLOW };
            }
            Phase::Proven { doubt, .. } => {
                doubt.get_or_insert(now);
            }
        }
    }

    /// An authentic answer from there. False if nothing open is answered by it.
    pub(crate) fn answers(&mut self, id: TransactionId, now: Instant) -> bool {
        let Some(place) = self.open.iter().position(|open| open.id == id) else { return false };
        let sent = self.open.drain(..=place).next_back().map_or(now, |open| open.sent);
        let measured = now.saturating_duration_since(sent);
        self.rtt = Some(match self.rtt {
            Some((rtt, samples)) => ((rtt * 7 + measured) / 8, samples.saturating_add(1)),
            None => (measured, 1),
        });
        self.answered = Some(now);
        if self.source == Source::Guessed {
            self.source = Source::Heard;
            self.candidate.kind = Kind::PeerReflexive;
        }
        self.phase = Phase::Proven {
            since: self.proven_since().unwrap_or(now),
            doubt: self.open.front().map(|open| open.sent),
        };
        true
    }

    pub(crate) fn status(&self) -> Checked {
        match (self.phase, self.answered, self.rtt()) {
            (Phase::Searching { .. }, _, _) => Checked::Waiting { since: self.searched.or(self.sent) },
            (Phase::Proven { .. }, Some(at), Some(rtt)) => Checked::Answered { rtt, at },
            _ if self.searched.is_none() && self.answered.is_none() => Checked::Never,
            (Phase::Idle | Phase::Proven { .. }, last, _) => Checked::Silent { last },
        }
    }

    /// How long an answer is waited for.
    pub(crate) fn timeout(&self) -> Duration {
        self.rtt().unwrap_or(INITIAL_RTT) * 5 / 4 + Duration::from_millis(50)
    }
}
