//! When a child that this side asked for did not come to be: again, later, or not at all (RFC 7296 §2.25).

use std::time::Duration;

use super::child::Stage;
use super::child_request::send;
use super::context::Context;
use super::core::Core;
use super::established::Established;
use super::task::{PendingChild, Task};
use super::wanted::Wanted;
use crate::config::{Proposal, TransformKind};
use crate::crypto::Group;
use crate::error::IkeError;
use crate::output::DeleteReason;
use crate::wire::{ExchangeType, NotifyType};

const MOST_RETRIES: u8 = 3;
/// After TEMPORARY_FAILURE: soon enough to be done before the hard limit, at random so as not to collide again.
pub(super) const RETRY: Duration = Duration::from_secs(5);
/// After any other refusal of a rekey: the old child is still good.
pub(super) const RETRY_REFUSED: Duration = Duration::from_mins(1);

/// Again after a while, if there is still something to do.
pub(super) fn later(
    established: &mut Established,
    ctx: &mut Context<'_>,
    pending: &PendingChild,
    least: Duration,
) {
    let at = ctx.soon(least);
    match pending.rekeys {
        None => established.tasks.push(at, Task::CreateChild(pending.wanted.clone())),
        Some(old) => established.tasks.push(at, Task::RekeyChild(old)),
    }
}

/// RFC 7296 §2.25: the peer has lost the child that we wanted to rekey, and we need a new one.
pub(super) fn not_found(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    pending: &PendingChild,
) {
    let Some(old) = pending.rekeys else { return };
    // If the peer has deleted it meanwhile, or put another in its place, all is well.
    if established.children.by_id(old).is_some_and(|child| child.stage == Stage::Installed) {
        established.remove_child(core, ctx, old, DeleteReason::Inconsistent);
        established.tasks.push(ctx.now, Task::CreateChild(pending.wanted.clone()));
    }
}

/// RFC 7296 §2.9: the peer takes one pair of addresses only, and gets one after the other.
pub(super) fn single_pairs(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    pending: &PendingChild,
) {
    let narrower = pending.wanted.narrower();
    if narrower.is_empty() {
        refused(established, core, ctx, pending, NotifyType::SinglePairRequired);
    }
    for child in narrower {
        established.tasks.push(ctx.now, Task::CreateChild(child));
    }
}

/// A refused rekey never tears down the child in use.
pub(super) fn refused(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    pending: &PendingChild,
    notify: NotifyType,
) {
    let Wanted { config, selectors, .. } = &pending.wanted;
    let proposals = config.proposals.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let offered = format!("{proposals} for {selectors}");
    let error = if pending.rekeys.is_some() && notify == NotifyType::NoProposalChosen {
        let exchanges = |proposal: &Proposal| proposal.of_kind(TransformKind::KeyExchange).next().is_some();
        IkeError::RekeyRefused { notify, offered, pfs: config.proposals.iter().any(exchanges) }
    } else {
        IkeError::Refused { exchange: ExchangeType::CreateChildSa, notify, offered }
    };
    established.report(core, ctx, &config.name, error);
    if pending.rekeys.is_some() {
        later(established, ctx, pending, RETRY_REFUSED);
    }
}

pub(super) fn failed(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    pending: &PendingChild,
    error: IkeError,
) {
    ctx.release_spi(pending.inbound_spi);
    established.report(core, ctx, &pending.wanted.config.name, error);
    if pending.rekeys.is_some() {
        later(established, ctx, pending, RETRY_REFUSED);
    }
}

/// RFC 7296 §1.3: once more, with the group that the peer wants, if it is one of ours.
pub(super) fn other_group(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    pending: PendingChild,
    wanted: u16,
) {
    let ours = pending.wanted.config.proposals.iter();
    let offered = ours
        .flat_map(|proposal| proposal.of_kind(TransformKind::KeyExchange))
        .any(|exchange| exchange.id == wanted);
    let group = Group::try_from(wanted).ok().filter(|group| offered && !group.is_additional_only());
    if group.is_none() || pending.retries >= MOST_RETRIES {
        return refused(established, core, ctx, &pending, NotifyType::InvalidKePayload);
    }
    if pending.collision.is_some() {
        return;
    }
    let still = pending.rekeys.is_none_or(|old| {
        established.children.by_id(old).is_some_and(|child| child.stage == Stage::Installed)
    });
    if !still {
        return;
    }
    let retries = pending.retries.saturating_add(1);
    let name = pending.wanted.config.name.clone();
    if let Err(error) = send(established, core, ctx, pending.wanted, pending.rekeys, group, retries) {
        established.report(core, ctx, &name, error);
    }
}
