//! Why two ends found no proposal, in words for the one who can change it.

use std::fmt;

use super::algorithm::{Transform, TransformKind};
use super::proposal::{Proposal, Protocol};
use super::selection::{common_of_kind, kinds};

/// Nothing that the peer proposed is allowed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NoProposalChosen {
    pub offered: Vec<Proposal>,
    pub allowed: Vec<Proposal>,
}

/// Proposals shown of each side; a peer may send hundreds.
const SHOWN: usize = 8;

impl NoProposalChosen {
    pub(super) fn new(offered: Vec<Proposal>, allowed: Vec<Proposal>) -> Self {
        Self { offered, allowed }
    }

    /// The pair that has the most in common, and the kinds in which it does not agree.
    fn nearest(&self) -> Option<(&Proposal, Vec<TransformKind>)> {
        let pairs =
            self.allowed.iter().flat_map(|ours| self.offered.iter().map(move |theirs| (ours, theirs)));
        pairs
            .filter(|(ours, theirs)| ours.protocol() == theirs.protocol())
            .map(|(ours, theirs)| {
                let differs = |kind: &TransformKind| common_of_kind(ours, theirs, *kind).is_none();
                (theirs, kinds(ours, theirs).into_iter().filter(differs).collect::<Vec<_>>())
            })
            .min_by_key(|(_, differing)| differing.len())
    }

    /// The strongest of an offer that could be allowed here, as it would stand in a site's file.
    fn remedy(&self) -> Option<Remedy> {
        let usable = |offer: &&Proposal| {
            let unknown = |kind| {
                let mut offered = offer.of_kind(kind).peekable();
                offered.peek().is_some() && !offered.any(Transform::is_known)
            };
            kinds(offer, offer).into_iter().all(|kind| !unknown(kind))
                && offer.of_kind(TransformKind::Encryption).next().is_some()
        };
        let weakness = |offer: &&Proposal| offer.transforms().iter().filter(|it| it.is_legacy()).count();
        let offer = self.offered.iter().filter(usable).min_by_key(weakness)?;
        let best = |kind| {
            let known = || offer.of_kind(kind).filter(|transform| transform.is_known());
            known().find(|transform| !transform.is_legacy()).or_else(|| known().next())
        };
        let transforms: Vec<Transform> = kinds(offer, offer).into_iter().filter_map(best).collect();
        let legacy = transforms.iter().any(|transform| transform.is_legacy());
        Some(Remedy { proposal: Proposal::offered(offer.protocol(), transforms), legacy })
    }
}

struct Remedy {
    proposal: Proposal,
    legacy: bool,
}

fn list(f: &mut fmt::Formatter<'_>, proposals: &[Proposal]) -> fmt::Result {
    for (index, proposal) in proposals.iter().take(SHOWN).enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{proposal}")?;
    }
    if proposals.len() > SHOWN {
        write!(f, " and {} more", proposals.len() - SHOWN)?;
    }
    Ok(())
}

impl fmt::Display for NoProposalChosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offered.is_empty() {
            return f.write_str("peer proposed nothing");
        }
        f.write_str("peer proposed ")?;
        list(f, &self.offered)?;
        f.write_str("; this site allows ")?;
        list(f, &self.allowed)?;
        if let Some((_, differing)) = self.nearest()
            && !differing.is_empty()
        {
            let words: Vec<&str> = differing.into_iter().map(TransformKind::as_str).collect();
            write!(f, "; the nearest two differ in {}", words.join(" and "))?;
        }
        let place = match self.allowed.first().map(Proposal::protocol) {
            Some(Protocol::Esp) => "`proposals` of the child",
            Some(Protocol::Ike) | None => "`proposals`",
        };
        match self.remedy() {
            Some(Remedy { proposal, legacy: false }) => write!(f, "; add \"{proposal}\" to {place}"),
            Some(Remedy { proposal, legacy: true }) => {
                write!(f, "; add \"{proposal}\" to {place} and mark the site legacy (allow_legacy = true)")
            }
            None => f.write_str("; nothing of it is supported here: change the peer's settings"),
        }
    }
}
