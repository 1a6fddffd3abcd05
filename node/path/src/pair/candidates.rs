//! Which addresses of a peer's are tried: those that the map names, those from which the peer was heard, and guesses.

use std::net::SocketAddr;
use std::time::Instant;

use super::pair::Pair;
use super::settings::{Candidate, Kind, LocalSettings, MAX_CANDIDATES};
use super::target::{Source, Target};
use crate::behaviour::Mapping;
use crate::message::{canonical, is_host};

/// From which the peer was heard.
const MAX_HEARD: usize = 4;
/// A NAT that maps by destination often takes the next port for the next destination, and the peer tries that many of
/// our addresses and more.
const MAX_GUESSED: u16 = 16;
const FIRST_PORT: u16 = 1024;

impl Pair {
    /// Takes the peer's addresses. What works is kept, though the map may not name it any more. `guesses`: the peer's
    /// NAT is one whose next port may be guessed.
    pub(crate) fn set(&mut self, candidates: &[Candidate], guesses: bool, now: Instant) {
        let mut named: Vec<Candidate> = Vec::new();
        for candidate in candidates.iter().take(MAX_CANDIDATES) {
            let candidate = Candidate { address: canonical(candidate.address), ..*candidate };
            if is_host(&candidate.address) && !named.iter().any(|other| other.address == candidate.address) {
                named.push(candidate);
            }
        }
        let guessed = if guesses { guess(&named) } else { Vec::new() };
        let find = |list: &[Candidate], address| list.iter().copied().find(|other| other.address == address);
        for target in &mut self.targets {
            if let Some(candidate) = find(&named, target.address()) {
                (target.candidate, target.source) = (candidate, Source::Named);
            } else if target.source != Source::Heard && !target.is_relayed() && target.is_proven() {
                target.candidate.kind = Kind::PeerReflexive;
                target.source = Source::Heard;
            }
        }
        self.targets.retain(|target| match target.source {
            Source::Named => find(&named, target.address()).is_some(),
            Source::Heard => true,
            Source::Guessed => find(&guessed, target.address()).is_some(),
        });
        self.forget_heard(MAX_HEARD);
        let mut news = false;
        let named = named.into_iter().map(|candidate| (candidate, Source::Named));
        for (candidate, source) in named.chain(guessed.into_iter().map(|guess| (guess, Source::Guessed))) {
            if self.target(candidate.address).is_none() {
                news = true;
                self.targets.push(Target::new(candidate, source));
            }
        }
        if news && self.in_use(now) {
            self.news(now);
        }
    }

    /// Whatever the peer was heard from is tried, within bounds.
    pub(super) fn target_or_learn(
        &mut self,
        address: SocketAddr,
        local: &LocalSettings,
        now: Instant,
    ) -> Option<&mut Target> {
        let known = self.target(address).map(|target| target.source);
        if known.is_none() {
            if !is_host(&address) || !self.learning.take(now) {
                return None;
            }
            self.forget_heard(MAX_HEARD - 1);
            let at_relay = local.relays.contains(&address.ip())
                || self
                    .targets
                    .iter()
                    .any(|other| other.is_relayed() && other.address().ip() == address.ip());
            let kind = if at_relay { Kind::Relayed } else { Kind::PeerReflexive };
            self.targets.push(Target::new(Candidate { address, kind }, Source::Heard));
        }
        self.target_mut(address)
    }

    /// The chosen one stays, then those that work, then the newest.
    fn forget_heard(&mut self, most: usize) {
        let is_heard = |target: &&Target| target.source == Source::Heard;
        while self.targets.iter().filter(is_heard).count() > most {
            let chosen = self.chosen.map(|chosen| chosen.address);
            let rank = |(at, target): (usize, &Target)| {
                let spare = is_heard(&target) && Some(target.address()) != chosen;
                spare.then_some((target.is_proven(), target.answered(), at))
            };
            let Some((_, _, at)) = self.targets.iter().enumerate().filter_map(rank).min() else { return };
            self.targets.remove(at);
        }
    }
}

/// Whether the ports that the peer's NAT takes are worth guessing: it takes one for each destination, and ours does not.
pub(super) fn is_guessable(own: Option<Mapping>, peer: Option<Mapping>) -> bool {
    let by_destination = |mapping: Option<Mapping>| {
        matches!(mapping, Some(Mapping::AddressDependent | Mapping::AddressAndPortDependent))
    };
    by_destination(peer) && !by_destination(own)
}

/// The ports after the one that a STUN server saw.
fn guess(named: &[Candidate]) -> Vec<Candidate> {
    let is_seen = |candidate: &&Candidate| candidate.kind == Kind::Reflexive && candidate.address.is_ipv4();
    let Some(seen) = named.iter().find(is_seen) else { return Vec::new() };
    let port = |step| seen.address.port().checked_add(step).unwrap_or(FIRST_PORT + step);
    (1..=MAX_GUESSED)
        .map(|step| Candidate {
            address: SocketAddr::new(seen.address.ip(), port(step)),
            kind: Kind::Predicted,
        })
        .filter(|guess| !named.iter().any(|candidate| candidate.address == guess.address))
        .collect()
}
