//! Reauthentication (RFC 7296 §2.8.3), make before break: a new IKE SA from scratch with the same children beside the
//! old one, which is deleted once nothing is missing in the new one. If both ends begin at once, one of the two new ones
//! is left as if there had been none before (`duplicate.rs`).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::child::Stage;
use super::context::{Context, Path};
use super::core::Core;
use super::duplicate::announce;
use super::established::{Established, PATIENCE, Standing};

use super::init_request::{InitSent, initiate_along};
use super::task::Task;
use super::wanted::Wanted;
use super::{Phase, Session};
use crate::config::{ConnectionConfig, Lifetime};
use crate::crypto::Role;
use crate::output::{DeleteReason, IkeSaId};
use crate::wire::IkeSpi;

/// After an attempt that came to nothing.
const RETRY: Duration = Duration::from_mins(1);

/// Between looks at whether the new IKE SA is complete.
const LOOK: Duration = Duration::from_secs(1);

/// What an IKE SA has in common with those that it was rekeyed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// Of the first of them, in which the ends proved who they are.
    pub(super) id: IkeSaId,
    /// The line whose place this one takes.
    pub(super) replaces: Option<IkeSaId>,
}

/// When the ends have to prove anew who they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reauth {
    pub(super) at: Option<Instant>,
    /// Nothing lasts longer without a new proof.
    pub(super) until: Option<Instant>,
}

impl Line {
    pub(super) fn begin(id: IkeSaId, replaces: Option<IkeSaId>) -> Self {
        Self { id, replaces }
    }

    pub(super) fn is_replaced_by(self, other: Self) -> bool {
        other.replaces == Some(self.id)
    }
}

impl Reauth {
    /// The initiator comes first, so that the two do not begin at once.
    pub(super) fn of(connection: &ConnectionConfig, role: Role, started: Instant, random: u64) -> Self {
        let Some(reauth) = connection.reauth else { return Self::default() };
        let window = reauth / 20;
        let latest = match role {
            Role::Initiator => reauth.saturating_sub(window),
            Role::Responder => reauth,
        };
        let moment = Lifetime { rekey: Some(latest), jitter: window, hard: None };
        Self {
            at: moment.soft(random).map(|wait| started + wait),
            until: Some(started + reauth + reauth / 10),
        }
    }
}

/// The new IKE SA is begun, if none is already.
pub(super) fn begin(established: &mut Established, core: &Core, ctx: &mut Context<'_>) {
    let line = core.line.id;
    let under_way = ctx.shared.sessions.values().any(|session| session.core.line.replaces == Some(line));
    if !established.is_in_use() || under_way {
        return;
    }
    if established.reauth.at.is_some() || established.reauth.until.is_some() {
        established.reauth.at = Some(ctx.soon(RETRY));
    }
    // What is configured by now, if it still is.
    let name = &established.connection.name;
    let connection = ctx.shared.connections.get(name).unwrap_or(&established.connection).clone();
    let mut children: Vec<Wanted> = Vec::new();
    for child in established.children.iter().filter(|child| child.stage == Stage::Installed) {
        let known = children.iter().any(|wanted| wanted.config.name == child.config.name);
        if !known && let Ok(wanted) = Wanted::of(&connection, &child.config.name, None) {
            children.extend(wanted);
        }
    }
    let name = name.clone();
    match initiate_along(ctx, connection, children, core.path, Some(line)) {
        Ok(session) => ctx.shared.insert(session),
        Err(error) => ctx.failed(Some(name), None, Some(core.id), core.path.remote, error),
    }
}

/// An IKE SA stands, authenticated from scratch. What it takes the place of goes when it is complete.
pub(super) fn stands(established: &mut Established, core: &Core, ctx: &Context<'_>) {
    if let Some(old) = core.line.replaces {
        established.tasks.push(ctx.now, Task::Retire(old, ctx.now + PATIENCE));
    }
}

/// Deletes the IKE SA of this line, as soon as this one has all of its children; at last in any case.
pub(super) fn retire(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    line: IkeSaId,
    until: Instant,
) {
    if core.line.id == line {
        return;
    }
    let mut of_line =
        ctx.shared.sessions.iter().filter(|(_, session)| session.core.line.id == line).peekable();
    let any = of_line.peek().is_some();
    let in_use = |session: &Session| session.established().is_some_and(Established::is_in_use);
    let old = of_line.find(|(_, session)| in_use(session)).map(|(spi, _)| *spi);
    let Some(mut session) = old.and_then(|spi| ctx.shared.sessions.remove(&spi)) else {
        // A rekey may be in the midst of it.
        if any && ctx.now < until {
            established.tasks.push(ctx.now + LOOK, Task::Retire(line, until));
        }
        return;
    };
    if let Phase::Established(old) = &mut session.phase {
        if ctx.now < until && (old.pending.is_some() || !covers(established, old)) {
            established.tasks.push(ctx.now + LOOK, Task::Retire(line, until));
        } else {
            old.standing = Standing::Superseded;
            old.rekey_at = None;
            old.reauth = Reauth::default();
            old.expires_at = Some(ctx.now + PATIENCE);
            for (from, task) in old.tasks.take() {
                if matches!(task, Task::CreateChild(_) | Task::Retire(..)) {
                    established.tasks.push(from, task);
                }
            }
            announce(&session.core, (core, established), ctx);
            old.tasks.push(ctx.now, Task::DeleteIke(DeleteReason::Rekeyed));
            old.run_tasks(&mut session.core, ctx);
        }
    }
    ctx.shared.insert(session);
}

/// Whether nothing of the old IKE SA's children is missing.
fn covers(new: &Established, old: &Established) -> bool {
    let count = |side: &Established, name: &str| {
        let installed = side.children.iter().filter(|child| child.stage == Stage::Installed);
        installed.filter(|child| *child.config.name == *name).count()
    };
    old.children.iter().all(|child| count(new, &child.config.name) >= count(old, &child.config.name))
}

/// An IKE SA ends with others still to be deleted: whichever stays sees to it.
pub(super) fn bequeath(established: &mut Established, ctx: &mut Context<'_>) {
    for (from, task) in established.tasks.take() {
        let Task::Retire(line, _) = task else { continue };
        let heir = |session: &&mut Session| {
            session.core.line.id != line
                && session.established().is_some_and(|other| {
                    other.is_in_use()
                        && other.connection.name == established.connection.name
                        && other.remote_identity == established.remote_identity
                })
        };
        let sessions = ctx.shared.sessions.values_mut().filter(heir);
        let Some(session) = sessions.max_by_key(|session| session.core.id) else { continue };
        let spi = session.core.local_spi();
        if let Phase::Established(heir) = &mut session.phase {
            heir.tasks.push(from, task);
            ctx.shared.touched.push(spi);
        }
    }
}

impl Context<'_> {
    /// An end of this line is elsewhere: the IKE SA that is being set up in its place goes on there. What says by hashes
    /// where it was sent from has to be said anew.
    pub(super) fn take_along(&mut self, line: IkeSaId, path: Path) {
        let being_set_up =
            |session: &Session| session.core.line.replaces == Some(line) && session.established().is_none();
        let sessions = self.shared.sessions.iter().filter(|(_, session)| being_set_up(session));
        let spis: Vec<IkeSpi> = sessions.map(|(spi, _)| *spi).collect();
        for spi in spis {
            let Some(mut session) = self.shared.sessions.remove(&spi) else { continue };
            if let Phase::InitSent(sent) = session.phase {
                let InitSent { connection, children, .. } = *sent;
                match initiate_along(self, connection, children, path, Some(line)) {
                    Ok(anew) => self.shared.insert(anew),
                    Err(error) => self.failed(None, None, None, path.remote, error),
                }
                continue;
            }
            session.core.move_attempt(self, path);
            self.shared.insert(session);
        }
    }

    /// The connections whose peers are at this address, wherever they were looked for at first.
    pub(super) fn peers_at(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        let there = self.shared.sessions.values().filter(move |it| it.core.path.remote.ip() == address);
        there.filter_map(Session::established).map(|established| &*established.connection.name)
    }
}
