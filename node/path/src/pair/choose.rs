//! Which path a pair takes.
//!
//! | the present path | and | then |
//! |---|---|---|
//! | direct | no answer for 1.6 s | another direct one that answered meanwhile, else the relay, else none |
//! | direct | no answer for 1 s, and another direct one answered meanwhile | that one |
//! | direct | four checks without an answer, and the peer was heard at another direct one, which answered meanwhile | that one |
//! | direct | 10 minutes without use, and a relay stands | the relay |
//! | direct | another one's round trip is shorter by a quarter and 10 ms | that one, once a minute at most |
//! | direct | the tunnel passes nothing, and a relay stands | the relay |
//! | relayed or none | a direct one was answered, and has been for as long as the hold asks | that one |
//! | relayed or none | | the peer's relayed address that answers, if this node has a relay |
//!
//! The hold is zero until a direct path dies in use; then it is 3 s, and doubles with each death up to a minute. Two
//! minutes of health, a change of the network or long disuse end it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::pair::{Chosen, Pair};
use super::path::Why;
use super::settings::{LEAST_KEEPALIVE, LocalSettings};
use super::target::{DEATH, Target};

const FIRST_HOLD: Duration = Duration::from_secs(3);
/// What answers checks and passes nothing else proves little by answering.
const SILENT_HOLD: Duration = Duration::from_secs(10);
const MOST_HOLD: Duration = Duration::from_mins(1);
const HEALTH: Duration = Duration::from_mins(2);
/// Before this, silence may be the former path's.
const SILENCE: Duration = Duration::from_secs(3);
/// In doubt for so long, a path gives way to one that answers.
const DOUBT: Duration = Duration::from_secs(1);
/// So many unanswered checks are as good while the peer seems to have moved; one may just be lost.
const UNANSWERED_OF_MOVED: usize = 4;
/// After a choice, before a round trip counts…
const FIRST_DWELL: Duration = Duration::from_secs(15);
/// …and after one for the round trip.
const DWELL: Duration = Duration::from_mins(1);
/// As long as it takes until a STUN server sees the new mapping and the map tells of it.
const FOUND_AGAIN: Duration = Duration::from_secs(40);
const LEAST_GAIN: Duration = Duration::from_millis(10);

impl Pair {
    /// Takes the best path. Why, if that is another one.
    pub(super) fn choose(&mut self, local: &LocalSettings, now: Instant) -> Option<Why> {
        let before = self.chosen.map(|chosen| chosen.address);
        let mut died = false;
        for target in &mut self.targets {
            died |= target.dies(now) && Some(target.address()) == before && !target.is_relayed();
        }
        let (address, why) = if died { self.after_death(local, now) } else { self.better(local, now) };
        let moves = self.take(address, now);
        if moves && self.direct().is_some() {
            self.found_again(local, now);
        }
        moves.then_some(why)
    }

    /// The tunnel passes nothing although checks are answered.
    pub(super) fn silent(&mut self, local: &LocalSettings, now: Instant) -> Option<Why> {
        let relay = self.relayed(local)?;
        let since = self.chosen?.since;
        if self.direct().is_none() || now < since + SILENCE {
            return None;
        }
        self.raise_hold(SILENT_HOLD, now);
        for target in self.targets.iter_mut().filter(|target| !target.is_relayed()) {
            target.rest();
        }
        self.take(Some(relay), now);
        self.news(now);
        Some(Why::Silent)
    }

    /// The chosen path, if it is a direct one that works.
    pub(super) fn direct(&self) -> Option<&Target> {
        let chosen = self.chosen?;
        self.target(chosen.address).filter(|target| !target.is_relayed() && target.is_proven())
    }

    /// The peer's address at a relay, if we can send there: the one in use unless only another answers.
    pub(super) fn relayed(&self, local: &LocalSettings) -> Option<SocketAddr> {
        if !local.has_relay {
            return None;
        }
        let relayed = || self.targets.iter().filter(|target| target.is_relayed());
        let chosen = self.chosen.map(|chosen| chosen.address);
        let is_chosen = |target: &&Target| Some(target.address()) == chosen;
        relayed()
            .find(|target| is_chosen(target) && target.is_proven())
            .or_else(|| relayed().find(|target| target.is_proven()))
            .or_else(|| relayed().find(is_chosen))
            .or_else(|| relayed().next())
            .map(Target::address)
    }

    /// When a direct path will have proven itself for long enough.
    pub(super) fn hold_ends(&self, now: Instant) -> Option<Instant> {
        let ends = |target: &Target| target.proven_since().map(|since| since + self.hold);
        let waits = self.direct().is_none();
        let direct = self.targets.iter().filter(|target| waits && !target.is_relayed());
        direct.filter_map(ends).filter(|end| *end > now).min()
    }

    fn after_death(&mut self, local: &LocalSettings, now: Instant) -> (Option<SocketAddr>, Why) {
        let next = self.substitute(now.checked_sub(DEATH), local, now);
        if self.in_use(now) {
            if self.network_changed.is_none_or(|at| now >= at + SILENCE) {
                self.raise_hold(FIRST_HOLD, now);
            }
        } else {
            self.lost_unused = Some(now);
        }
        self.news(now);
        (next.or_else(|| self.relayed(local)), Why::Lost)
    }

    /// What died unused and is there again soon was a mapping that ended between two keepalives.
    fn found_again(&mut self, local: &LocalSettings, now: Instant) {
        let Some(lost) = self.lost_unused.take() else { return };
        if now < lost + FOUND_AGAIN && !self.in_use(now) {
            let keepalive = self.keepalive.unwrap_or(local.keepalive) / 2;
            self.keepalive = Some(keepalive.max(LEAST_KEEPALIVE));
        }
    }

    fn better(&mut self, local: &LocalSettings, now: Instant) -> (Option<SocketAddr>, Why) {
        let Some(current) = self.direct() else { return self.without_direct(local, now) };
        let address = current.address();
        let (doubt, unanswered) = (current.doubted_since(), current.unanswered(now));
        if !self.is_warm(local, now)
            && let Some(relay) = self.relayed(local)
        {
            self.hold = Duration::ZERO;
            return (Some(relay), Why::Idle);
        }
        let moved = self.heard_elsewhere.is_some_and(|at| now < at + SILENCE);
        let left = moved && unanswered >= UNANSWERED_OF_MOVED;
        if (left || doubt.is_some_and(|since| now >= since + DOUBT))
            && let Some(next) = self.substitute(doubt, local, now)
        {
            // It was followed; what happens to the next path is another matter.
            self.heard_elsewhere = None;
            return (Some(next), Why::Lost);
        }
        if let Some(shorter) = self.shorter(local, now) {
            self.dwell = Some(now + DWELL);
            return (Some(shorter), Why::Shorter);
        }
        (Some(address), Why::Proven)
    }

    fn without_direct(&self, local: &LocalSettings, now: Instant) -> (Option<SocketAddr>, Why) {
        let direct = self.targets.iter().filter(|target| self.is_usable(target, local, now));
        if let Some(best) = direct.min_by_key(|target| target.rtt()) {
            return (Some(best.address()), Why::Proven);
        }
        let relay = self.relayed(local);
        let stays = relay.is_some() || self.chosen.is_none();
        (relay, if stays { Why::Relay } else { Why::Withdrawn })
    }

    /// A direct path that has answered since then.
    fn substitute(&self, since: Option<Instant>, local: &LocalSettings, now: Instant) -> Option<SocketAddr> {
        let chosen = self.chosen.map(|chosen| chosen.address);
        let answered = |target: &&Target| Some(target.address()) != chosen && target.answered() > since;
        let usable = self.targets.iter().filter(|target| self.is_usable(target, local, now));
        usable.filter(answered).min_by_key(|target| target.rtt()).map(Target::address)
    }

    fn shorter(&self, local: &LocalSettings, now: Instant) -> Option<SocketAddr> {
        let current = self.direct().filter(|target| !target.is_doubted(now))?;
        let rtt = current.sure_rtt()?;
        if now < self.chosen?.since + FIRST_DWELL || self.dwell.is_some_and(|until| now < until) {
            return None;
        }
        let gain = LEAST_GAIN.max(rtt / 4);
        let is_shorter = |target: &&Target| {
            !target.is_doubted(now) && target.sure_rtt().is_some_and(|other| other + gain < rtt)
        };
        let usable = self.targets.iter().filter(|target| self.is_usable(target, local, now));
        usable.filter(is_shorter).min_by_key(|target| target.rtt()).map(Target::address)
    }

    fn is_usable(&self, target: &Target, local: &LocalSettings, now: Instant) -> bool {
        let held = |since: Instant| now < since + self.hold && self.relayed(local).is_some();
        !target.is_relayed() && target.proven_since().is_some_and(|since| !held(since))
    }

    /// True if it is another one.
    fn take(&mut self, address: Option<SocketAddr>, now: Instant) -> bool {
        let moves = address != self.chosen.map(|chosen| chosen.address);
        if moves {
            self.chosen = address.map(|address| Chosen { address, since: now });
        }
        moves
    }

    fn raise_hold(&mut self, least: Duration, now: Instant) {
        if self.chosen.is_some_and(|chosen| now >= chosen.since + HEALTH) {
            self.hold = Duration::ZERO;
        }
        self.hold = (self.hold * 2).clamp(least, MOST_HOLD);
    }
}
