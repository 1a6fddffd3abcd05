//! Reauthentication (RFC 7296 §2.8.3), make before break: a new IKE SA from scratch with the same children beside the
//! old one, which is deleted once nothing is missing in the new one. If both ends begin at once, one of the two new ones
//! is left as if there had been none before (`duplicate.rs`).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::child::Stage;
use super::context::{Context, Path};
use super::core::Core;
use super::duplicate::announce;
use super::established::{Established, PATIENCE as DELETE_PATIENCE, Standing};
use super::init_request::{InitSent, initiate_along};
use super::task::{Pending, Task};
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

/// The other end's own children come first; what it does not make is made at our request.
const MOVE: Duration = Duration::from_secs(1);

/// The initiator of an IKE SA may still have to hear, after some repetitions, of children that its responder has.
const LINGER: Duration = Duration::from_mins(1);

/// Longer nobody waits for children that do not come.
const PATIENCE: Duration = Duration::from_mins(5);

/// What an IKE SA has in common with those that it was rekeyed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// Of the first of them, in which the ends proved who they are.
    pub(super) id: IkeSaId,
    /// The line whose place this one takes.
    pub(super) replaces: Option<IkeSaId>,
}

/// Of an IKE SA whose place another takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retirement {
    pub(super) line: IkeSaId,
    /// Missing children are asked for from here on, once.
    ask: Option<Instant>,
    /// Since when nothing has been missing.
    complete: Option<Instant>,
    /// At last in any case.
    until: Instant,
}

/// When the ends have to prove anew who they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reauth {
    pub(crate) at: Option<Instant>,
    /// Nothing lasts longer without a new proof.
    pub(crate) until: Option<Instant>,
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
    let under_way = |session: &Session| session.core.line.replaces == Some(line) && session.takes_tasks();
    let under_way = ctx.shared.sessions.values().any(under_way);
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
pub(super) fn stands(established: &mut Established, core: &Core, ctx: &mut Context<'_>) {
    if let Some(old) = core.line.replaces {
        take_place_of(established, ctx, old);
    }
}

/// This IKE SA takes the place of that line.
pub(super) fn take_place_of(established: &mut Established, ctx: &mut Context<'_>, line: IkeSaId) {
    let known = |task: &Task| matches!(task, Task::Retire(other) if other.line == line);
    if !established.tasks.iter().any(known) {
        let (ask, until) = (Some(ctx.soon(MOVE)), ctx.now + PATIENCE);
        established.tasks.push(ctx.now, Task::Retire(Retirement { line, ask, complete: None, until }));
    }
}

/// Deletes the IKE SA of this line, as soon as this one has all of its children; at last in any case.
pub(super) fn retire(
    established: &mut Established,
    core: &Core,
    ctx: &mut Context<'_>,
    mut retirement: Retirement,
) {
    let Retirement { line, until, .. } = retirement;
    if core.line.id == line || !established.is_in_use() {
        return;
    }
    let of_line = |session: &Session| {
        let established = session.established().filter(|_| session.core.line.id == line);
        established.map(|it| it.standing).filter(|standing| *standing != Standing::Superseded)
    };
    let standings: Vec<(IkeSpi, Standing)> =
        ctx.shared.sessions.iter().filter_map(|(spi, it)| Some((*spi, of_line(it)?))).collect();
    let in_use = standings.iter().find(|(_, standing)| *standing == Standing::InUse);
    let Some(mut session) = in_use.and_then(|(spi, _)| ctx.shared.sessions.remove(spi)) else {
        // A rekey is in the midst of it.
        if !standings.is_empty() {
            established.tasks.push(ctx.now + LOOK, Task::Retire(retirement));
        }
        return;
    };
    if let Phase::Established(old) = &mut session.phase {
        let missing = missing(established, old);
        if !missing.is_empty() && retirement.ask.take_if(|ask| *ask <= ctx.now).is_some() {
            want_all(established, ctx.now, &missing);
        }
        retirement.complete = if missing.is_empty() && old.pending.is_none() {
            retirement.complete.or(Some(ctx.now))
        } else {
            None
        };
        let linger = if core.role == Role::Initiator { Duration::ZERO } else { LINGER };
        let is_complete = retirement.complete.is_some_and(|since| since + linger <= ctx.now);
        if ctx.now < until && !is_complete {
            established.tasks.push(ctx.now + LOOK, Task::Retire(retirement));
        } else {
            inherit(established, old, ctx.now);
            old.standing = Standing::Superseded;
            old.rekey_at = None;
            old.reauth = Reauth::default();
            old.expires_at = Some(ctx.now + DELETE_PATIENCE);
            announce(&session.core, (core, established), ctx);
            old.tasks.push(ctx.now, Task::DeleteIke(DeleteReason::Rekeyed));
            old.run_tasks(&mut session.core, ctx);
        }
    }
    ctx.shared.insert(session);
}

/// What the old IKE SA has, or was about to get, the new one gets.
pub(super) fn inherit(new: &mut Established, old: &mut Established, from: Instant) {
    let missing = missing(new, old);
    want_all(new, from, &missing);
    if let Some(Pending::Child(pending)) = &old.pending
        && pending.rekeys.is_none()
    {
        want_all(new, from, std::slice::from_ref(&pending.wanted));
    }
    for (at, task) in old.tasks.take() {
        match task {
            Task::CreateChild(child) => want_all(new, at.max(from), &[child]),
            Task::Retire(..) => new.tasks.push(at, task),
            Task::RekeyChild(_)
            | Task::DeleteChild(..)
            | Task::RekeyIke
            | Task::Disown(_)
            | Task::DeleteIke(_)
            | Task::Liveness
            | Task::Settle
            | Task::Move(_) => {}
        }
    }
}

fn want_all(established: &mut Established, from: Instant, children: &[Wanted]) {
    for child in children {
        if !established.asks_for(child) {
            established.tasks.push(from, Task::CreateChild(child.clone()));
        }
    }
}

/// The old IKE SA's children that the new one has not, as far as they are configured still.
fn missing(new: &Established, old: &Established) -> Vec<Wanted> {
    let children = old.children.iter().filter(|child| {
        child.stage == Stage::Installed && new.connection.child(&child.config.name).is_some()
    });
    let wanted = children.map(Wanted::like);
    wanted.filter(|wanted| !new.children.iter().any(|child| wanted.is_met_by(child))).collect()
}

/// An IKE SA ends with others still to be deleted: whichever stays sees to it.
pub(super) fn bequeath(established: &mut Established, ctx: &mut Context<'_>) {
    for (from, task) in established.tasks.take() {
        let Task::Retire(Retirement { line, .. }) = task else { continue };
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
