//! An IKE SA at work: the peer is known, children live in it, each side makes one request at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::body::Body;
use super::child::Children;
use super::context::Context;
use super::core::Core;
use super::draft::Draft;
use super::duplicate;
use super::followup_answer::UnfinishedSas;
use super::reauth::{self, Reauth};
use super::secure::Secure;
use super::task::{Move, Pending, Task, Tasks};
use super::wanted::Wanted;
use super::{
    Phase, Session, child_answer, child_request, followup_answer, inform, mobike, rekey_answer, rekey_request,
};
use crate::auth::Identity;
use crate::config::{Choice, ConnectionConfig, Protocol};
use crate::error::IkeError;
use crate::output::{ChildSaDeleted, ChildSaId, DeleteReason, Event, IkeSaEstablished};
use crate::wire::{ExchangeType, Header, NotifyType, WireError};

/// An SA whose successor is at work waits so long for the DELETE of the side that made the successor.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct Established {
    pub(crate) connection: Arc<ConnectionConfig>,
    pub(crate) secure: Secure,
    pub(crate) remote_identity: Identity,
    pub(crate) children: Children,
    pub(crate) tasks: Tasks,
    pub(super) pending: Option<Pending>,
    /// What the peer has asked for, and has not finished yet.
    pub(super) unfinished: UnfinishedSas,
    pub(crate) rekey_at: Option<Instant>,
    pub(crate) expires_at: Option<Instant>,
    pub(crate) reauth: Reauth,
    pub(super) standing: Standing,
    /// When the peer proved who it is.
    pub(super) since: Instant,
}

/// Where an IKE SA stands between rekeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Made by a rekey, and not yet in the place of the old one; the caller knows nothing of it.
    Spare,
    InUse,
    /// Another has its children; what is left is to be deleted.
    Superseded,
}

/// Whether the IKE SA goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Stay,
    Close(DeleteReason),
}

impl Established {
    pub(super) fn new(
        core: &Core,
        ctx: &mut Context<'_>,
        connection: Arc<ConnectionConfig>,
        mut secure: Secure,
        standing: Standing,
        remote_identity: Identity,
    ) -> Self {
        secure.forget_previous();
        let moment = u64::from_be_bytes(ctx.random_array());
        let lifetime = connection.lifetime;
        let started = core.heard;
        Self {
            rekey_at: lifetime.soft(moment).map(|wait| started + wait),
            expires_at: lifetime.hard.map(|wait| started + wait),
            reauth: Reauth::of(&connection, core.role, started, u64::from_be_bytes(ctx.random_array())),
            connection,
            secure,
            remote_identity,
            children: Children::default(),
            tasks: Tasks::default(),
            pending: None,
            unfinished: UnfinishedSas::default(),
            standing,
            since: ctx.now,
        }
    }

    /// Tells the caller of a new IKE SA.
    pub(super) fn announce(&mut self, core: &Core, ctx: &mut Context<'_>, choice: &Choice, ppk: bool) {
        ctx.event(Event::IkeSaEstablished(IkeSaEstablished {
            connection: self.connection.name.clone(),
            ike_sa: core.id,
            initiator: core.is_original_initiator(),
            local: core.path.local,
            remote: core.path.remote,
            local_identity: self.connection.local_identity.to_string(),
            remote_identity: self.remote_identity.to_string(),
            proposal: choice.name(),
            ppk,
            initiator_spi: u64::from_be_bytes(core.spi_initiator.0),
            responder_spi: u64::from_be_bytes(core.spi_responder.0),
            nat: core.between.nat,
        }));
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.standing == Standing::InUse
    }

    /// Makes the next request, if none is pending.
    pub(crate) fn run_tasks(&mut self, core: &mut Core, ctx: &mut Context<'_>) {
        while self.pending.is_none() && core.requests.free().is_some() {
            let waits = self.unfinished.has_ike();
            let Some(task) = self.tasks.next(ctx.now, |task| !waits || task.is_harmless()) else { return };
            let begun = match task {
                Task::CreateChild(wanted) => child_request::create(self, core, ctx, wanted),
                Task::RekeyChild(child) => child_request::rekey(self, core, ctx, child),
                Task::RekeyIke => rekey_request::rekey(self, core, ctx),
                Task::DeleteChild(child, reason) => inform::delete_child(self, core, ctx, child, reason),
                Task::Disown(spi) => inform::disown(self, core, ctx, spi),
                Task::DeleteIke(reason) => inform::delete_ike(self, core, ctx, reason),
                Task::Liveness if mobike::watches_mapping(core) => {
                    mobike::send(self, core, ctx, Move::Mapping)
                }
                Task::Liveness => inform::liveness(self, core, ctx),
                Task::Retire(retirement) => {
                    reauth::retire(self, core, ctx, retirement);
                    Ok(())
                }
                Task::Settle => {
                    duplicate::settle_late(self, core, ctx);
                    Ok(())
                }
                Task::Move(kind) => mobike::send(self, core, ctx, kind),
            };
            if let Err(error) = begun {
                let connection = Some(self.connection.name.clone());
                ctx.failed(connection, None, Some(core.id), core.path.remote, error);
            }
        }
    }

    pub(super) fn handle_request(
        mut self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        header: &Header,
        body: Result<Body<'_>, WireError>,
    ) -> Phase {
        let mut draft = Draft::inner();
        let verdict = match body {
            Err(error) => {
                let (kind, data) = IkeError::from(error).notification();
                draft.notify(kind, &data);
                Verdict::Stay
            }
            Ok(body) => {
                if self.standing == Standing::Spare && !body.deletes_ike() {
                    rekey_answer::adopt(&mut self, core, ctx);
                }
                self.dispatch(core, ctx, header.exchange, &body, &mut draft)
            }
        };
        if let Err(error) = core.answer(ctx, &mut self.secure, header, draft) {
            let connection = Some(self.connection.name.clone());
            ctx.failed(connection, None, Some(core.id), core.path.remote, error);
        }
        match verdict {
            Verdict::Stay => {
                self.run_tasks(core, ctx);
                Phase::Established(self)
            }
            Verdict::Close(reason) => {
                self.close(core, ctx, reason);
                Session::closed(self.secure, core, ctx)
            }
        }
    }

    fn dispatch(
        &mut self,
        core: &mut Core,
        ctx: &mut Context<'_>,
        exchange: ExchangeType,
        body: &Body<'_>,
        draft: &mut Draft,
    ) -> Verdict {
        if exchange == ExchangeType::Informational {
            return inform::answer(self, core, ctx, body, draft);
        }
        let first = body.proposals.first().map(|proposed| proposed.offer.proposal.protocol());
        if exchange == ExchangeType::IkeFollowupKe {
            followup_answer::answer(self, core, ctx, body, draft);
        } else if exchange != ExchangeType::CreateChildSa {
            draft.notify(NotifyType::InvalidSyntax, &[]);
        } else if first == Some(Protocol::Ike) {
            rekey_answer::answer(self, core, ctx, body, draft);
        } else {
            child_answer::answer(self, core, ctx, body, draft);
        }
        Verdict::Stay
    }

    pub(super) fn handle_response(
        mut self: Box<Self>,
        core: &mut Core,
        ctx: &mut Context<'_>,
        body: Result<Body<'_>, WireError>,
    ) -> Phase {
        let verdict = match self.pending.take() {
            Some(Pending::Child(pending)) => {
                child_request::answered(&mut self, core, ctx, *pending, body);
                Verdict::Stay
            }
            Some(Pending::Ike(pending)) => {
                rekey_request::answered(&mut self, core, ctx, *pending, body);
                Verdict::Stay
            }
            Some(Pending::DeleteChild(child, reason)) => {
                self.remove_child(core, ctx, child, reason);
                Verdict::Stay
            }
            Some(Pending::DeleteIke(reason)) => Verdict::Close(reason),
            Some(Pending::Move(pending)) => mobike::answered(&mut self, core, ctx, &pending, body),
            Some(Pending::Notice) | None => Verdict::Stay,
        };
        match verdict {
            Verdict::Stay => {
                self.run_tasks(core, ctx);
                Phase::Established(self)
            }
            Verdict::Close(reason) => {
                self.close(core, ctx, reason);
                Phase::Gone
            }
        }
    }

    /// Tells the caller of the end of everything in here.
    pub(crate) fn close(&mut self, core: &Core, ctx: &mut Context<'_>, reason: DeleteReason) {
        if let Some(Pending::Child(pending)) = self.pending.take() {
            ctx.release_spi(pending.inbound_spi);
        }
        self.unfinished.forget_all(ctx);
        reauth::bequeath(self, ctx);
        let ids: Vec<ChildSaId> = self.children.iter().map(|child| child.id).collect();
        for id in ids {
            self.remove_child(core, ctx, id, DeleteReason::IkeSaGone);
        }
        if self.standing != Standing::Spare {
            let reason = if self.standing == Standing::Superseded { DeleteReason::Rekeyed } else { reason };
            let connection = self.connection.name.clone();
            ctx.event(Event::IkeSaDeleted { connection, ike_sa: core.id, reason });
        }
    }

    /// The child is gone, if it was there.
    pub(super) fn remove_child(
        &mut self,
        core: &Core,
        ctx: &mut Context<'_>,
        child: ChildSaId,
        reason: DeleteReason,
    ) {
        let Some(child) = self.children.remove(child) else { return };
        self.unfinished.forget_rekey_of(ctx, child.id);
        ctx.release_spi(child.spis.inbound);
        ctx.event(Event::ChildSaDeleted(ChildSaDeleted {
            connection: self.connection.name.clone(),
            child: child.config.name.clone(),
            ike_sa: core.id,
            child_sa: child.id,
            spis: child.spis,
            reason,
        }));
    }

    /// Whether a request for this child, or for more, is on its way or about to go.
    pub(super) fn asks_for(&self, child: &Wanted) -> bool {
        matches!(&self.pending, Some(Pending::Child(pending))
            if pending.rekeys.is_none() && child.is_within(&pending.wanted))
            || self
                .tasks
                .iter()
                .any(|task| matches!(task, Task::CreateChild(other) if child.is_within(other)))
    }

    /// One of our user's wishes came to nothing.
    pub(super) fn report(&self, core: &Core, ctx: &mut Context<'_>, child: &str, error: IkeError) {
        let connection = Some(self.connection.name.clone());
        ctx.failed(connection, Some(child.into()), Some(core.id), core.path.remote, error);
    }
}
