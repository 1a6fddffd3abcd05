//! Two IKE SAs of one connection with the same peer: both ends began at once, or one began anew (reauthentication, a
//! restart). One is left, once it has a child; the other's traffic has moved by the time that it goes.
//!
//! RFC 7296 leaves this open (§2.4 has INITIAL_CONTACT only). The newer one stays (`unique = replace`).

use std::time::Duration;

use super::context::Context;
use super::core::Core;
use super::established::{Established, Standing};
use super::task::{Pending, Task};
use super::wanted::Wanted;
use super::{Phase, Session};
use crate::auth::Identity;
use crate::config::{ConnectionConfig, Uniqueness};
use crate::crypto::Role;
use crate::error::IkeError;
use crate::output::{DeleteReason, Event};
use crate::wire::IkeSpi;

/// What begins so soon after the other stood may have crossed it.
const CROSSING: Duration = Duration::from_secs(10);
/// The peer's own children come first; what it does not make is made at our request.
const MOVE: Duration = Duration::from_secs(1);
/// Packets on their way arrive.
const LINGER: Duration = Duration::from_secs(2);
/// If the end that should decide does not know that it should.
const PATIENCE: Duration = Duration::from_mins(3);

/// Two ends that see the messages of two handshakes in another order would delete both: one of them decides. Who
/// began both does (reauthentication); if each began one, the end with the lower identity.
fn decides(established: &Established, core: &Core, other: &Core) -> bool {
    match (core.role, other.role) {
        (Role::Initiator, Role::Initiator) => true,
        (Role::Responder, Role::Responder) => false,
        (Role::Initiator, Role::Responder) | (Role::Responder, Role::Initiator) => {
            established.connection.local_identity.payload_body() < established.remote_identity.payload_body()
        }
    }
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

/// A child has come to stand in this IKE SA: of two one goes, if it is for this end to say.
pub(super) fn settle(established: &mut Established, core: &Core, ctx: &mut Context<'_>) {
    for spi in twins(established, core, ctx) {
        let ours = ctx.shared.sessions.get(&spi).is_some_and(|twin| decides(established, core, &twin.core));
        if ours {
            choose(established, core, ctx, spi);
        } else if !established.tasks.iter().any(|task| matches!(task, Task::Settle)) {
            established.tasks.push(ctx.now + PATIENCE, Task::Settle);
        }
    }
}

/// The peer has not decided.
pub(super) fn settle_late(established: &mut Established, core: &Core, ctx: &mut Context<'_>) {
    for spi in twins(established, core, ctx) {
        choose(established, core, ctx, spi);
    }
}

/// Others of the same connection and peer, with children.
fn twins(established: &Established, core: &Core, ctx: &Context<'_>) -> Vec<IkeSpi> {
    if established.connection.uniqueness == Uniqueness::Multiple || !can_change(established) {
        return Vec::new();
    }
    let twins = ctx.shared.sessions.iter().filter(|(_, session)| {
        let has_child = |it: &Established| can_change(it) && it.children.iter().next().is_some();
        same_peer(session, &established.connection.name, &established.remote_identity)
            && session.established().is_some_and(has_child)
            // Of those it is settled already.
            && !core.line.is_replaced_by(session.core.line)
            && !session.core.line.is_replaced_by(core.line)
    });
    twins.map(|(spi, _)| *spi).collect()
}

fn choose(established: &mut Established, core: &Core, ctx: &mut Context<'_>, twin: IkeSpi) {
    if !established.is_in_use() {
        return;
    }
    let Some(mut session) = ctx.shared.sessions.remove(&twin) else { return };
    if let Phase::Established(other) = &mut session.phase {
        let is_newer = core.began >= session.core.began;
        if is_newer == (established.connection.uniqueness == Uniqueness::Replace) {
            supersede((&session.core, other), (core, established), ctx);
        } else {
            supersede((core, established), (&session.core, other), ctx);
        }
    }
    ctx.shared.insert(session);
}

/// An IKE SA goes at the peer's wish: the other one carries on.
pub(super) fn deleted(established: &Established, core: &Core, ctx: &mut Context<'_>) {
    for spi in twins(established, core, ctx) {
        let Some(mut session) = ctx.shared.sessions.remove(&spi) else { continue };
        if let Phase::Established(new) = &mut session.phase {
            let at = ctx.soon(MOVE);
            for child in established.children.iter() {
                new.tasks.push(at, Task::CreateChild(Wanted::like(child)));
            }
            announce(core, (&session.core, new), ctx);
        }
        ctx.shared.insert(session);
        return;
    }
}

/// A rekey of the IKE SA comes to its own end first.
fn can_change(established: &Established) -> bool {
    established.is_in_use() && !matches!(established.pending, Some(Pending::Ike(_) | Pending::DeleteIke(_)))
}

fn supersede(
    (old_core, old): (&Core, &mut Established),
    (new_core, new): (&Core, &mut Established),
    ctx: &mut Context<'_>,
) {
    let mut wanted: Vec<Wanted> = Vec::new();
    if let Some(Pending::Child(pending)) = &old.pending {
        wanted.push(pending.wanted.clone());
    }
    for (from, task) in old.tasks.take() {
        match task {
            Task::CreateChild(child) => wanted.push(child),
            Task::Retire(..) => new.tasks.push(from, task),
            Task::DeleteChild(..) | Task::Disown(_) | Task::DeleteIke(_) => old.tasks.push(from, task),
            Task::RekeyChild(_) | Task::RekeyIke | Task::Liveness | Task::Move(_) | Task::Settle => {}
        }
    }
    wanted.extend(old.children.iter().map(Wanted::like));
    let at = ctx.soon(MOVE);
    for child in wanted {
        new.tasks.push(at, Task::CreateChild(child));
    }
    old.standing = Standing::Superseded;
    old.rekey_at = None;
    old.expires_at = Some(ctx.soon(LINGER));
    announce(old_core, (new_core, new), ctx);
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
