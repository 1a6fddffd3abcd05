//! What the caller asks for.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Engine, context};
use crate::error::IkeError;
use crate::output::{ChildSaId, Command, DeleteReason, IkeSaId};
use crate::session::{Context, Random, Session, Task, Trigger, Wanted, initiate};
use crate::wire::IkeSpi;

impl Engine {
    pub fn handle_command(&mut self, now: Instant, command: Command, random: &mut Random<'_>) {
        match command {
            Command::Initiate { connection } => self.initiate(now, &connection, None, random),
            Command::CreateChild { connection, child, trigger } => {
                self.create_child(now, &connection, (&child, trigger), random);
            }
            Command::RekeyIke { ike_sa } => self.task(now, ike_sa, Task::RekeyIke, random),
            Command::RekeyChild { child_sa } => {
                self.child_task(now, child_sa, Task::RekeyChild(child_sa), random);
            }
            Command::TerminateChild { child_sa } => {
                let task = Task::DeleteChild(child_sa, DeleteReason::Requested);
                self.child_task(now, child_sa, task, random);
            }
            Command::Terminate { ike_sa } => self.terminate(now, |session| session.core.id == ike_sa, random),
            Command::TerminateConnection { connection } => {
                self.terminate(now, |session| session.connection() == Some(&*connection), random);
            }
            Command::CheckLiveness { ike_sa } => self.task(now, ike_sa, Task::Liveness, random),
            Command::AddressesChanged { connection, local, additional } => {
                let concerned = |session: &Session| session.connection() == Some(&*connection);
                self.each(now, concerned, random, |session, ctx| session.relocate(ctx, local, &additional));
            }
            Command::Lead { connection, local, remote } => {
                let concerned = |session: &Session| session.connection() == Some(&*connection);
                self.each(now, concerned, random, |session, ctx| session.lead(ctx, local, remote));
            }
            Command::Reauthenticate { ike_sa } => {
                if let Some(spi) = self.find(|session| session.core.id == ike_sa) {
                    self.step(now, spi, random, Session::reauthenticate);
                }
            }
            Command::Heard { ike_sa } => {
                if let Some(spi) = self.find(|session| session.core.id == ike_sa) {
                    self.step(now, spi, random, |session, ctx| session.core.heard = ctx.now);
                }
            }
        }
    }

    fn initiate(
        &mut self,
        now: Instant,
        name: &str,
        child: Option<(&str, Option<Trigger>)>,
        random: &mut Random<'_>,
    ) {
        let mut ctx = context(&mut self.shared, self.wall, now, random);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let Some(connection) = ctx.shared.connections.get(name).cloned() else {
            ctx.failed(Some(name.into()), None, None, nowhere, IkeError::UnknownConnection);
            return;
        };
        let children = match child {
            Some((child, trigger)) => Wanted::of(&connection, child, trigger),
            None => Wanted::all_of(&connection),
        };
        let from = ctx.shared.outputs.len();
        match children.and_then(|children| initiate(&mut ctx, connection, children)) {
            Ok(session) => {
                let owner = self.owner(&session);
                self.shared.insert(session);
                self.own(from, owner, None);
            }
            Err(error) => ctx.failed(Some(name.into()), None, None, nowhere, error),
        }
        self.reschedule();
    }

    fn create_child(
        &mut self,
        now: Instant,
        connection: &str,
        (child, trigger): (&str, Option<Trigger>),
        random: &mut Random<'_>,
    ) {
        // The one that stays, while one takes the place of another.
        let mut sessions: Vec<_> = self.shared.sessions.iter().collect();
        sessions.retain(|(_, session)| session.connection() == Some(connection) && session.takes_tasks());
        let Some(spi) = sessions.into_iter().max_by_key(|(_, session)| session.core.id).map(|(spi, _)| *spi)
        else {
            return self.initiate(now, connection, Some((child, trigger)), random);
        };
        self.step(now, spi, random, |session, ctx| session.add_child(ctx, child, trigger));
    }

    fn task(&mut self, now: Instant, ike_sa: IkeSaId, task: Task, random: &mut Random<'_>) {
        if let Some(spi) = self.find(|session| session.core.id == ike_sa) {
            self.step(now, spi, random, |session, ctx| session.add_task(ctx, task));
        }
    }

    fn child_task(&mut self, now: Instant, child: ChildSaId, task: Task, random: &mut Random<'_>) {
        if let Some(spi) = self.find(|session| session.has_child(child)) {
            self.step(now, spi, random, |session, ctx| session.add_task(ctx, task));
        }
    }

    fn terminate(&mut self, now: Instant, which: impl Fn(&Session) -> bool, random: &mut Random<'_>) {
        self.each(now, which, random, Session::terminate);
    }

    fn each(
        &mut self,
        now: Instant,
        which: impl Fn(&Session) -> bool,
        random: &mut Random<'_>,
        act: impl Fn(&mut Session, &mut Context<'_>),
    ) {
        let meant = self.shared.sessions.iter().filter(|(_, session)| which(session));
        let meant: Vec<IkeSpi> = meant.map(|(spi, _)| *spi).collect();
        for spi in meant {
            self.step(now, spi, random, &act);
        }
    }

    fn find(&self, which: impl Fn(&Session) -> bool) -> Option<IkeSpi> {
        self.shared.sessions.iter().find(|(_, session)| which(session)).map(|(spi, _)| *spi)
    }
}
