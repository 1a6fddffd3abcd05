//! Whether an engine still carries anything: what was sent for a while and nothing heard is asked for by probes.
//!
//! ```text
//!   Quiet ── sent ──► Waiting ── 1 s ──► Probing ── 3 probes, 500 ms each ──► Silent
//!     ▲                  │                  │                                   │
//!     └──── heard ───────┴──────────────────┴────── heard: Answers ─────────────┘
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::watch::Watch;

/// What is sent should be answered within so long: most traffic has an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// A probe is answered at once: three round trips of a slow path.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Probes without an answer until an engine counts as silent.
pub(crate) const MOST_PROBES: u8 = 3;
/// While it is silent and something is still sent.
const SILENT_INTERVAL: Duration = Duration::from_secs(1);

/// What workers note of one engine of one peer; written once for each look of the timers.
pub(crate) struct Marks {
    sent: AtomicBool,
    heard: AtomicBool,
    /// The peer asked for the third time.
    unheard: AtomicBool,
    /// An inner packet went or came.
    used: AtomicBool,
    watch: Arc<Watch>,
}

impl Marks {
    /// `watch` is called with the first note since the last look.
    pub(crate) fn new(watch: Arc<Watch>) -> Self {
        Self {
            sent: AtomicBool::default(),
            heard: AtomicBool::default(),
            unheard: AtomicBool::default(),
            used: AtomicBool::default(),
            watch,
        }
    }

    /// An inner packet was sealed, or waits for a session.
    pub(crate) fn sent(&self) {
        self.set(&self.sent);
        self.set(&self.used);
    }

    /// An authentic packet came, be it empty.
    pub(crate) fn heard(&self) {
        self.set(&self.heard);
    }

    /// An inner packet came, or goes that the peer is to answer by itself.
    pub(crate) fn used(&self) {
        self.set(&self.used);
    }

    /// The peer has heard nothing of our answers.
    pub(crate) fn unheard(&self) {
        self.set(&self.unheard);
    }

    /// Whether inner packets went or came since this was last asked.
    pub(crate) fn take_used(&self) -> bool {
        take(&self.used)
    }

    /// Whether nothing was noted.
    pub(crate) fn are_blank(&self) -> bool {
        [&self.sent, &self.heard, &self.unheard, &self.used].iter().all(|mark| !mark.load(Ordering::Relaxed))
    }

    /// Forgets what only [`Liveness::look`] asks for.
    pub(crate) fn wipe(&self) {
        self.take();
    }

    fn take(&self) -> Noted {
        Noted { sent: take(&self.sent), heard: take(&self.heard), unheard: take(&self.unheard) }
    }

    /// Leaves the cache line alone where that changes nothing.
    fn set(&self, mark: &AtomicBool) {
        if !mark.load(Ordering::Relaxed) {
            mark.store(true, Ordering::Relaxed);
            self.watch.call();
        }
    }
}

fn take(mark: &AtomicBool) -> bool {
    mark.load(Ordering::Relaxed) && mark.swap(false, Ordering::Relaxed)
}

/// Since the last look.
#[derive(Debug, Clone, Copy, Default)]
struct Noted {
    sent: bool,
    heard: bool,
    unheard: bool,
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// To be asked, after so many probes without an answer.
    Probe {
        attempt: u8,
    },
    Silent,
    /// It is heard for the first time, or again.
    Answers,
    /// It hears nothing of us.
    Unheard,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Quiet,
    Waiting {
        since: Instant,
    },
    Probing {
        attempt: u8,
        next: Instant,
    },
    Silent {
        next: Instant,
    },
}

/// One engine of one peer, as the timers see it.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    state: State,
    heard: Option<Instant>,
}

impl Liveness {
    /// Whether [`Self::look`] has nothing to find until something is noted.
    pub(crate) const fn is_quiet(&self) -> bool {
        matches!(self.state, State::Quiet)
    }

    /// When it was last heard, to a tick.
    pub(crate) const fn last_heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Looks at what was noted; at most two findings.
    pub(crate) fn look(&mut self, marks: &Marks, now: Instant) -> [Option<Finding>; 2] {
        let Noted { sent, heard, unheard } = marks.take();
        let complaint = unheard.then_some(Finding::Unheard);
        let own = if heard { self.is_heard(now) } else { self.is_not_heard(sent, now) };
        [own, complaint]
    }

    fn is_heard(&mut self, now: Instant) -> Option<Finding> {
        let was_silent = matches!(std::mem::take(&mut self.state), State::Silent { .. });
        let is_first = self.heard.replace(now).is_none();
        (was_silent || is_first).then_some(Finding::Answers)
    }

    fn is_not_heard(&mut self, sent: bool, now: Instant) -> Option<Finding> {
        match self.state {
            State::Quiet if sent => {
                self.state = State::Waiting { since: now };
                None
            }
            State::Waiting { since } if now.saturating_duration_since(since) >= PATIENCE => {
                self.state = State::Probing { attempt: 1, next: now + PROBE_INTERVAL };
                Some(Finding::Probe { attempt: 0 })
            }
            State::Probing { attempt: MOST_PROBES, next } if now >= next => {
                self.state = State::Silent { next: now + SILENT_INTERVAL };
                Some(Finding::Silent)
            }
            State::Probing { attempt, next } if now >= next => {
                self.state = State::Probing { attempt: attempt + 1, next: now + PROBE_INTERVAL };
                Some(Finding::Probe { attempt })
            }
            State::Silent { next } if sent && now >= next => {
                self.state = State::Silent { next: now + SILENT_INTERVAL };
                Some(Finding::Probe { attempt: MOST_PROBES })
            }
            State::Quiet | State::Waiting { .. } | State::Probing { .. } | State::Silent { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use twinmesh_wireguard::PeerIndex;

    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    fn marks() -> Marks {
        Marks::new(Arc::new(Watch::new(PeerIndex::of_receiver(0x100), Arc::default())))
    }

    /// Findings with the milliseconds after the start; `each` says for each tick what was sent and heard.
    fn findings(ticks: u32, each: impl Fn(u32) -> (bool, bool)) -> Vec<(u32, Finding)> {
        let (marks, mut liveness, start) = (marks(), Liveness::default(), Instant::now());
        let mut found = Vec::new();
        for tick in 0..ticks {
            let (sent, heard) = each(tick);
            if sent {
                marks.sent();
            }
            if heard {
                marks.heard();
            }
            let now = start + tick * TICK;
            found.extend(
                liveness.look(&marks, now).into_iter().flatten().map(|finding| (tick * 100, finding)),
            );
        }
        found
    }

    #[test]
    fn what_is_sent_without_an_answer_is_asked_for_and_silent_within_three_seconds() {
        let probe = |attempt| Finding::Probe { attempt };
        let found = findings(40, |tick| (tick >= 5, tick == 0));
        assert_eq!(
            found,
            [
                (0, Finding::Answers),
                (1500, probe(0)),
                (2000, probe(1)),
                (2500, probe(2)),
                (3000, Finding::Silent)
            ]
        );
    }

    #[test]
    fn one_packet_is_enough_to_find_it_and_nothing_more_is_asked_while_nothing_is_sent() {
        let found = findings(200, |tick| (tick == 0, false));
        assert_eq!(found.last(), Some(&(2500, Finding::Silent)));
        let found = findings(60, |_| (true, false));
        let later: Vec<_> = found.iter().filter(|(at, _)| *at > 2500).collect();
        let asked = Finding::Probe { attempt: MOST_PROBES };
        assert_eq!(later, [&(3500, asked), &(4500, asked), &(5500, asked)]);
    }

    #[test]
    fn whoever_is_heard_again_is_told_of_once() {
        let found = findings(50, |tick| (tick < 30, tick >= 40));
        assert_eq!(found.iter().filter(|(_, finding)| *finding == Finding::Answers).count(), 1);
        assert_eq!(found.last(), Some(&(4000, Finding::Answers)));
    }

    #[test]
    fn one_way_traffic_costs_one_probe_a_second_and_idle_peers_none() {
        // Each probe is answered within the same tick.
        let (marks, mut liveness, start) = (marks(), Liveness::default(), Instant::now());
        let mut probes = 0;
        for tick in 0..100 {
            marks.sent();
            let [own, _] = liveness.look(&marks, start + tick * TICK);
            if matches!(own, Some(Finding::Probe { .. })) {
                probes += 1;
                marks.heard();
            }
        }
        assert!((7..=10).contains(&probes), "{probes}");
        assert_eq!(findings(100, |_| (false, false)), []);
    }

    #[test]
    fn a_complaint_of_the_peer_is_passed_on_once() {
        let (marks, mut liveness, now) = (marks(), Liveness::default(), Instant::now());
        marks.unheard();
        assert_eq!(liveness.look(&marks, now)[1], Some(Finding::Unheard));
        assert_eq!(liveness.look(&marks, now), [None, None]);
    }
}
