//! MOBIKE, what the peer asks for (RFC 4555 §3.5 to §3.9).

use std::net::IpAddr;

use super::addresses::{is_as_sent, is_unicast, listed};
use super::body::Body;
use super::context::{Context, Path};
use super::core::Core;
use super::draft::Draft;
use super::established::{Established, Standing};
use super::mobike::choose;
use super::nat::tell_addresses;
use super::task::Move;
use crate::wire::NotifyType;

/// What an INFORMATIONAL request of the peer's says of addresses (RFC 4555 §3.5 to §3.9). It came in on `arrival`.
pub(super) fn answer(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    arrival: Path,
    draft: &mut Draft,
) {
    if core.mobility.mobike.is_none() {
        return;
    }
    if let Some(cookie) = body.notify(NotifyType::Cookie2)
        && (8..=64).contains(&cookie.data.len())
    {
        draft.notify(NotifyType::Cookie2, cookie.data);
    }
    let lists = body.notifies.iter().any(|notify| {
        matches!(
            notify.kind,
            NotifyType::AdditionalIp4Address
                | NotifyType::AdditionalIp6Address
                | NotifyType::NoAdditionalAddresses
        )
    });
    let updates = body.has(NotifyType::UpdateSaAddresses);
    if (lists || updates) && !is_as_sent(body, arrival) {
        draft.notify(NotifyType::UnexpectedNatDetected, &[]);
        return;
    }
    if updates && !is_unicast(arrival.remote.ip()) {
        draft.notify(NotifyType::UnacceptableAddresses, &[]);
        return;
    }
    if body.has(NotifyType::NatDetectionDestinationIp) {
        tell_addresses(draft, core.spis(), arrival, established.connection.encapsulation);
    }
    if established.standing == Standing::Superseded && (updates || lists) {
        // What is left to say has to arrive.
        core.move_to(ctx, arrival);
    }
    if !established.is_in_use() {
        return;
    }
    if lists {
        heard_list(established, core, ctx, listed(body), arrival);
    }
    if updates {
        update(established, core, ctx, body, arrival);
    }
}

/// The peer's addresses have changed. The initiator follows if the one in use is not among them.
fn heard_list(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    peer: Vec<IpAddr>,
    arrival: Path,
) {
    let used = core.path.remote.ip();
    let gone = used != arrival.remote.ip() && !peer.contains(&used);
    let Some(mobike) = &mut core.mobility.mobike else { return };
    mobike.peer = peer;
    if gone && mobike.initiator {
        choose(established, core, ctx, arrival);
    }
}

/// The initiator has moved, or its NAT. ESP follows once it has shown that it is there (trap 24).
fn update(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    arrival: Path,
) {
    if core.mobility.mobike.as_ref().is_none_or(|mobike| mobike.initiator) {
        return;
    }
    let before = (core.between, core.data_path());
    core.move_to(ctx, arrival);
    core.note_nat(body, core.spis(), arrival, established.connection.encapsulation);
    if before.1.remote != arrival.remote {
        core.mobility.proven = Some(before.1);
        established.tasks.push_move(ctx.now, Move::Check);
    } else if before != (core.between, arrival) {
        core.move_children(ctx, established);
    } else {
        core.mobility.proven = None;
    }
}
