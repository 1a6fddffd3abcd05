//! MOBIKE (RFC 4555): an IKE SA and its children move to other addresses. The end that began the first of a line of
//! IKE SAs decides which addresses are used; the other one says where it may be found.

use std::net::IpAddr;

use super::addresses::{list, listed, no_nats, others};
use super::body::Body;
use super::context::{Context, Path};
use super::core::Core;
use super::draft::Draft;
use super::established::{Established, Standing, Verdict};
use super::mobility::Mobike;
use super::nat::tell_addresses;
use super::task::{Move, Pending, PendingMove, Task};
use crate::config::{ConnectionConfig, Mode};
use crate::error::IkeError;
use crate::output::DeleteReason;
use crate::wire::{ExchangeType, NotifyType, WireError};

/// RFC 4555 §3.9: an attacker that can change a single packet must not make a path unusable.
const MOST_RETRIES: u8 = 5;

/// Whether this end moves at all. In transport mode the addresses are those of the traffic (RFC 4555 §1.2).
pub(super) fn is_wanted(connection: &ConnectionConfig) -> bool {
    connection.mobike && connection.children.iter().all(|child| child.mode == Mode::Tunnel)
}

/// In the first IKE_AUTH request, and in its answer (RFC 4555 §3.1, §3.4).
pub(super) fn offer(draft: &mut Draft, connection: &ConnectionConfig, core: &Core, request: bool) {
    draft.notify(NotifyType::MobikeSupported, &[]);
    list(draft, &others(&connection.additional_addresses, core.path.local.ip()));
    if request && !core.mobility.nat_traversal {
        draft.notify(NotifyType::NoNatsAllowed, &no_nats(core.path));
    }
}

/// The peer's IKE_AUTH message: if it says so too, both can move.
pub(super) fn agree(core: &mut Core, connection: &ConnectionConfig, body: &Body<'_>) -> bool {
    if !is_wanted(connection) || !body.has(NotifyType::MobikeSupported) {
        return false;
    }
    core.mobility.mobike = Some(Mobike {
        initiator: core.is_original_initiator(),
        peer: listed(body),
        own: others(&connection.additional_addresses, core.path.local.ip()),
        retries: 0,
    });
    true
}

/// An IKE SA that stands: this end may have moved since it said where it is.
pub(super) fn stands(established: &mut Established, core: &Core, ctx: &Context<'_>) {
    if core.mobility.mobike.is_some() && core.mobility.moves > 0 {
        established.tasks.push_move(ctx.now, Move::Update);
    }
}

/// This end's addresses have changed.
pub(super) fn relocated(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    local: IpAddr,
    additional: &[IpAddr],
) {
    let mut path = core.path;
    path.local.set_ip(local);
    let moved = path != core.path;
    core.move_to(ctx, path);
    if established.standing == Standing::Spare {
        return;
    }
    if moved && established.is_in_use() {
        // RFC 4555 §3.5: the peer's address is the one that it was, and needs no check.
        if let Some(proven) = &mut core.mobility.proven {
            proven.local.set_ip(local);
        }
        core.tell_children(ctx, established);
    }
    // In an IKE SA that has a successor too: the peer may not know the successor yet.
    let own = others(additional, local);
    match &mut core.mobility.mobike {
        Some(mobike) => {
            let told = std::mem::replace(&mut mobike.own, own) == mobike.own;
            match (mobike.initiator, moved) {
                (true, true) => established.tasks.push_move(ctx.now, Move::Update),
                (false, true) => established.tasks.push_move(ctx.now, Move::Announce),
                (_, false) if !told => established.tasks.push_move(ctx.now, Move::Announce),
                (_, false) => {}
            }
        }
        // A peer that follows NAT mappings follows this as well, and one that does not is found out.
        None if moved => established.tasks.push_first(ctx.now, Task::Liveness),
        None => {}
    }
    established.run_tasks(core, ctx);
}

/// Another path answered than the one in use, among those that were tried: that one works. A late answer from where
/// the peer has been before says nothing.
pub(super) fn answered_from(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    path: Path,
) {
    let Some(mobike) = &core.mobility.mobike else { return };
    let tried = mobike.initiator && mobike.peer.contains(&path.remote.ip());
    if tried && established.is_in_use() && core.path.remote != path.remote {
        choose(established, core, ctx, path);
    }
}

/// The initiator moves to another address of the peer's. ESP stays until the peer has answered from there.
pub(super) fn choose(established: &mut Established, core: &mut Core, ctx: &mut Context<'_>, path: Path) {
    core.mobility.proven = Some(core.data_path());
    core.move_to(ctx, path);
    established.tasks.push_move(ctx.now, Move::Update);
}

pub(super) fn send(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    kind: Move,
) -> Result<(), IkeError> {
    let Some(mobike) = &core.mobility.mobike else { return Ok(()) };
    let cookie: [u8; 16] = ctx.random_array();
    let mut draft = Draft::inner();
    if kind == Move::Update {
        draft.notify(NotifyType::UpdateSaAddresses, &[]);
    }
    if kind == Move::Announce || (kind == Move::Update && !mobike.own.is_empty()) {
        list(&mut draft, &mobike.own);
        if mobike.own.is_empty() {
            draft.notify(NotifyType::NoAdditionalAddresses, &[]);
        }
    }
    let detects = match kind {
        Move::Update | Move::Mapping => core.mobility.nat_traversal,
        Move::Announce | Move::Check => false,
    };
    if detects {
        tell_addresses(&mut draft, core.spis(), core.path, established.connection.encapsulation);
    } else if !core.mobility.nat_traversal && kind != Move::Check {
        draft.notify(NotifyType::NoNatsAllowed, &no_nats(core.path));
    }
    if kind != Move::Mapping {
        draft.notify(NotifyType::Cookie2, &cookie);
    }
    let moves = core.mobility.moves;
    established.pending = Some(Pending::Move(PendingMove { kind, cookie, moves }));
    core.request(ctx, &mut established.secure, ExchangeType::Informational, draft)
}

/// A sign of life; from behind a NAT one that tells whether the NAT has changed its mind (RFC 4555 §3.8).
pub(super) fn watches_mapping(core: &Core) -> bool {
    core.between.nat.local && core.mobility.mobike.as_ref().is_some_and(|mobike| mobike.initiator)
}

pub(super) fn answered(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    pending: &PendingMove,
    body: Result<Body<'_>, WireError>,
) -> Verdict {
    let Ok(body) = body else { return Verdict::Stay };
    if !established.is_in_use() {
        return Verdict::Stay;
    }
    if pending.kind == Move::Mapping {
        let seen = body.notify(NotifyType::NatDetectionDestinationIp).map(|notify| notify.data);
        if seen.is_some() && seen != core.mobility.seen_as.as_deref() {
            established.tasks.push_move(ctx.now, Move::Update);
        }
        return Verdict::Stay;
    }
    // RFC 4555 §3.7: somebody answers who has not seen the question.
    let cookie = body.notify(NotifyType::Cookie2).map(|notify| notify.data);
    if cookie != Some(pending.cookie.as_slice()) && body.error().is_none() {
        established.tasks.push_first(ctx.now, Task::DeleteIke(DeleteReason::Inconsistent));
        return Verdict::Stay;
    }
    // RFC 4555 §3.5, §3.7: it says nothing of the addresses of now; what asks for them is queued.
    if pending.moves != core.mobility.moves {
        return Verdict::Stay;
    }
    if let Some(notify) = body.error() {
        refused(established, core, ctx, pending.kind, notify.kind);
        return Verdict::Stay;
    }
    if let Some(mobike) = &mut core.mobility.mobike {
        mobike.retries = 0;
    }
    match pending.kind {
        Move::Update => {
            let before = (core.between, core.data_path());
            core.note_nat(&body, core.spis(), core.path, established.connection.encapsulation);
            if before != (core.between, core.path) {
                core.move_children(ctx, established);
            }
        }
        Move::Check if core.mobility.proven.is_some() => core.move_children(ctx, established),
        Move::Check | Move::Announce | Move::Mapping => {}
    }
    Verdict::Stay
}

fn refused(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    kind: Move,
    notify: NotifyType,
) {
    let Some(mobike) = &mut core.mobility.mobike else { return };
    mobike.retries = mobike.retries.saturating_add(1);
    if notify == NotifyType::UnexpectedNatDetected && mobike.retries <= MOST_RETRIES {
        established.tasks.push_move(ctx.now, kind);
        return;
    }
    let (local, remote) = (core.path.local, core.path.remote);
    let connection = Some(established.connection.name.clone());
    ctx.failed(connection, None, Some(core.id), remote, IkeError::MoveRefused { notify, local, remote });
    if kind == Move::Update {
        // RFC 4555 §3.5: what was is gone, what is will not do. A new IKE SA may fare better.
        established.tasks.push_first(ctx.now, Task::DeleteIke(DeleteReason::Inconsistent));
    }
}
