//! Two IKE SAs of one connection with the same peer: both ends began at once, or one began anew (reauthentication, a
//! restart). One is left: the other goes as a reauthenticated one does, when all of its children stand in the one that stays
//! (`reauth.rs`).
//!
//! RFC 7296 leaves this open (§2.4 has INITIAL_CONTACT only). The newer one stays (`unique = replace`).

use std::time::{Duration, Instant};

use super::context::Context;
use super::core::Core;
use super::established::Established;
use super::task::Task;
use super::{Phase, Session, reauth};
use crate::auth::Identity;
use crate::config::{ConnectionConfig, Uniqueness};
use crate::crypto::Role;
use crate::error::IkeError;
use crate::output::{DeleteReason, Event};
use crate::wire::IkeSpi;

/// What begins so soon after the other stood may have crossed it.
const CROSSING: Duration = Duration::from_secs(10);
/// The peer's own wishes come first.
const MOVE: Duration = Duration::from_secs(1);
/// If the end that should decide does not know that it should. Longer than it may take to do so, as the ends need not
/// see two that crossed in the same order.
const PATIENCE: Duration = Duration::from_mins(10);

/// If each end decided for itself, each could delete the one that the other keeps: the end with the lower identity
/// decides. Where one began when the other stood already, both ends see the same order, and whoever began it decides too.
fn decides(established: &Established, (core, other): (&Core, &Core), since: Instant) -> bool {
    let both_ours = (core.role, other.role) == (Role::Initiator, Role::Initiator);
    both_ours && core.began >= since
        || established.connection.local_identity.payload_body() < established.remote_identity.payload_body()
}

fn same_peer(session: &Session, connection: &str, identity: &Identity) -> bool {
    session
        .established()
        .is_some_and(|other| *other.connection.name == *connection && other.remote_identity == *identity)
}

/// As responder, before the peer is let in (`unique = keep`).
pub(super) fn admit(
    core: &Core,
    ctx: &Context<'_>,
    connection: &ConnectionConfig,
    identity: &Identity,
) -> Result<(), IkeError> {
    let stands = |session: &Session| {
        same_peer(session, &connection.name, identity)
            && session
                .established()
                .is_some_and(|other| other.is_in_use() && core.began >= other.since + CROSSING)
    };
    if connection.uniqueness == Uniqueness::Keep && ctx.shared.sessions.values().any(stands) {
        return Err(IkeError::Duplicate { identity: identity.to_string() });
    }
    Ok(())
}

/// INITIAL_CONTACT: what there was with the same authenticated peer is of no use to it (RFC 7296 §2.4, trap 19). What
/// came to stand after the peer began is nothing old: both began at once.
pub(super) fn forget_peer(core: &Core, ctx: &mut Context<'_>, connection: &str, identity: &Identity) {
    let is_old = |session: &Session| {
        same_peer(session, connection, identity)
            && session.established().is_some_and(|other| other.since <= core.began)
    };
    let sessions = &ctx.shared.sessions;
    let old: Vec<IkeSpi> = sessions.iter().filter(|(_, it)| is_old(it)).map(|(spi, _)| *spi).collect();
    for spi in old {
        if let Some(Session { core, phase: Phase::Established(mut established), .. }) =
            ctx.shared.sessions.remove(&spi)
        {
            established.close(&core, ctx, DeleteReason::Replaced);
        }
    }
}

/// An IKE SA has come to stand, authenticated from scratch: of two one goes, if it is for this end to say.
pub(super) fn settle(established: &mut Established, core: &Core, ctx: &mut Context<'_>) {
    if established.connection.uniqueness == Uniqueness::Multiple {
        return;
    }
    for spi in twins(established, core, ctx) {
        let ours = ctx.shared.sessions.get(&spi).is_some_and(|twin| {
            let since = twin.established().map_or(ctx.now, |other| other.since);
            decides(established, (core, &twin.core), since)
        });
        if ours {
            choose(established, core, ctx, spi);
        } else if !established.tasks.iter().any(|task| matches!(task, Task::Settle)) {
            established.tasks.push(ctx.now + PATIENCE, Task::Settle);
        }
    }
}

/// The peer has not decided.
pub(super) fn settle_late(established: &mut Established, core: &Core, ctx: &mut Context<'_>) {
    if established.is_in_use() {
        for spi in twins(established, core, ctx) {
            choose(established, core, ctx, spi);
        }
    }
}

/// Others of the same connection and peer. Where one was begun to take the place of the other that is settled already.
fn twins(established: &Established, core: &Core, ctx: &Context<'_>) -> Vec<IkeSpi> {
    let twins = ctx.shared.sessions.iter().filter(|(_, session)| {
        same_peer(session, &established.connection.name, &established.remote_identity)
            && session.established().is_some_and(Established::is_in_use)
            && !core.line.is_replaced_by(session.core.line)
            && !session.core.line.is_replaced_by(core.line)
    });
    twins.map(|(spi, _)| *spi).collect()
}

fn choose(established: &mut Established, core: &Core, ctx: &mut Context<'_>, twin: IkeSpi) {
    let Some(mut session) = ctx.shared.sessions.remove(&twin) else { return };
    if let Phase::Established(other) = &mut session.phase {
        let is_newer = (core.began, core.line.id) > (session.core.began, session.core.line.id);
        if is_newer == (established.connection.uniqueness == Uniqueness::Replace) {
            reauth::take_place_of(established, ctx, session.core.line.id);
        } else {
            reauth::take_place_of(other, ctx, core.line.id);
        }
    }
    ctx.shared.insert(session);
}

/// An IKE SA goes at the peer's wish: the newest other one carries on.
pub(super) fn deleted(established: &mut Established, core: &Core, ctx: &mut Context<'_>) {
    if established.connection.uniqueness == Uniqueness::Multiple {
        return;
    }
    let others = ctx.shared.sessions.iter().filter(|(_, session)| {
        same_peer(session, &established.connection.name, &established.remote_identity)
            && session.core.line.id != core.line.id
            && session.established().is_some_and(Established::is_in_use)
    });
    let newest = others.max_by_key(|(_, session)| (session.core.began, session.core.line.id));
    let Some(mut session) = newest.map(|(spi, _)| *spi).and_then(|spi| ctx.shared.sessions.remove(&spi))
    else {
        return;
    };
    if let Phase::Established(new) = &mut session.phase {
        let from = ctx.soon(MOVE);
        reauth::inherit(new, established, from);
        announce(core, (&session.core, new), ctx);
    }
    ctx.shared.insert(session);
}

pub(super) fn announce(old: &Core, (core, new): (&Core, &Established), ctx: &mut Context<'_>) {
    ctx.event(Event::IkeSaReplaced {
        connection: new.connection.name.clone(),
        old: old.id,
        new: core.id,
        initiator: core.role == Role::Initiator,
        initiator_spi: u64::from_be_bytes(core.spi_initiator.0),
        responder_spi: u64::from_be_bytes(core.spi_responder.0),
    });
}
