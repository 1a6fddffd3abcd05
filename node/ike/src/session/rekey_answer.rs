//! CREATE_CHILD_SA for the IKE SA, the responder's side, and the change from the old IKE SA to the new (RFC 7296
//! §1.3.2, §2.8, §2.18, §2.25.2).

use super::body::Body;
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::established::{Established, PATIENCE, Standing};
use super::followup_answer::Offered;
use super::secure::Secure;
use super::task::{IkeCollision, NoncePair, Pending, Task};
use super::translate;
use super::window::{Answers, Requests};
use super::{Phase, Session};
use crate::config::{Choice, KeyExchanges, select};
use crate::crypto::{Group, KeyExchange, Role, SharedSecret, SkeySeed};
use crate::error::IkeError;
use crate::output::Event;
use crate::wire::{ExchangeType, IkeSpi, NotifyType, SaSpi};

/// What a rekey has agreed upon.
pub(super) struct Fresh<'a> {
    /// This side's in the new IKE SA: whoever rekeys is its original initiator.
    pub(super) role: Role,
    pub(super) spis: (IkeSpi, IkeSpi),
    pub(super) choice: &'a Choice,
    pub(super) nonces: &'a NoncePair,
    /// Of all its key exchanges, in their order.
    pub(super) shared: &'a [SharedSecret],
}

/// The new IKE SA beside the old: message ids from zero, no children yet.
pub(super) fn successor(
    established: &Established,
    core: &Core,
    ctx: &mut Context<'_>,
    fresh: &Fresh<'_>,
) -> Result<(Core, Established), IkeError> {
    let suite = translate::suite(fresh.choice)?;
    let (ni, nr) = (fresh.nonces.initiator.as_slice(), fresh.nonces.responder.as_slice());
    let old = &established.secure;
    let shared: Vec<&SharedSecret> = fresh.shared.iter().collect();
    let seed = SkeySeed::next(old.prf, &old.keys.d, &shared, ni, nr);
    let keys = seed.keys(suite, ni, nr, fresh.spis.0.0, fresh.spis.1.0);
    let mut secure = Secure::new(suite, keys, fresh.role);
    if old.fragments_allowed() {
        let size = ctx.shared.config.fragment_size_to([&*established.connection]);
        secure.allow_fragments(size, core.path.remote.is_ipv6());
    }
    let core = Core {
        id: ctx.ike_sa_id(),
        line: core.line,
        role: fresh.role,
        spi_initiator: fresh.spis.0,
        spi_responder: fresh.spis.1,
        path: core.path,
        arrival: core.path,
        between: core.between,
        retransmission: core.retransmission,
        mobility: core.mobility.inherited(),
        requests: Requests::default(),
        answers: Answers::default(),
        heard: ctx.now,
        said: ctx.now,
        began: core.began,
    };
    let connection = established.connection.clone();
    let identity = established.remote_identity.clone();
    let mut new = Established::new(&core, ctx, connection, secure, Standing::Spare, identity);
    new.since = established.since;
    Ok((core, new))
}

/// The new IKE SA with this SPI takes children and tasks. False if it is gone already.
pub(super) fn take_over(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    spi: IkeSpi,
) -> bool {
    if established.standing == Standing::Superseded {
        return true;
    }
    let Some(mut session) = ctx.shared.sessions.remove(&spi) else { return false };
    let mut taken = false;
    if let Phase::Established(new) = &mut session.phase {
        hand_over((core, established), (&mut session.core, new), ctx);
        taken = true;
    }
    ctx.shared.insert(session);
    taken
}

/// The peer uses a new IKE SA of its making while our own rekey is still unanswered: it has settled on this one.
pub(super) fn adopt(new: &mut Established, new_core: &mut Core, ctx: &mut Context<'_>) {
    let spi = new_core.local_spi();
    let is_old = |session: &Session| {
        session.established().is_some_and(|old| {
            let Some(Pending::Ike(pending)) = &old.pending else { return false };
            pending.collision.as_ref().is_some_and(|collision| collision.spi == Some(spi))
        })
    };
    let sessions = &ctx.shared.sessions;
    let Some(old) = sessions.iter().find(|(_, it)| is_old(it)).map(|(spi, _)| *spi) else { return };
    let Some(mut session) = ctx.shared.sessions.remove(&old) else { return };
    if let Phase::Established(old) = &mut session.phase {
        hand_over((&session.core, old), (new_core, new), ctx);
    }
    ctx.shared.insert(session);
}

fn hand_over(
    (old_core, old): (&Core, &mut Established),
    (new_core, new): (&mut Core, &mut Established),
    ctx: &mut Context<'_>,
) {
    // The ends may have moved since the new one was made.
    new_core.path = old_core.path;
    new_core.between = old_core.between;
    new_core.mobility = old_core.mobility.inherited();
    for child in old.children.take() {
        new.children.add(child);
    }
    old.unfinished.forget_all(ctx);
    // A wish to rekey is fulfilled.
    for (from, task) in old.tasks.take().into_iter().filter(|(_, task)| !matches!(task, Task::RekeyIke)) {
        if let Task::Move(kind) = task {
            // The peer may not know the new one yet.
            old.tasks.push_move(from, kind);
        }
        new.tasks.push(from, task);
    }
    if let Some(Pending::Move(pending)) = &old.pending {
        new.tasks.push_move(ctx.now, pending.kind);
    }
    new.reauth = std::mem::take(&mut old.reauth);
    new.standing = Standing::InUse;
    new.expires_at = new.connection.lifetime.hard.map(|wait| ctx.now + wait);
    old.standing = Standing::Superseded;
    old.rekey_at = None;
    old.expires_at = Some(ctx.now + PATIENCE);
    let connection = new.connection.name.clone();
    ctx.event(Event::IkeSaRekeyed {
        connection,
        old: old_core.id,
        new: new_core.id,
        initiator: new_core.role == Role::Initiator,
        initiator_spi: u64::from_be_bytes(new_core.spi_initiator.0),
        responder_spi: u64::from_be_bytes(new_core.spi_responder.0),
    });
}

pub(super) fn answer(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    draft: &mut Draft,
) {
    // RFC 7296 §2.25.2: not while a child is being made, rekeyed or closed here, nor twice at once.
    let busy = match &established.pending {
        Some(Pending::Child(_) | Pending::DeleteChild(..) | Pending::DeleteIke(_)) => true,
        // Once ours goes on, the peer's comes to nothing (RFC 9370 §2.2.4).
        Some(Pending::Ike(pending)) => pending.collision.is_some() || pending.followup.is_some(),
        Some(Pending::Move(_) | Pending::Notice) | None => false,
    };
    if busy || established.standing != Standing::InUse {
        draft.notify(NotifyType::TemporaryFailure, &[]);
        return;
    }
    if let Err(error) = make(established, core, ctx, body, draft) {
        let (kind, data) = error.notification();
        draft.notify(kind, &data);
        let connection = Some(established.connection.name.clone());
        ctx.failed(connection, None, Some(core.id), core.path.remote, error);
    }
}

fn make(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    draft: &mut Draft,
) -> Result<(), IkeError> {
    let missing = |payload| IkeError::Missing { exchange: ExchangeType::CreateChildSa, payload };
    let peer_nonce = body.nonce.ok_or_else(|| missing("Ni"))?;
    let offered = body.key_exchange.ok_or_else(|| missing("KE"))?;
    let choice = select(&body.offers(), &established.connection.proposals, KeyExchanges::Negotiated)?;
    let Some(SaSpi::Ike(peer_spi)) = body.spi_of(choice.number) else { return Err(missing("SPI")) };
    let group = choice.key_exchange().and_then(|group| Group::try_from(group).ok());
    let group = group.ok_or_else(|| IkeError::Unusable(choice.name()))?;
    if offered.group != group.number() {
        draft.notify(NotifyType::InvalidKePayload, &group.number().to_be_bytes());
        return Ok(());
    }
    let own = KeyExchange::respond(group, offered.public, ctx.random)?;
    let rounds = translate::rounds(&choice)?;
    // The peer may have begun anew.
    established.unfinished.forget_ike(ctx);
    if !rounds.is_empty() && established.unfinished.is_full() {
        draft.notify(NotifyType::TemporaryFailure, &[]);
        return Ok(());
    }
    let spi = ctx.ike_spi();
    let nonces = NoncePair { initiator: peer_nonce.to_vec(), responder: ctx.nonce() };
    draft.choice(&choice, SaSpi::Ike(spi)).nonce(&nonces.responder).key_exchange(group.number(), &own.public);
    let offer = IkeOffer { spis: (*peer_spi, spi), choice, nonces };
    if rounds.is_empty() {
        return finish(established, core, ctx, &offer, &[own.secret]);
    }
    if let Some(Pending::Ike(pending)) = &mut established.pending {
        pending.collision = Some(IkeCollision { nonces: offer.nonces.clone(), spi: None });
    }
    established.unfinished.open(ctx, rounds, vec![own.secret], Offered::Ike(Box::new(offer)), draft);
    Ok(())
}

/// What this side has said of a new IKE SA that the peer wants: enough to make it, but for the secrets.
pub(super) struct IkeOffer {
    /// The peer's, then ours.
    spis: (IkeSpi, IkeSpi),
    choice: Choice,
    nonces: NoncePair,
}

/// All its key exchanges are made.
pub(super) fn finish(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    offer: &IkeOffer,
    secrets: &[SharedSecret],
) -> Result<(), IkeError> {
    let IkeOffer { spis, choice, nonces } = offer;
    let fresh = Fresh { role: Role::Responder, spis: *spis, choice, nonces, shared: secrets };
    let (new_core, mut new) = successor(established, core, ctx, &fresh)?;
    // Should nobody ever speak of it again.
    new.expires_at = Some(ctx.now + PATIENCE);
    let session = Session::new(new_core, Phase::Established(Box::new(new)), &ctx.shared.config);
    ctx.shared.insert(session);
    if let Some(Pending::Ike(pending)) = &mut established.pending {
        pending.collision = Some(IkeCollision { nonces: nonces.clone(), spi: Some(spis.1) });
    } else {
        take_over(established, core, ctx, spis.1);
    }
    Ok(())
}
