//! The change of one pair from one engine to the other, and what to do when one carries nothing.
//!
//! ```text
//!   wish: ESP        IKE, probes          an answer                      30 s, unused
//!   WireGuard ─────► both are up ────────► ESP sends ─────────────────► WireGuard closed
//!                        │ 10 s              │ silent
//!                        └─► WireGuard stays └─► WireGuard, if it answers; back when ESP has proven itself
//!                            and says why
//! ```
//!
//! An engine is proven by an answer to a probe that went by it: both directions pass. Each end does this by itself, and
//! both receive by either engine, so the ends need not change at the same time.
//!
//! Inputs are the methods that take `now`; after each, and after [`Change::handle_timeout`], take all of
//! [`Change::poll_step`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use twinmesh_control::Generation;

/// What may carry the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::daemon) enum Carrier {
    WireGuard,
    Esp,
}

impl Carrier {
    const BOTH: [Self; 2] = [Self::WireGuard, Self::Esp];

    pub(in crate::daemon) const fn other(self) -> Self {
        match self {
            Self::WireGuard => Self::Esp,
            Self::Esp => Self::WireGuard,
        }
    }
}

/// What the coordinator has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) struct Wish {
    pub(in crate::daemon) carrier: Carrier,
    pub(in crate::daemon) generation: Generation,
    /// Whether the other may stand in while this one fails: never against compliance, and not where the peer cannot
    /// speak it.
    pub(in crate::daemon) other_allowed: bool,
}

/// What the agent is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Step {
    /// Bring it up, beside the other.
    Open(Carrier),
    /// Nothing needs it any more; [`Change::is_used`] says that the peer still does.
    Close(Carrier),
    /// Send by it.
    Send(Carrier),
    Probe(Carrier),
    /// Its keys may be of no use any more.
    Renew(Carrier),
    Failed(Carrier, Failure),
    /// It works again, or is to be tried anew.
    Recovered(Carrier),
}

/// Why a carrier does not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Failure {
    /// What was sent has no answer.
    Silent,
    /// The change to it took too long.
    NotUpInTime,
}

/// A change that takes longer has failed, though it is not given up.
const CHANGE_TIME: Duration = Duration::from_secs(10);
/// The old one is received on for so long.
const GRACE: Duration = Duration::from_secs(30);
/// How long one that the peer still uses is kept before it is looked at again.
const USED: Duration = Duration::from_secs(5);
/// Of a change, and of a doubt.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// What has failed is asked ever more seldom.
const LONGEST_INTERVAL: Duration = Duration::from_secs(16);
/// A peer that hears nothing of us may have asked on a bad path.
const DOUBT: Duration = Duration::from_secs(1);
/// One that has failed is not gone back to for so long, and for twice as long after each further time.
const FIRST_HOLD: Duration = Duration::from_secs(10);
const LONGEST_HOLD: Duration = Duration::from_mins(10);

#[derive(Clone, Copy, Debug)]
struct Trial {
    since: Instant,
    next: Instant,
    interval: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Side {
    is_open: bool,
    has_failed: bool,
    trial: Option<Trial>,
    closing: Option<Instant>,
    held: Option<Instant>,
    hold: Option<Duration>,
}

/// One pair, seen from one end.
#[derive(Debug)]
pub(in crate::daemon) struct Change {
    wish: Wish,
    sending: Carrier,
    /// The generation that it sends by.
    generation: Generation,
    sides: [Side; 2],
    doubt: Option<Instant>,
    steps: VecDeque<Step>,
}

impl Change {
    /// A pair of which nothing stands yet.
    pub(in crate::daemon) fn new(wish: Wish) -> Self {
        let mut change = Self {
            wish,
            sending: wish.carrier,
            generation: wish.generation,
            sides: [Side::default(); 2],
            doubt: None,
            steps: VecDeque::new(),
        };
        change.open(wish.carrier);
        change.steps.push_back(Step::Send(wish.carrier));
        change
    }

    pub(in crate::daemon) const fn sending(&self) -> Carrier {
        self.sending
    }

    /// What is sent by carries nothing.
    pub(in crate::daemon) fn has_failed(&self) -> bool {
        self.side(self.sending).has_failed
    }

    /// Of the choice that is sent by.
    pub(in crate::daemon) const fn generation(&self) -> Generation {
        self.generation
    }

    pub(in crate::daemon) const fn wish(&self) -> Wish {
        self.wish
    }

    pub(in crate::daemon) fn is_open(&self, carrier: Carrier) -> bool {
        self.side(carrier).is_open
    }

    pub(in crate::daemon) fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// The next probe, closing or end of patience.
    pub(in crate::daemon) fn poll_timeout(&self) -> Option<Instant> {
        let trials = self.sides.iter().filter_map(|side| side.trial.map(|trial| trial.next));
        let closing = self.sides.iter().filter_map(|side| side.closing);
        trials.chain(closing).chain(self.doubt).min()
    }

    /// The coordinator has chosen anew.
    pub(in crate::daemon) fn set_wish(&mut self, now: Instant, wish: Wish) {
        let before = std::mem::replace(&mut self.wish, wish);
        if before == wish {
            return;
        }
        if before.generation != wish.generation {
            for carrier in Carrier::BOTH {
                self.recovered(carrier);
                let side = self.side_mut(carrier);
                (side.held, side.hold, side.trial) = (None, None, None);
            }
        }
        let other = wish.carrier.other();
        if !wish.other_allowed && self.sending == other {
            // Whatever works of it may not.
            self.switch(now, wish.carrier);
            self.close(other);
        } else if !wish.other_allowed && self.side(other).is_open {
            self.close(other);
        }
        if self.sending == wish.carrier {
            self.generation = wish.generation;
            self.side_mut(wish.carrier).closing = None;
            if self.side(other).is_open {
                self.side_mut(other).closing.get_or_insert(now + GRACE);
            }
        }
        self.look(now);
    }

    /// A probe was answered.
    pub(in crate::daemon) fn proven(&mut self, now: Instant, carrier: Carrier) {
        if !self.allows(carrier) {
            return;
        }
        self.recovered(carrier);
        if carrier == self.sending {
            self.doubt = None;
        } else if self.side(self.sending).has_failed
            || (carrier == self.wish.carrier && self.side(carrier).held.is_none_or(|until| until <= now))
        {
            self.open(carrier);
            self.switch(now, carrier);
        }
        self.look(now);
    }

    /// What was sent by it has no answer, nor have probes.
    pub(in crate::daemon) fn silent(&mut self, now: Instant, carrier: Carrier) {
        if carrier != self.sending || self.side(carrier).has_failed {
            return;
        }
        self.doubt = None;
        let side = self.side_mut(carrier);
        side.has_failed = true;
        let hold = side.hold.map_or(FIRST_HOLD, |hold| (hold * 2).min(LONGEST_HOLD));
        (side.hold, side.held) = (Some(hold), Some(now + hold));
        self.steps.push_back(Step::Failed(carrier, Failure::Silent));
        self.steps.push_back(Step::Renew(carrier));
        self.look(now);
    }

    /// The peer says that it hears nothing of what we send by it.
    pub(in crate::daemon) fn doubted(&mut self, now: Instant, carrier: Carrier) {
        if carrier == self.sending && !self.side(carrier).has_failed && self.doubt.is_none() {
            self.doubt = Some(now + DOUBT);
            self.look(now);
        }
    }

    /// The peer sends by it.
    pub(in crate::daemon) fn heard(&mut self, now: Instant, carrier: Carrier) {
        let tried = self.side_mut(carrier);
        if let Some(trial) = &mut tried.trial {
            trial.next = trial.next.min(now);
        }
    }

    /// The peer wants to speak it: this end may have nothing to send, and not know that the other fails.
    pub(in crate::daemon) fn called(&mut self, now: Instant, carrier: Carrier) {
        if self.allows(carrier) && !self.side(carrier).is_open {
            self.open(carrier);
            self.side_mut(carrier).closing = Some(now + GRACE);
        }
    }

    /// The peer still sends by what was to be closed.
    pub(in crate::daemon) fn is_used(&mut self, now: Instant, carrier: Carrier) {
        let side = self.side_mut(carrier);
        (side.is_open, side.closing) = (true, Some(now + USED));
    }

    pub(in crate::daemon) fn handle_timeout(&mut self, now: Instant) {
        if self.doubt.is_some_and(|until| until <= now) {
            self.silent(now, self.sending);
        }
        for carrier in Carrier::BOTH {
            self.try_if_due(now, carrier);
            let side = self.side(carrier);
            if side.closing.is_some_and(|at| at <= now) {
                self.side_mut(carrier).closing = None;
                if carrier != self.sending && carrier != self.wish.carrier {
                    self.close(carrier);
                }
            }
        }
        self.look(now);
    }

    fn try_if_due(&mut self, now: Instant, carrier: Carrier) {
        let is_change = carrier == self.wish.carrier && carrier != self.sending;
        let side = self.side_mut(carrier);
        let Some(trial) = side.trial.as_mut().filter(|trial| trial.next <= now) else { return };
        let late = is_change && !side.has_failed && now.saturating_duration_since(trial.since) >= CHANGE_TIME;
        if late || side.has_failed {
            trial.interval = (trial.interval * 2).min(LONGEST_INTERVAL);
        }
        trial.next = now + trial.interval;
        side.has_failed |= late;
        self.steps.push_back(Step::Probe(carrier));
        if late {
            self.steps.push_back(Step::Failed(carrier, Failure::NotUpInTime));
        }
    }

    /// Begins and ends trials.
    fn look(&mut self, now: Instant) {
        let failed = self.side(self.sending).has_failed;
        for carrier in Carrier::BOTH {
            let is_sending = carrier == self.sending;
            let wanted = self.allows(carrier)
                && ((carrier == self.wish.carrier && !is_sending)
                    || failed
                    || (is_sending && self.doubt.is_some()));
            if !wanted {
                self.side_mut(carrier).trial = None;
            } else if self.side(carrier).trial.is_none() {
                self.open(carrier);
                let trial = Trial { since: now, next: now, interval: PROBE_INTERVAL };
                self.side_mut(carrier).trial = Some(trial);
            }
        }
        if self.poll_timeout().is_some_and(|at| at <= now) {
            for carrier in Carrier::BOTH {
                self.try_if_due(now, carrier);
            }
        }
    }

    fn switch(&mut self, now: Instant, carrier: Carrier) {
        let old = std::mem::replace(&mut self.sending, carrier);
        self.doubt = None;
        self.side_mut(carrier).closing = None;
        self.side_mut(carrier).trial = None;
        if carrier == self.wish.carrier {
            self.generation = self.wish.generation;
        }
        self.open(carrier);
        self.steps.push_back(Step::Send(carrier));
        if old != self.wish.carrier {
            self.side_mut(old).closing = Some(now + GRACE);
        }
    }

    fn open(&mut self, carrier: Carrier) {
        let side = self.side_mut(carrier);
        side.closing = None;
        if !std::mem::replace(&mut side.is_open, true) {
            self.steps.push_back(Step::Open(carrier));
        }
    }

    fn close(&mut self, carrier: Carrier) {
        let side = self.side_mut(carrier);
        (side.trial, side.closing) = (None, None);
        if std::mem::take(&mut side.is_open) {
            self.steps.push_back(Step::Close(carrier));
        }
    }

    fn recovered(&mut self, carrier: Carrier) {
        if std::mem::take(&mut self.side_mut(carrier).has_failed) {
            self.steps.push_back(Step::Recovered(carrier));
        }
    }

    fn allows(&self, carrier: Carrier) -> bool {
        carrier == self.wish.carrier || self.wish.other_allowed
    }

    const fn side(&self, carrier: Carrier) -> &Side {
        let [wireguard, esp] = &self.sides;
        match carrier {
            Carrier::WireGuard => wireguard,
            Carrier::Esp => esp,
        }
    }

    const fn side_mut(&mut self, carrier: Carrier) -> &mut Side {
        let [wireguard, esp] = &mut self.sides;
        match carrier {
            Carrier::WireGuard => wireguard,
            Carrier::Esp => esp,
        }
    }
}

#[cfg(test)]
mod tests;
