//! CREATE_CHILD_SA for the IKE SA, the initiator's side (RFC 7296 §1.3.2, §2.8.2, §2.18, §2.25.2).

use std::time::Duration;

use super::body::Body;
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::established::{Established, PATIENCE, Standing};
use super::followup_answer::PATIENCE as FOLLOWUP_PATIENCE;
use super::followup_request::{Agreement, Followup, link};
use super::init_request::names;
use super::rekey_answer::{Fresh, successor, take_over};
use super::task::{NoncePair, Pending, PendingIke, Task};
use super::translate;
use super::{Phase, Session};
use crate::config::{Choice, KeyExchanges, TransformKind, check_answer};
use crate::crypto::{Group, KeyExchange, Role};
use crate::error::IkeError;
use crate::output::DeleteReason;
use crate::wire::{ExchangeType, IkeSpi, NotifyType, SaSpi, WireError};

const RETRY: Duration = Duration::from_secs(5);
const RETRY_REFUSED: Duration = Duration::from_mins(1);
const MOST_RETRIES: u8 = 3;

pub(super) fn rekey(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
) -> Result<(), IkeError> {
    if established.standing != Standing::InUse {
        return Ok(());
    }
    let group = super::init_request::first_group(&established.connection)?;
    send(established, core, ctx, group, 0)
}

fn send(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    group: Group,
    retries: u8,
) -> Result<(), IkeError> {
    let (spi, nonce) = (ctx.ike_spi(), ctx.nonce());
    let exchange = KeyExchange::generate(group, ctx.random);
    let mut draft = Draft::inner();
    draft
        .proposals(&established.connection.proposals, &SaSpi::Ike(spi))
        .nonce(&nonce)
        .key_exchange(group.number(), exchange.public());
    core.request(ctx, &mut established.secure, ExchangeType::CreateChildSa, draft)?;
    let exchange = Some(exchange);
    let pending = PendingIke { spi, nonce, exchange, followup: None, retries, collision: None };
    established.pending = Some(Pending::Ike(Box::new(pending)));
    Ok(())
}

pub(super) fn answered(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    pending: PendingIke,
    body: Result<Body<'_>, WireError>,
) {
    let collision = pending.collision.as_ref().and_then(|collision| collision.spi);
    let retries = pending.retries;
    let outcome = body.map_err(IkeError::from).and_then(|body| {
        if let Some(notify) = body.error() {
            return Ok(Outcome::Refused(notify.kind, notify.data.try_into().map_or(0, u16::from_be_bytes)));
        }
        proceed(established, core, ctx, pending, &body)
    });
    let refused = match outcome {
        Ok(Outcome::Made) => return,
        // The peer's own rekey goes through.
        Ok(Outcome::Refused(..)) | Err(_)
            if collision.is_some_and(|spi| take_over(established, core, ctx, spi)) =>
        {
            return;
        }
        Ok(Outcome::Refused(NotifyType::TemporaryFailure | NotifyType::StateNotFound, _)) => {
            let at = ctx.soon(RETRY);
            established.tasks.push(at, Task::RekeyIke);
            return;
        }
        Ok(Outcome::Refused(NotifyType::InvalidKePayload, wanted)) => {
            match other_group(established, core, ctx, wanted, retries) {
                Ok(()) => return,
                Err(error) => error,
            }
        }
        Ok(Outcome::Refused(notify, _)) => {
            let offered = names(&established.connection);
            IkeError::Refused { exchange: ExchangeType::CreateChildSa, notify, offered }
        }
        Err(error) => error,
    };
    // What is in use goes on until its hard limit.
    let connection = Some(established.connection.name.clone());
    ctx.failed(connection, None, Some(core.id), core.path.remote, refused);
    let at = ctx.soon(RETRY_REFUSED);
    established.tasks.push(at, Task::RekeyIke);
}

enum Outcome {
    Made,
    /// With the group of an INVALID_KE_PAYLOAD.
    Refused(NotifyType, u16),
}

fn other_group(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    wanted: u16,
    retries: u8,
) -> Result<(), IkeError> {
    let offered = established
        .connection
        .proposals
        .iter()
        .flat_map(|proposal| proposal.of_kind(TransformKind::KeyExchange))
        .any(|exchange| exchange.id == wanted);
    let refused = IkeError::GroupRefused { group: wanted, offered: names(&established.connection) };
    let group = Group::try_from(wanted)
        .ok()
        .filter(|group| offered && !group.is_additional_only() && retries < MOST_RETRIES);
    send(established, core, ctx, group.ok_or(refused)?, retries.saturating_add(1))
}

/// The answer, checked: what both agree on, but for the secrets.
pub(crate) struct IkeAnswer {
    choice: Choice,
    spi_responder: IkeSpi,
    nonce: Vec<u8>,
}

fn proceed(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    mut pending: PendingIke,
    body: &Body<'_>,
) -> Result<Outcome, IkeError> {
    let agreement = match pending.followup.take() {
        Some(followup) => followup.answered(body)?,
        None => read(established, &mut pending, body)?,
    };
    if agreement.rounds.is_empty() {
        make(established, core, ctx, pending, agreement)?;
    } else {
        follow_up(established, core, ctx, pending, agreement)?;
    }
    Ok(Outcome::Made)
}

fn read(
    established: &Established,
    pending: &mut PendingIke,
    body: &Body<'_>,
) -> Result<Agreement<IkeAnswer>, IkeError> {
    let missing = |payload| IkeError::Missing { exchange: ExchangeType::CreateChildSa, payload };
    let [answer] = body.proposals.as_slice() else { return Err(missing("SA")) };
    let proposals = &established.connection.proposals;
    let choice = check_answer(&answer.offer, proposals, KeyExchanges::Negotiated)?;
    let SaSpi::Ike(spi_responder) = answer.spi else { return Err(missing("the new IKE SA's SPI")) };
    let nonce = body.nonce.ok_or_else(|| missing("Nr"))?.to_vec();
    let peer = body.key_exchange.ok_or_else(|| missing("KE"))?;
    let wrong = || missing("a public value of the chosen group");
    let own = pending.exchange.take().ok_or_else(wrong)?;
    let group = own.group().number();
    if peer.group != group || choice.key_exchange() != Some(group) || spi_responder.is_zero() {
        return Err(wrong());
    }
    let secrets = vec![own.agree(peer.public)?];
    let rounds = translate::rounds(&choice)?;
    Ok(Agreement { answer: IkeAnswer { choice, spi_responder, nonce }, secrets, rounds, link: link(body) })
}

/// There is no new IKE SA yet: the next of its key exchanges (RFC 9370 §2.2.4).
fn follow_up(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    mut pending: PendingIke,
    agreement: Agreement<IkeAnswer>,
) -> Result<(), IkeError> {
    // The peer may have settled on its own already.
    let settled = established.standing == Standing::Superseded;
    if let Some(collision) = pending.collision.take() {
        let responder = agreement.answer.nonce.clone();
        let nonces = NoncePair { initiator: pending.nonce.clone(), responder };
        if settled || nonces.loses_against(&collision.nonces) {
            // Nothing to delete: the peer forgets it too. Should the peer not come to an end, it is up to us.
            established.tasks.push(ctx.now + FOLLOWUP_PATIENCE, Task::RekeyIke);
            if let Some(spi) = collision.spi {
                take_over(established, core, ctx, spi);
            }
            return Ok(());
        }
        established.unfinished.forget_ike(ctx);
    }
    pending.followup = Some(Followup::send(core, ctx, &mut established.secure, agreement)?);
    established.pending = Some(Pending::Ike(Box::new(pending)));
    Ok(())
}

fn make(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    pending: PendingIke,
    agreement: Agreement<IkeAnswer>,
) -> Result<(), IkeError> {
    let Agreement { answer, secrets, .. } = agreement;
    let nonces = NoncePair { initiator: pending.nonce, responder: answer.nonce };
    let fresh = Fresh {
        role: Role::Initiator,
        spis: (pending.spi, answer.spi_responder),
        choice: &answer.choice,
        nonces: &nonces,
        shared: &secrets,
    };
    let (mut new_core, mut new) = successor(established, core, ctx, &fresh)?;
    // The peer may have settled on its own already, and moved on to use it.
    let settled = established.standing == Standing::Superseded;
    let lost = pending.collision.filter(|it| settled || nonces.loses_against(&it.nonces));
    if let Some(collision) = lost
        && collision.spi.is_none_or(|spi| take_over(established, core, ctx, spi))
    {
        // RFC 7296 §2.8.2: ours is redundant, and ours to close; the old one is for the peer to close, now or once the
        // peer's own has all its key exchanges.
        if collision.spi.is_some() {
            established.expires_at = Some(ctx.now + PATIENCE);
        }
        new.tasks.push(ctx.now, Task::DeleteIke(DeleteReason::Redundant));
        new.run_tasks(&mut new_core, ctx);
        let session = Session::new(new_core, Phase::Established(Box::new(new)), &ctx.shared.config);
        ctx.shared.insert(session);
        return Ok(());
    }
    let spi = pending.spi;
    let session = Session::new(new_core, Phase::Established(Box::new(new)), &ctx.shared.config);
    ctx.shared.insert(session);
    take_over(established, core, ctx, spi);
    established.tasks.push_first(ctx.now, Task::DeleteIke(DeleteReason::Rekeyed));
    Ok(())
}
