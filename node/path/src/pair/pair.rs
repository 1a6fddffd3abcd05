//! One pair: its peer's addresses, what use is made of it, and when what is checked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

use super::allowance::Allowance;
use super::check::{self, Use};
use super::outbox::Outbox;
use super::path::{CandidateStatus, PairStatus, Path, Why};
use super::secret::PairSecret;
use super::settings::{Candidate, LocalSettings};
use super::sizes;
use super::target::{Source, Target};
use crate::message::canonical;

/// A pair is in use for so long after traffic.
const IN_USE: Duration = Duration::from_secs(10);
/// With a relay to begin with, a direct path is kept open for so long.
const WARM: Duration = Duration::from_mins(10);
/// Checks of what is in use…
const CHOSEN: Duration = Duration::from_millis(600);
/// …of a direct path that would do as well…
const STANDBY: Duration = Duration::from_secs(15);
/// …and of relayed ones.
const RELAYED: Duration = Duration::from_secs(5);
/// Between two searches of everything; doubled each time…
const LEAST_PAUSE: Duration = Duration::from_secs(5);
const MOST_PAUSE: Duration = Duration::from_mins(1);
/// …and after news.
const NEWS_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Pair {
    pub(crate) secret: PairSecret,
    pub(super) targets: Vec<Target>,
    pub(super) chosen: Option<Chosen>,
    /// Traffic, and the peer's word of traffic.
    used: Option<Instant>,
    peer_used: Option<Instant>,
    round: Option<Instant>,
    pause: Duration,
    pub(super) hold: Duration,
    /// When the network changed: paths that die then are not to blame.
    pub(super) network_changed: Option<Instant>,
    /// Data of the peer's came from where no path was proven: it may have moved there.
    pub(super) heard_elsewhere: Option<Instant>,
    /// When the direct path died while nobody used it.
    pub(super) lost_unused: Option<Instant>,
    /// Shorter than others' where mappings were found to live shorter.
    pub(super) keepalive: Option<Duration>,
    /// No other direct path for its round trip before then.
    pub(super) dwell: Option<Instant>,
    pub(super) learning: Allowance,
    answering: Allowance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) address: SocketAddr,
    pub(crate) since: Instant,
}

impl Pair {
    pub(crate) fn new(secret: PairSecret) -> Self {
        Self {
            secret,
            targets: Vec::new(),
            chosen: None,
            used: None,
            peer_used: None,
            round: None,
            pause: LEAST_PAUSE,
            hold: Duration::ZERO,
            network_changed: None,
            heard_elsewhere: None,
            lost_unused: None,
            keepalive: None,
            dwell: None,
            learning: Allowance::new(8, Duration::from_secs(10)),
            answering: Allowance::new(200, Duration::from_secs(1)),
        }
    }

    /// There is traffic for the peer, or of the peer's.
    pub(crate) fn used(&mut self, now: Instant) {
        let begins = !self.in_use(now);
        self.used = Some(now);
        if begins {
            self.news(now);
        }
    }

    /// The peer was heard from there by other means than checks.
    pub(crate) fn heard(&mut self, from: SocketAddr, local: &LocalSettings, now: Instant) {
        self.used(now);
        let from = canonical(from);
        let Some(target) = self.target_or_learn(from, local, now) else { return };
        target.search(now);
        // It may have moved there; one that is merely heard by two ways is known at both.
        if !target.is_proven()
            && let Some(chosen) = self.chosen.filter(|chosen| chosen.address != from)
            && let Some(target) = self.target_mut(chosen.address)
        {
            target.recheck();
            self.heard_elsewhere = Some(now);
        }
    }

    /// An authentic check of the peer's.
    pub(crate) fn checked(
        &mut self,
        from: SocketAddr,
        id: TransactionId,
        purpose: Use,
        local: &LocalSettings,
        outbox: &mut Outbox,
        now: Instant,
    ) {
        if !self.answering.take(now) {
            return;
        }
        outbox.push(from, check::answer(&self.secret, id, self.purpose(now), from));
        let is_direct = self.direct().is_some();
        if purpose == Use::InUse {
            let begins = !self.in_use(now);
            self.peer_used = Some(now);
            if begins || !is_direct {
                self.round_if_rested(now);
            }
        }
        let looks = is_direct || self.in_use(now);
        if let Some(target) = self.target_or_learn(from, local, now)
            && looks
        {
            target.search(now);
            target.hasten(now);
        }
    }

    /// An authentic answer of the peer's. False if it answers nothing that is open.
    pub(crate) fn answered(&mut self, from: SocketAddr, id: TransactionId, now: Instant) -> bool {
        self.target_mut(canonical(from))
            .is_some_and(|target| target.answers(id, now) || target.sizes.answers(id, now))
    }

    /// Everything may be different now.
    pub(crate) fn network_changed(&mut self, now: Instant) {
        self.hold = Duration::ZERO;
        self.network_changed = Some(now);
        self.keepalive = None;
        for target in &mut self.targets {
            target.recheck();
            target.sizes.restart();
        }
        if self.in_use(now) {
            self.news(now);
        }
    }

    /// Sends the checks that are due, and chooses. Why the path is another, if it is.
    pub(crate) fn advance(
        &mut self,
        local: &LocalSettings,
        outbox: &mut Outbox,
        now: Instant,
    ) -> Option<Why> {
        if self.seeks(now) && self.next_round().is_none_or(|at| at <= now) {
            self.begin_round(now);
            // Without any path there is nothing better to do.
            let most = if self.chosen.is_some() { MOST_PAUSE } else { LEAST_PAUSE };
            self.pause = (self.pause * 2).clamp(LEAST_PAUSE, most);
        }
        let why = self.choose(local, now);
        self.targets.iter_mut().for_each(|target| target.sizes.set_limit(local.mtu));
        let in_use = self.in_use(now);
        for at in 0..self.targets.len() {
            let interval = self.interval(at, local, now);
            let purpose = self.purpose(now);
            let Some(target) = self.targets.get_mut(at) else { break };
            let unusable = target.is_relayed() && !local.has_relay;
            if unusable || (interval.is_none() && target.is_proven() && !in_use) {
                target.rest();
            } else if target.due(interval, now).is_some_and(|due| due <= now) {
                let id = outbox.transaction_id();
                target.sends(id, now);
                outbox.push(target.address(), check::request(&self.secret, id, purpose));
            }
        }
        self.measure(outbox, now);
        why
    }

    /// When [`Self::advance`] is due.
    pub(crate) fn deadline(&self, local: &LocalSettings, now: Instant) -> Option<Instant> {
        let in_use = self.in_use(now);
        let checks = (0..self.targets.len())
            .filter_map(|at| self.targets.get(at)?.due(self.interval(at, local, now), now));
        let sizes = self.measure_due(now);
        let round = self.next_round().filter(|_| self.seeks(now));
        let use_ends = self.last_use().map(|at| at + IN_USE).filter(|_| in_use);
        let warmth_ends = self.last_use().map(|at| at + WARM);
        let warmth_ends =
            warmth_ends.filter(|at| *at > now && self.relayed(local).is_some() && self.direct().is_some());
        checks.chain(round).chain(sizes).chain(use_ends).chain(warmth_ends).chain(self.hold_ends(now)).min()
    }

    pub(crate) fn path(&self, local: &LocalSettings) -> Option<Path> {
        let target = self.target(self.chosen?.address)?;
        let Candidate { address: remote, kind } = target.candidate;
        Some(Path { remote, kind, rtt: target.rtt(), mtu: sizes::mtu(target, local) })
    }

    pub(crate) fn status(&self, local: &LocalSettings, now: Instant) -> PairStatus {
        let state = |target: &Target| CandidateStatus { candidate: target.candidate, state: target.status() };
        PairStatus {
            path: self.path(local),
            since: self.chosen.map(|chosen| chosen.since),
            in_use: self.in_use(now),
            hold: Some(self.hold).filter(|hold| !hold.is_zero()),
            candidates: self.targets.iter().map(state).collect(),
        }
    }

    pub(crate) fn in_use(&self, now: Instant) -> bool {
        self.last_use().is_some_and(|at| now < at + IN_USE)
    }

    /// The direct path is kept open: it was used lately, or nothing else is there.
    pub(super) fn is_warm(&self, local: &LocalSettings, now: Instant) -> bool {
        self.relayed(local).is_none() || self.last_use().is_some_and(|at| now < at + WARM)
    }

    pub(super) fn target(&self, address: SocketAddr) -> Option<&Target> {
        self.targets.iter().find(|target| target.address() == address)
    }

    pub(super) fn target_mut(&mut self, address: SocketAddr) -> Option<&mut Target> {
        self.targets.iter_mut().find(|target| target.address() == address)
    }

    /// Looks for paths at once, even where that was done a little while ago.
    pub(super) fn news(&mut self, now: Instant) {
        self.pause = NEWS_PAUSE;
        if self.next_round().is_none_or(|at| at <= now) {
            self.pause = LEAST_PAUSE;
            self.begin_round(now);
        }
    }

    /// A peer that cannot reach us says so each second: it must not keep us searching.
    fn round_if_rested(&mut self, now: Instant) {
        if self.round.is_none_or(|at| now.saturating_duration_since(at) >= LEAST_PAUSE) {
            self.begin_round(now);
        }
    }

    fn begin_round(&mut self, now: Instant) {
        self.round = Some(now);
        let is_direct = self.direct().is_some();
        for target in &mut self.targets {
            if target.source != Source::Guessed || !is_direct {
                target.search_anew(now);
            }
        }
    }

    /// Looks for paths: for traffic, and for a while in place of one that was kept open.
    fn seeks(&self, now: Instant) -> bool {
        let lost = self.lost_unused.is_some_and(|at| now < at + WARM);
        self.in_use(now) || (lost && self.direct().is_none())
    }

    fn next_round(&self) -> Option<Instant> {
        self.round.map(|at| at + self.pause)
    }

    fn last_use(&self) -> Option<Instant> {
        self.used.max(self.peer_used)
    }

    /// What we tell of ourselves; not what the peer told us, or two ends would keep each other in use.
    pub(super) fn purpose(&self, now: Instant) -> Use {
        match self.used {
            Some(at) if now < at + IN_USE => Use::InUse,
            _ => Use::Kept,
        }
    }

    /// Between two checks of a target that works; `None`: it is not checked.
    fn interval(&self, at: usize, local: &LocalSettings, now: Instant) -> Option<Duration> {
        let target = self.targets.get(at)?;
        let is_chosen = self.chosen.is_some_and(|chosen| chosen.address == target.address());
        let in_use = self.in_use(now);
        if target.is_relayed() {
            return in_use.then_some(if is_chosen { RELAYED } else { STANDBY * 2 });
        }
        if is_chosen {
            return Some(if in_use { CHOSEN } else { self.keepalive.unwrap_or(local.keepalive) });
        }
        let works = self.direct().is_some_and(|chosen| !chosen.is_doubted(now));
        in_use.then_some(if works { STANDBY } else { CHOSEN })
    }
}
