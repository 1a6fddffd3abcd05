//! Transport mode: the traffic is that between the two ends of the IKE SA, which a NAT calls by other names (RFC 7296
//! §2.23.1, trap 21).

use std::net::IpAddr;

use super::context::Path;
use super::core::Core;
use super::wanted::Wanted;
use crate::config::{Mode, SelectorPair, TrafficSelector, is_narrowed};
use crate::output::OriginalAddresses;

/// Selectors of the peer's, in this end's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) selectors: SelectorPair,
    /// What the peer writes into its packets, where a NAT makes something else of it.
    pub(super) original: Option<OriginalAddresses>,
}

/// The answer to what this end has asked for.
pub(super) struct Answered {
    pub(super) selectors: SelectorPair,
    pub(super) original: Option<OriginalAddresses>,
    /// Whether the peer stays within what was asked for (RFC 7296 §2.9).
    pub(super) narrowed: bool,
}

/// What to ask for: in transport mode each selector has the one address that its end has.
pub(super) fn asked(wanted: &Wanted, path: Path) -> SelectorPair {
    match wanted.config.mode {
        Mode::Tunnel => wanted.selectors.clone(),
        Mode::Transport => between_ends(&wanted.selectors, path),
    }
}

pub(super) fn answered(wanted: &Wanted, answer: SelectorPair, core: &Core) -> Answered {
    let Translated { selectors, original } = match wanted.config.mode {
        Mode::Tunnel => Translated { selectors: answer, original: None },
        // What cannot be translated is not narrowed either.
        Mode::Transport => {
            translate(&answer, core).unwrap_or(Translated { selectors: answer, original: None })
        }
    };
    let asked = asked(wanted, core.path);
    let narrowed =
        is_narrowed(&selectors.local, &asked.local) && is_narrowed(&selectors.remote, &asked.remote);
    Answered { selectors, original, narrowed }
}

/// Protocols and ports of these, and the ends' addresses; no selectors stand for all traffic.
pub(super) fn between_ends(selectors: &SelectorPair, path: Path) -> SelectorPair {
    let side = |side: &[TrafficSelector], end: IpAddr| match side {
        [] => vec![TrafficSelector::host(end)],
        side => side.iter().map(|one| at(one, end)).collect(),
    };
    SelectorPair {
        local: side(&selectors.local, path.local.ip()),
        remote: side(&selectors.remote, path.remote.ip()),
    }
}

/// Selectors as the peer has sent them, `local` being this end's. Behind a NAT the peer knows an end by another address
/// than the one that the other sees. `None` unless each side has one address.
pub(super) fn translate(sent: &SelectorPair, core: &Core) -> Option<Translated> {
    let original =
        OriginalAddresses { source: only_address(&sent.remote)?, destination: only_address(&sent.local)? };
    let translated = |side: &[TrafficSelector], behind_nat: bool, end: IpAddr| {
        side.iter().map(|one| if behind_nat { at(one, end) } else { *one }).collect::<Vec<_>>()
    };
    let (nat, path) = (core.between.nat, core.path);
    let selectors = SelectorPair {
        local: translated(&sent.local, nat.local, path.local.ip()),
        remote: translated(&sent.remote, nat.remote, path.remote.ip()),
    };
    let original = (selectors != *sent).then_some(original);
    Some(Translated { selectors, original })
}

fn at(selector: &TrafficSelector, end: IpAddr) -> TrafficSelector {
    TrafficSelector::host(end).with_protocol(selector.protocol, selector.start_port, selector.end_port)
}

fn only_address(side: &[TrafficSelector]) -> Option<IpAddr> {
    let (first, others) = side.split_first()?;
    let only = first.first();
    (first.last() == only && others.iter().all(|one| (one.first(), one.last()) == (only, only)))
        .then_some(only)
}
