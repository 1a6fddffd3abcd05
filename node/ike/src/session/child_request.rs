//! CREATE_CHILD_SA for a child SA, the initiator's side (RFC 7296 §1.3.1, §1.3.3, §2.8.1, §2.25.1).

use super::body::Body;
use super::child::Stage;
use super::child_keys::{Agreed, install};
use super::child_retry::{
    RETRY, RETRY_REFUSED, failed, later, not_found, other_group, refused, single_pairs,
};
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::established::Established;
use super::followup_answer::PATIENCE;
use super::followup_request::{Agreement, Followup, link};
use super::task::{NoncePair, Pending, PendingChild, Task};
use super::translate;
use super::transport::{Answered, answered as read_selectors, asked};
use super::wanted::Wanted;
use crate::config::{ChildConfig, Choice, KeyExchanges, Mode, SelectorPair, check_answer};
use crate::crypto::{Group, KeyExchange};
use crate::error::IkeError;
use crate::output::{ChildSaId, ChildSpis, DeleteReason, OutboundStart};
use crate::wire::{ExchangeType, NotifyType, SaSpi, WireError};

pub(super) fn create(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    wanted: Wanted,
) -> Result<(), IkeError> {
    if established.children.iter().any(|child| wanted.is_met_by(child)) {
        return Ok(());
    }
    send(established, core, ctx, wanted, None, None, 0)
}

pub(super) fn rekey(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    child: ChildSaId,
) -> Result<(), IkeError> {
    match established.children.by_id(child) {
        Some(old) if old.stage == Stage::Installed => {
            if let Some(until) = established.unfinished.rekeys(child) {
                // The peer is about to; if it does not come to an end, it is up to us.
                established.tasks.push(until, Task::RekeyChild(child));
                return Ok(());
            }
            // RFC 7296 §2.9.2: no less than what is in use; the narrowed selectors do (trap 29).
            let wanted = Wanted::like(old);
            send(established, core, ctx, wanted, Some(child), None, 0)
        }
        // The peer was faster.
        Some(_) | None => Ok(()),
    }
}

fn first_group(config: &ChildConfig) -> Option<Group> {
    let groups = config.proposals.iter().filter_map(crate::config::Proposal::first_key_exchange);
    groups.filter_map(|group| Group::try_from(group).ok()).find(|group| !group.is_additional_only())
}

pub(super) fn send(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    wanted: Wanted,
    rekeys: Option<ChildSaId>,
    group: Option<Group>,
    retries: u8,
) -> Result<(), IkeError> {
    let old = rekeys.and_then(|id| established.children.by_id(id));
    let config = &wanted.config;
    let mut draft = Draft::inner();
    if let Some(old) = old {
        draft.notify_child(NotifyType::RekeySa, old.spis.inbound);
    }
    if config.mode == Mode::Transport {
        draft.notify(NotifyType::UseTransportMode, &[]);
    }
    let inbound_spi = ctx.child_spi();
    let nonce = ctx.nonce();
    draft.proposals(&config.proposals, &SaSpi::Child(inbound_spi)).nonce(&nonce);
    let exchange =
        group.or_else(|| first_group(config)).map(|group| KeyExchange::generate(group, ctx.random));
    if let Some(exchange) = &exchange {
        draft.key_exchange(exchange.group().number(), exchange.public());
    }
    let selectors = asked(&wanted, core.path);
    draft.selectors(&selectors.local, &selectors.remote);
    let pending = PendingChild {
        wanted,
        rekeys,
        inbound_spi,
        nonce,
        exchange,
        followup: None,
        retries,
        collision: None,
        twin: false,
        deleted_early: Vec::new(),
    };
    if let Err(error) = core.request(ctx, &mut established.secure, ExchangeType::CreateChildSa, draft) {
        ctx.release_spi(inbound_spi);
        return Err(error);
    }
    established.pending = Some(Pending::Child(Box::new(pending)));
    Ok(())
}

/// The answer, checked: what both agree on, but for the secrets.
pub(crate) struct ChildAnswer {
    choice: Choice,
    outbound_spi: u32,
    nonce: Vec<u8>,
    selectors: SelectorPair,
    transport: bool,
}

pub(super) fn answered(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    mut pending: PendingChild,
    body: Result<Body<'_>, WireError>,
) {
    let body = match body {
        Ok(body) => body,
        Err(error) => return failed(established, core, ctx, &pending, error.into()),
    };
    if let Some(notify) = body.error() {
        ctx.release_spi(pending.inbound_spi);
        if notify.kind == NotifyType::InvalidKePayload {
            let group = notify.data.try_into().map_or(0, u16::from_be_bytes);
            other_group(established, core, ctx, pending, group);
        } else if matches!(notify.kind, NotifyType::TemporaryFailure | NotifyType::StateNotFound) {
            later(established, ctx, &pending, RETRY);
        } else if notify.kind == NotifyType::ChildSaNotFound {
            not_found(established, core, ctx, &pending);
        } else if notify.kind == NotifyType::SinglePairRequired && pending.rekeys.is_none() {
            single_pairs(established, core, ctx, &pending);
        } else {
            refused(established, core, ctx, &pending, notify.kind);
        }
        return;
    }
    let agreement = match pending.followup.take() {
        Some(followup) => followup.answered(&body),
        None => read(&mut pending, &body),
    };
    match agreement {
        Ok(agreement) if agreement.rounds.is_empty() => take(established, core, ctx, &pending, agreement),
        Ok(agreement) => follow_up(established, core, ctx, pending, agreement),
        Err(error) => {
            // The peer has a child that we cannot use.
            let inbound_spi = pending.inbound_spi;
            established.tasks.push_first(ctx.now, Task::Disown(inbound_spi));
            failed(established, core, ctx, &pending, error);
        }
    }
}

/// There is no child yet: the next of its key exchanges (RFC 9370 §2.2.4).
fn follow_up(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    mut pending: PendingChild,
    agreement: Agreement<ChildAnswer>,
) {
    if let (Some(old), Some(collision)) = (pending.rekeys, pending.collision.take()) {
        let responder = agreement.answer.nonce.clone();
        let nonces = NoncePair { initiator: pending.nonce.clone(), responder };
        if nonces.loses_against(&collision) {
            // Nothing to delete: the peer forgets it too. Should the peer not come to an end, it is up to us.
            ctx.release_spi(pending.inbound_spi);
            established.tasks.push(ctx.now + PATIENCE, Task::RekeyChild(old));
            return;
        }
        established.unfinished.forget_rekey_of(ctx, old);
    }
    match Followup::send(core, ctx, &mut established.secure, agreement) {
        Ok(followup) => {
            pending.followup = Some(followup);
            established.pending = Some(Pending::Child(Box::new(pending)));
        }
        Err(error) => failed(established, core, ctx, &pending, error),
    }
}

fn read(pending: &mut PendingChild, body: &Body<'_>) -> Result<Agreement<ChildAnswer>, IkeError> {
    let missing = |payload| IkeError::Missing { exchange: ExchangeType::CreateChildSa, payload };
    let [answer] = body.proposals.as_slice() else { return Err(missing("SA")) };
    let choice = check_answer(&answer.offer, &pending.wanted.config.proposals, KeyExchanges::Negotiated)?;
    let SaSpi::Child(outbound_spi) = answer.spi else { return Err(missing("the child's SPI")) };
    let nonce = body.nonce.ok_or_else(|| missing("Nr"))?.to_vec();
    let rounds = translate::rounds(&choice)?;
    let secrets = match (choice.key_exchange(), pending.exchange.take(), body.key_exchange) {
        (None, _, _) => Vec::new(),
        (Some(group), Some(own), Some(peer)) if own.group().number() == group && peer.group == group => {
            vec![own.agree(peer.public)?]
        }
        (Some(_), _, _) => return Err(missing("a public value of the chosen group")),
    };
    let local = body.selectors_initiator.as_ref().ok_or_else(|| missing("TSi"))?;
    let remote = body.selectors_responder.as_ref().ok_or_else(|| missing("TSr"))?;
    let selectors = SelectorPair { local: local.clone(), remote: remote.clone() };
    let transport = body.has(NotifyType::UseTransportMode);
    let answer = ChildAnswer { choice, outbound_spi, nonce, selectors, transport };
    Ok(Agreement { answer, secrets, rounds, link: link(body) })
}

fn take(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    pending: &PendingChild,
    agreement: Agreement<ChildAnswer>,
) {
    let Agreement { answer, secrets, .. } = agreement;
    let nonces = NoncePair { initiator: pending.nonce.clone(), responder: answer.nonce };
    let loses = pending.collision.as_ref().is_some_and(|other| nonces.loses_against(other));
    let Answered { selectors, original, narrowed } = read_selectors(&pending.wanted, answer.selectors, core);
    let agreed = Agreed {
        config: pending.wanted.config.clone(),
        choice: answer.choice,
        spis: ChildSpis { inbound: pending.inbound_spi, outbound: answer.outbound_spi },
        local_ts: selectors.local,
        remote_ts: selectors.remote,
        original,
        initiator: true,
        nonce_initiator: &nonces.initiator,
        nonce_responder: &nonces.responder,
        shared: &secrets,
        rekeyed: pending.rekeys,
        outbound: if loses { OutboundStart::AfterPeer } else { OutboundStart::Now },
    };
    let refusal = agreed.refusal(narrowed, answer.transport);
    let new = match install(established, core, ctx, agreed) {
        Ok(new) => new,
        Err(error) => return failed(established, core, ctx, pending, error),
    };
    if pending.deleted_early.contains(&answer.outbound_spi) {
        established.remove_child(core, ctx, new, DeleteReason::ByPeer);
    }
    if let Some(error) = refusal {
        established.tasks.push_first(ctx.now, Task::DeleteChild(new, DeleteReason::Inconsistent));
        established.report(core, ctx, &pending.wanted.config.name, error);
        return later(established, ctx, pending, RETRY_REFUSED);
    }
    // RFC 7296 §2.8.1: the redundant child is closed by the end that made it, the old one by the other's maker.
    let redundant = loses || pending.twin && has_twin(established, new);
    if redundant {
        established.tasks.push_first(ctx.now, Task::DeleteChild(new, DeleteReason::Redundant));
    } else if let Some(old) = pending.rekeys {
        // What the peer began at the same time comes to nothing.
        established.unfinished.forget_rekey_of(ctx, old);
        established.tasks.push_first(ctx.now, Task::DeleteChild(old, DeleteReason::Rekeyed));
    }
}

/// Whether the peer has made the same child.
fn has_twin(established: &Established, new: ChildSaId) -> bool {
    let Some(new) = established.children.by_id(new) else { return false };
    established.children.iter().any(|other| {
        other.id != new.id
            && other.stage == Stage::Installed
            && other.config.name == new.config.name
            && (&other.local_ts, &other.remote_ts) == (&new.local_ts, &new.remote_ts)
    })
}
