//! Choosing a proposal as responder, checking the choice as initiator (RFC 7296 §2.7, §3.3.6).

use super::algorithm::{Transform, TransformKind};
use super::diagnosis::NoProposalChosen;
use super::proposal::{Proposal, Protocol};

/// A proposal of the peer's with the number it has in its SA payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub number: u8,
    pub proposal: Proposal,
}

/// One transform of each kind: what an SA payload that answers consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Of the proposal that was chosen.
    pub number: u8,
    protocol: Protocol,
    /// As they stand on the wire, NONE included where the peer offered it.
    transforms: Vec<Transform>,
}

/// Whether key exchanges belong to what is negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyExchanges {
    Negotiated,
    /// The child that IKE_AUTH makes has none (RFC 7296 §1.2), whatever a peer writes.
    Ignored,
}

/// The peer's answer to our proposals is none that it could give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAnswer {
    #[error("the peer chose proposal {0}, which was not offered")]
    Number(u8),
    #[error("the peer chose {0}, which was not offered")]
    NotOffered(Transform),
    #[error("the peer chose two {} algorithms", .0.as_str())]
    Twice(TransformKind),
    #[error("the peer chose no {} algorithm", .0.as_str())]
    Missing(TransformKind),
    #[error("the peer chose {0}, which is another round's already")]
    Repeated(Transform),
    #[error("the peer chose {0} without a first key exchange before it")]
    WithoutFirst(Transform),
}

impl Choice {
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn transforms(&self) -> &[Transform] {
        &self.transforms
    }

    fn of_kind(&self, kind: TransformKind) -> Option<Transform> {
        self.transforms.iter().copied().find(|transform| transform.kind == kind && !transform.is_none())
    }

    /// Every choice that this module makes has one.
    pub fn encryption(&self) -> Option<Transform> {
        self.of_kind(TransformKind::Encryption)
    }

    /// `None` beside a combined cipher.
    pub fn integrity(&self) -> Option<Transform> {
        self.of_kind(TransformKind::Integrity)
    }

    pub fn prf(&self) -> Option<Transform> {
        self.of_kind(TransformKind::Prf)
    }

    /// IANA's number of the group; `None` without a key exchange.
    pub fn key_exchange(&self) -> Option<u16> {
        self.of_kind(TransformKind::KeyExchange).map(|transform| transform.id)
    }

    /// Groups of the additional key exchanges, in their order (RFC 9370 §2.2.2).
    pub fn additional_key_exchanges(&self) -> impl Iterator<Item = u16> + '_ {
        (1..=7).filter_map(|round| self.of_kind(TransformKind::AdditionalKeyExchange(round))).map(|it| it.id)
    }

    pub fn esn(&self) -> bool {
        self.transforms.contains(&Transform::ESN)
    }

    /// Encryption and integrity in strongSwan's notation, such as `aes256-sha256`: the suite of an ESP SA.
    pub fn suite(&self) -> String {
        let parts = [self.encryption(), self.integrity()];
        parts.into_iter().flatten().map(|part| part.to_string()).collect::<Vec<_>>().join("-")
    }

    /// All of it in strongSwan's notation.
    pub fn name(&self) -> String {
        Proposal::offered(self.protocol, self.transforms.clone()).to_string()
    }
}

/// Chooses by our order of preference, ours before the peer's.
pub fn select(
    offers: &[Offer],
    allowed: &[Proposal],
    exchanges: KeyExchanges,
) -> Result<Choice, NoProposalChosen> {
    let prepared = |proposal: &Proposal| match exchanges {
        KeyExchanges::Negotiated => proposal.clone(),
        KeyExchanges::Ignored => proposal.without_key_exchange(),
    };
    for ours in allowed.iter().map(prepared) {
        for offer in offers {
            if let Some(transforms) = common(&ours, &prepared(&offer.proposal)) {
                return Ok(Choice { number: offer.number, protocol: ours.protocol(), transforms });
            }
        }
    }
    Err(NoProposalChosen::new(
        offers.iter().map(|offer| prepared(&offer.proposal)).collect(),
        allowed.iter().map(prepared).collect(),
    ))
}

/// One transform of each kind that either names, ours preferred.
pub(super) fn common(ours: &Proposal, theirs: &Proposal) -> Option<Vec<Transform>> {
    if ours.protocol() != theirs.protocol() {
        return None;
    }
    let is_round = |kind: &TransformKind| matches!(kind, TransformKind::AdditionalKeyExchange(_));
    let (rounds, others): (Vec<_>, Vec<_>) = kinds(ours, theirs).into_iter().partition(is_round);
    let chosen = others.into_iter().map(|kind| common_of_kind(ours, theirs, kind));
    let mut chosen: Vec<Transform> = chosen.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    let has_first = chosen.iter().any(|it| it.kind == TransformKind::KeyExchange && !it.is_none());
    let rounds: Vec<_> = rounds.into_iter().map(|kind| round(ours, theirs, kind, has_first)).collect();
    distinct(&rounds, &mut chosen).then_some(chosen)
}

/// What can be chosen for one additional key exchange; `None` is to leave it out. Without a first key exchange there is
/// nothing to add to.
fn round(ours: &Proposal, theirs: &Proposal, kind: TransformKind, has_first: bool) -> Vec<Option<Transform>> {
    let mine = ours.of_kind(kind).filter(|mine| has_first || mine.is_none());
    let shared: Vec<_> = mine.filter(|mine| theirs.of_kind(kind).any(|it| it == *mine)).map(Some).collect();
    if shared.is_empty() && can_do_without(ours, kind) && can_do_without(theirs, kind) {
        return vec![theirs.of_kind(kind).find(|it| it.is_none())];
    }
    shared
}

/// Adds one of each round to `chosen`, no method twice (RFC 9370 §2.2.1). False if it cannot be done.
fn distinct(rounds: &[Vec<Option<Transform>>], chosen: &mut Vec<Transform>) -> bool {
    let Some((first, rest)) = rounds.split_first() else { return true };
    let length = chosen.len();
    first.iter().any(|candidate| {
        chosen.truncate(length);
        if candidate.is_some_and(|it| is_repeated(it, chosen)) {
            return false;
        }
        chosen.extend(*candidate);
        distinct(rest, chosen)
    })
}

fn is_repeated(exchange: Transform, chosen: &[Transform]) -> bool {
    let is_exchange =
        |kind| matches!(kind, TransformKind::KeyExchange | TransformKind::AdditionalKeyExchange(_));
    let same =
        |it: &Transform| is_exchange(it.kind) && it.id == exchange.id && it.key_bits == exchange.key_bits;
    !exchange.is_none() && chosen.iter().any(same)
}

fn can_do_without(side: &Proposal, kind: TransformKind) -> bool {
    side.of_kind(kind).next().is_none() || side.of_kind(kind).any(Transform::is_none)
}

/// Kinds that one of two proposals names.
pub(super) fn kinds(ours: &Proposal, theirs: &Proposal) -> Vec<TransformKind> {
    let mut kinds: Vec<TransformKind> =
        ours.transforms().iter().chain(theirs.transforms()).map(|transform| transform.kind).collect();
    kinds.sort_unstable_by_key(|kind| kind.number());
    kinds.dedup();
    kinds
}

/// What two proposals have in common of one kind: `Some(None)` where leaving it out is what both can do.
#[expect(clippy::option_option, reason = "no agreement, agreement on nothing, agreement on something")]
pub(super) fn common_of_kind(
    ours: &Proposal,
    theirs: &Proposal,
    kind: TransformKind,
) -> Option<Option<Transform>> {
    // RFC 7296 §3.3.6: a proposal with a kind of transform that is not understood is not acceptable.
    if matches!(kind, TransformKind::Unknown(_)) {
        return None;
    }
    let mine: Vec<Transform> = ours.of_kind(kind).collect();
    let offered: Vec<Transform> = theirs.of_kind(kind).collect();
    if let Some(shared) = mine.iter().find(|transform| offered.contains(transform)) {
        return Some(Some(*shared));
    }
    // RFC 7296 §3.3.2: leaving a kind out means the same as NONE, which is said again if it was said.
    let is_optional = !matches!(kind, TransformKind::Encryption | TransformKind::Prf);
    let without = is_optional && can_do_without(ours, kind) && can_do_without(theirs, kind);
    // A peer that leaves it out means 32-bit numbers.
    if kind == TransformKind::SequenceNumbers && offered.is_empty() {
        return mine.contains(&Transform::NO_ESN).then_some(None);
    }
    without.then(|| offered.iter().copied().find(|transform| transform.is_none()))
}

/// Checks the one proposal that answers ours (RFC 7296 §2.7): a subset with one transform of each kind. `offered` are
/// our proposals in the order in which they were sent, numbered from 1.
pub fn check_answer(
    answer: &Offer,
    offered: &[Proposal],
    exchanges: KeyExchanges,
) -> Result<Choice, BadAnswer> {
    let ours = usize::from(answer.number)
        .checked_sub(1)
        .and_then(|index| offered.get(index))
        .ok_or(BadAnswer::Number(answer.number))?;
    let (ours, theirs) = match exchanges {
        KeyExchanges::Negotiated => (ours.clone(), answer.proposal.clone()),
        KeyExchanges::Ignored => (ours.without_key_exchange(), answer.proposal.without_key_exchange()),
    };
    for kind in kinds(&ours, &theirs) {
        if theirs.of_kind(kind).count() > 1 {
            return Err(BadAnswer::Twice(kind));
        }
        let chosen = theirs.of_kind(kind).next();
        let optional = kind == TransformKind::SequenceNumbers
            && ours.of_kind(kind).any(|it| it == Transform::NO_ESN)
            || ours.of_kind(kind).any(Transform::is_none);
        match chosen {
            Some(chosen) if ours.of_kind(kind).any(|it| it == chosen) => {}
            // NONE said aloud is what we left out.
            Some(chosen) if chosen.is_none() && ours.of_kind(kind).next().is_none() => {}
            Some(chosen) => return Err(BadAnswer::NotOffered(chosen)),
            None if optional => {}
            None => return Err(BadAnswer::Missing(kind)),
        }
    }
    let choice =
        Choice { number: answer.number, protocol: ours.protocol(), transforms: theirs.transforms().to_vec() };
    let mut seen = Vec::new();
    for chosen in (1..=7).filter_map(|round| choice.of_kind(TransformKind::AdditionalKeyExchange(round))) {
        if is_repeated(chosen, &seen) {
            return Err(BadAnswer::Repeated(chosen));
        }
        if choice.key_exchange().is_none() {
            return Err(BadAnswer::WithoutFirst(chosen));
        }
        seen.push(chosen);
    }
    Ok(choice)
}

#[cfg(test)]
mod tests;
