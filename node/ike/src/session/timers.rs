//! What an IKE SA does by itself as time goes by.

use std::time::Instant;

use super::child::Stage;
use super::context::Context;
use super::core::Core;
use super::established::{Established, Standing};
use super::reauth::{self, Reauth};
use super::task::{Pending, Task};
use super::{Phase, Session};
use crate::error::IkeError;
use crate::output::DeleteReason;
use crate::wire::ExchangeType;

impl Session {
    /// When `handle_timeout` is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let own = match &self.phase {
            Phase::AuthAwaited(awaited) => Some(awaited.until),
            Phase::Closed { until, .. } => Some(*until),
            Phase::Established(established) => established.deadline(&self.core, self.keepalive),
            Phase::InitSent(_) | Phase::IntermediateSent(_) | Phase::AuthSent(_) | Phase::Gone => None,
        };
        own.into_iter().chain(self.core.requests.due()).min()
    }

    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        if let Ok(again) = self.core.requests.retransmit(ctx.now) {
            if let Some(datagrams) = again.cloned() {
                ctx.send_again(self.core.path, &datagrams);
                if let Phase::Established(established) = &self.phase {
                    for detour in self.core.detours(established) {
                        ctx.send_again(detour, &datagrams);
                    }
                }
                self.core.said = ctx.now;
            }
        } else {
            self.give_up(ctx);
        }
        match std::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::AuthAwaited(awaited) if awaited.until <= ctx.now => awaited.leave(&self.core, ctx),
            Phase::Closed { until, .. } if until <= ctx.now => {}
            Phase::Established(mut established) => {
                if established.handle_timeout(&mut self.core, ctx) {
                    self.phase = Phase::Established(established);
                }
            }
            other @ (Phase::InitSent(_)
            | Phase::IntermediateSent(_)
            | Phase::AuthSent(_)
            | Phase::AuthAwaited(_)
            | Phase::Closed { .. }
            | Phase::Gone) => self.phase = other,
        }
    }

    /// The last retransmission went unanswered.
    fn give_up(&mut self, ctx: &mut Context<'_>) {
        let core = &self.core;
        match std::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::InitSent(sent) => {
                let silence =
                    IkeError::NoAnswer { exchange: ExchangeType::IkeSaInit, remote: core.path.remote };
                let error = sent.refused.unwrap_or(silence);
                ctx.failed(Some(sent.connection.name.clone()), None, None, core.path.remote, error);
            }
            Phase::IntermediateSent(sent) => {
                let error =
                    IkeError::NoAnswer { exchange: ExchangeType::IkeIntermediate, remote: core.path.remote };
                sent.fail(core, ctx, error);
            }
            Phase::AuthSent(sent) => {
                let error = IkeError::NoAnswer { exchange: ExchangeType::IkeAuth, remote: core.path.remote };
                sent.fail(core, ctx, error);
            }
            Phase::Established(mut established) => {
                let mut reason = DeleteReason::PeerDead;
                if let Some(Pending::DeleteIke(requested)) = established.pending {
                    reason = requested;
                }
                established.close(core, ctx, reason);
            }
            Phase::AuthAwaited(_) | Phase::Closed { .. } | Phase::Gone => {}
        }
    }
}

impl Established {
    fn deadline(&self, core: &Core, keepalive: std::time::Duration) -> Option<Instant> {
        let idle = self.pending.is_none();
        let liveness = self.connection.dpd_delay.filter(|_| idle).map(|delay| core.heard + delay);
        let keepalive = core.between.needs_keepalive().then(|| core.said + keepalive);
        // While the peer rekeys the IKE SA, what is not done at once has to wait for the end of that.
        let tasks = self.tasks.due().filter(|_| idle && !self.unfinished.has_ike());
        let children = self.children.iter().filter(|child| child.stage != Stage::Deleting);
        let children = children.flat_map(|child| [child.rekey_at, child.expires_at]).flatten();
        let Reauth { at: reauth, until } = self.reauth;
        let unfinished = self.unfinished.due();
        [self.rekey_at, self.expires_at, reauth, until, liveness, keepalive, tasks, unfinished]
            .into_iter()
            .flatten()
            .chain(children)
            .min()
    }

    /// False if this was the end.
    fn handle_timeout(&mut self, core: &mut Core, ctx: &mut Context<'_>) -> bool {
        let now = ctx.now;
        self.unfinished.forget_late(ctx);
        let passed = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if passed(&mut self.expires_at) {
            if self.standing == Standing::Spare {
                self.close(core, ctx, DeleteReason::Expired);
                return false;
            }
            self.tasks.push_first(now, Task::DeleteIke(DeleteReason::Expired));
        }
        if passed(&mut self.reauth.until) {
            self.tasks.push_first(now, Task::DeleteIke(DeleteReason::Expired));
        }
        if passed(&mut self.reauth.at) {
            reauth::begin(self, core, ctx);
        }
        if passed(&mut self.rekey_at) {
            self.tasks.push(now, Task::RekeyIke);
        }
        for child in self.children.iter_mut().filter(|child| child.stage != Stage::Deleting) {
            if passed(&mut child.expires_at) {
                let reason = match child.stage {
                    Stage::Superseded => DeleteReason::Rekeyed,
                    Stage::Installed | Stage::Deleting => DeleteReason::Expired,
                };
                self.tasks.push_first(now, Task::DeleteChild(child.id, reason));
            }
            if passed(&mut child.rekey_at) {
                self.tasks.push(now, Task::RekeyChild(child.id));
            }
        }
        let silent = self.connection.dpd_delay.is_some_and(|delay| core.heard + delay <= now);
        if silent && self.pending.is_none() {
            self.tasks.push(now, Task::Liveness);
        }
        if core.between.needs_keepalive() && core.said + ctx.shared.config.keepalive <= now {
            ctx.send_keepalive(core.path);
            core.said = now;
        }
        self.run_tasks(core, ctx);
        true
    }
}
