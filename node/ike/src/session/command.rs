//! What the engine asks and commands of a session.

use std::net::{IpAddr, SocketAddr};

use super::context::Context;
use super::established::Established;
use super::task::Task;
use super::wanted::{Trigger, Wanted};
use super::{Phase, Session, follow, mobike, reauth};
use crate::output::{ChildSaId, DeleteReason};

impl Session {
    pub(crate) fn established(&self) -> Option<&Established> {
        if let Phase::Established(established) = &self.phase { Some(established) } else { None }
    }

    pub(crate) fn connection(&self) -> Option<&str> {
        match &self.phase {
            Phase::InitSent(sent) => Some(&sent.connection.name),
            Phase::IntermediateSent(sent) => Some(&sent.connection.name),
            Phase::AuthSent(sent) => Some(&sent.connection.name),
            Phase::Established(established) => Some(&established.connection.name),
            Phase::AuthAwaited(_) | Phase::Closed { .. } | Phase::Gone => None,
        }
    }

    /// Whether it makes children, now or once it is established.
    pub(crate) fn takes_tasks(&self) -> bool {
        match &self.phase {
            Phase::InitSent(_) | Phase::IntermediateSent(_) | Phase::AuthSent(_) => true,
            Phase::Established(established) => established.is_in_use(),
            Phase::AuthAwaited(_) | Phase::Closed { .. } | Phase::Gone => false,
        }
    }

    pub(crate) fn has_child(&self, child: ChildSaId) -> bool {
        self.established().is_some_and(|established| established.children.by_id(child).is_some())
    }

    pub(crate) fn add_task(&mut self, ctx: &mut Context<'_>, task: Task) {
        if let Phase::Established(established) = &mut self.phase {
            established.tasks.push(ctx.now, task);
            established.run_tasks(&mut self.core, ctx);
        }
    }

    pub(crate) fn add_child(&mut self, ctx: &mut Context<'_>, name: &str, trigger: Option<Trigger>) {
        let connection = match &self.phase {
            Phase::InitSent(sent) => &sent.connection,
            Phase::IntermediateSent(sent) => &sent.connection,
            Phase::AuthSent(sent) => &sent.connection,
            Phase::Established(established) => &established.connection,
            Phase::AuthAwaited(_) | Phase::Closed { .. } | Phase::Gone => return,
        };
        match Wanted::of(connection, name, trigger) {
            Ok(children) => children.into_iter().for_each(|child| self.want(ctx, child)),
            Err(error) => {
                let (connection, ike_sa) = (Some(connection.name.clone()), Some(self.core.id));
                ctx.failed(connection, Some(name.into()), ike_sa, self.core.path.remote, error);
            }
        }
    }

    fn want(&mut self, ctx: &mut Context<'_>, child: Wanted) {
        let queue = |children: &mut Vec<Wanted>| {
            if !children.iter().any(|other| child.is_within(other)) {
                children.push(child.clone());
            }
        };
        match &mut self.phase {
            Phase::InitSent(sent) => queue(&mut sent.children),
            Phase::IntermediateSent(sent) => queue(&mut sent.children),
            Phase::AuthSent(sent) if !sent.asks_for(&child) => queue(&mut sent.children),
            Phase::Established(established) if !established.asks_for(&child) => {
                self.add_task(ctx, Task::CreateChild(child));
            }
            Phase::AuthSent(_)
            | Phase::Established(_)
            | Phase::AuthAwaited(_)
            | Phase::Closed { .. }
            | Phase::Gone => {}
        }
    }

    /// This node's end is elsewhere, or has other addresses besides.
    pub(crate) fn relocate(&mut self, ctx: &mut Context<'_>, local: IpAddr, additional: &[IpAddr]) {
        match &mut self.phase {
            Phase::Established(established) => {
                mobike::relocated(established, &mut self.core, ctx, local, additional);
            }
            Phase::InitSent(_) | Phase::IntermediateSent(_) | Phase::AuthSent(_) => {
                let mut path = self.core.path;
                path.local.set_ip(local);
                self.core.move_attempt(ctx, path);
            }
            Phase::AuthAwaited(_) | Phase::Closed { .. } | Phase::Gone => {}
        }
    }

    /// The peer is reached there, as the caller knows.
    pub(crate) fn lead(&mut self, ctx: &mut Context<'_>, local: IpAddr, remote: SocketAddr) {
        let mut path = self.core.path;
        path.local.set_ip(local);
        path.remote = remote;
        match &mut self.phase {
            // With MOBIKE the ends settle it between them.
            Phase::Established(established) if self.core.mobility.mobike.is_none() => {
                follow::led(established, &mut self.core, ctx, path);
            }
            Phase::InitSent(_) | Phase::IntermediateSent(_) | Phase::AuthSent(_) => {
                self.core.move_attempt(ctx, path);
            }
            Phase::Established(_) | Phase::AuthAwaited(_) | Phase::Closed { .. } | Phase::Gone => {}
        }
    }

    pub(crate) fn reauthenticate(&mut self, ctx: &mut Context<'_>) {
        if let Phase::Established(established) = &mut self.phase {
            reauth::begin(established, &self.core, ctx);
        }
    }

    pub(crate) fn terminate(&mut self, ctx: &mut Context<'_>) {
        match &mut self.phase {
            Phase::InitSent(_) | Phase::IntermediateSent(_) => self.phase = Phase::Gone,
            Phase::AuthSent(sent) => {
                sent.abandon(ctx);
                self.phase = Phase::Gone;
            }
            Phase::Established(established) => {
                established.tasks.push_first(ctx.now, Task::DeleteIke(DeleteReason::Requested));
                established.run_tasks(&mut self.core, ctx);
            }
            Phase::AuthAwaited(_) | Phase::Closed { .. } | Phase::Gone => {}
        }
    }
}
