//! INFORMATIONAL: deletes and signs of life (RFC 7296 §1.4, §2.25).

use super::body::Body;
use super::child::Stage;
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::duplicate;
use super::established::{Established, Standing, Verdict};
use super::mobike_answer;
use super::rekey_answer::take_over;
use super::task::Pending;
use crate::error::IkeError;
use crate::output::{ChildSaId, DeleteReason};
use crate::wire::{ExchangeType, NotifyType, ProtocolId};

/// Deletes that came before their child; a peer makes one at a time.
const MOST_EARLY_DELETES: usize = 16;

pub(super) fn delete_child(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    child: ChildSaId,
    reason: DeleteReason,
) -> Result<(), IkeError> {
    let Some(child) = established.children.by_id_mut(child) else { return Ok(()) };
    child.stage = Stage::Deleting;
    let (id, inbound) = (child.id, child.spis.inbound);
    established.unfinished.forget_rekey_of(ctx, id);
    let mut draft = Draft::inner();
    // RFC 7296 §1.4.1: the SPI that the sender of the delete receives with (trap 18).
    draft.delete_children(&[inbound]);
    established.pending = Some(Pending::DeleteChild(id, reason));
    core.request(ctx, &mut established.secure, ExchangeType::Informational, draft)
}

pub(super) fn disown(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    spi: u32,
) -> Result<(), IkeError> {
    let mut draft = Draft::inner();
    draft.delete_children(&[spi]);
    established.pending = Some(Pending::Notice);
    core.request(ctx, &mut established.secure, ExchangeType::Informational, draft)
}

pub(super) fn delete_ike(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    reason: DeleteReason,
) -> Result<(), IkeError> {
    let mut draft = Draft::inner();
    draft.delete_ike();
    established.pending = Some(Pending::DeleteIke(reason));
    core.request(ctx, &mut established.secure, ExchangeType::Informational, draft)
}

pub(super) fn liveness(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
) -> Result<(), IkeError> {
    established.pending = Some(Pending::Notice);
    core.request(ctx, &mut established.secure, ExchangeType::Informational, Draft::inner())
}

pub(super) fn answer(
    established: &mut Established,
    core: &mut Core,
    ctx: &mut Context<'_>,
    body: &Body<'_>,
    draft: &mut Draft,
) -> Verdict {
    if body.deletes_ike() {
        return ike_deleted(established, core, ctx);
    }
    if body.has(NotifyType::AuthenticationFailed) {
        // The initiator of this IKE SA did not like what the responder proved (RFC 7296 §2.21.2).
        let exchange = ExchangeType::IkeAuth;
        let connection = &established.connection;
        let how = connection.credentials.local.kind();
        let offered = format!("{} by {how}, to {}", connection.local_identity, established.remote_identity);
        let error = IkeError::Refused { exchange, notify: NotifyType::AuthenticationFailed, offered };
        let connection = Some(established.connection.name.clone());
        ctx.failed(connection, None, Some(core.id), core.path.remote, error);
        return Verdict::Close(DeleteReason::ByPeer);
    }
    mobike_answer::answer(established, core, ctx, body, core.arrival, draft);
    let mut answered = Vec::new();
    for delete in body.deletes.iter().filter(|delete| delete.protocol == ProtocolId::Esp) {
        for spi in delete.child_spis() {
            if let Some(own) = child_deleted(established, core, ctx, spi) {
                answered.push(own);
            }
        }
    }
    if !answered.is_empty() {
        draft.delete_children(&answered);
    }
    Verdict::Stay
}

/// The peer deletes the child that it receives on with this SPI; the SPI of our direction goes into the answer.
fn child_deleted(established: &mut Established, core: &Core, ctx: &mut Context<'_>, spi: u32) -> Option<u32> {
    let Some(child) = established.children.by_peer_spi(spi) else {
        established.unfinished.forget_outbound(ctx, spi);
        // RFC 7296 §1.4.1: unknown SPIs are ignored. The child that we wait for may be meant (trap 31).
        if let Some(Pending::Child(pending)) = &mut established.pending
            && pending.deleted_early.len() < MOST_EARLY_DELETES
        {
            pending.deleted_early.push(spi);
        }
        return None;
    };
    let (id, own, stage) = (child.id, child.spis.inbound, child.stage);
    let reason = match stage {
        Stage::Superseded => DeleteReason::Rekeyed,
        Stage::Installed | Stage::Deleting => DeleteReason::ByPeer,
    };
    established.remove_child(core, ctx, id, reason);
    // RFC 7296 §1.4.1: if both delete it at once, neither says so in the answer.
    (stage != Stage::Deleting).then_some(own)
}

fn ike_deleted(established: &mut Established, core: &mut Core, ctx: &mut Context<'_>) -> Verdict {
    // RFC 7296 §2.25.2: our own rekey is forgotten. If the peer has rekeyed too, its new IKE SA carries on.
    if let Some(Pending::Ike(pending)) = established.pending.take_if(|it| matches!(it, Pending::Ike(_)))
        && let Some(spi) = pending.collision.as_ref().and_then(|collision| collision.spi)
    {
        take_over(established, core, ctx, spi);
    }
    match established.standing {
        Standing::Superseded => Verdict::Close(DeleteReason::Rekeyed),
        Standing::InUse => {
            duplicate::deleted(established, core, ctx);
            Verdict::Close(DeleteReason::ByPeer)
        }
        Standing::Spare => Verdict::Close(DeleteReason::ByPeer),
    }
}
