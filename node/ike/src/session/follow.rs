//! A peer whose NAT maps it anew is followed, where MOBIKE does not say better (RFC 7296 §2.23).

use super::context::{Context, Path};
use super::core::Core;
use super::established::Established;
use super::task::Task;
use super::{Phase, mobike};
use crate::config::Remote;

/// What kind of message came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    /// Whether the request had to be repeated again and again.
    Response {
        slow: bool,
    },
}

impl Established {
    /// The peer may be anywhere at any time, with or without a NAT.
    fn is_roaming(&self) -> bool {
        matches!(self.connection.remote, Remote::Roaming(_))
    }
}

/// The caller knows that the peer is there.
pub(super) fn led(established: &mut Established, core: &mut Core, ctx: &mut Context<'_>, path: Path) {
    if core.path == path {
        return;
    }
    core.move_to(ctx, path);
    if established.is_in_use() {
        core.move_children(ctx, established);
    }
    established.tasks.push_first(ctx.now, Task::Liveness);
    established.run_tasks(core, ctx);
}

impl Core {
    /// An authentic message that is not a repetition came in on this path: only such a one moves anything (trap 8).
    pub(super) fn heard_from(&mut self, ctx: &mut Context<'_>, path: Path, kind: Kind, phase: &mut Phase) {
        self.heard = ctx.now;
        self.arrival = path;
        match phase {
            Phase::AuthAwaited(_) => self.path = path,
            Phase::Established(established) if self.mobility.mobike.is_some() => {
                // RFC 4555 §3.8: nothing but what the initiator says. A request that it made on several paths tells
                // it which one works.
                if kind == (Kind::Response { slow: true }) {
                    mobike::answered_from(established, self, ctx, path);
                }
            }
            Phase::Established(established) if self.between.nat.remote || established.is_roaming() => {
                self.follow(ctx, path, kind, established);
            }
            Phase::InitSent(_)
            | Phase::IntermediateSent(_)
            | Phase::AuthSent(_)
            | Phase::Established(_)
            | Phase::Closed { .. }
            | Phase::Gone => {}
        }
    }

    fn follow(&mut self, ctx: &mut Context<'_>, path: Path, kind: Kind, established: &mut Established) {
        if self.path == path {
            self.mobility.candidate = None;
            return;
        }
        // RFC 7296 §2.23: a host behind a NAT should not follow a single packet, whose source anyone on its way may
        // have changed. It is enough if the peer, asked there, answers from there.
        let answered = matches!(kind, Kind::Response { .. }) && self.mobility.candidate == Some(path);
        if self.between.nat.local && self.path.remote != path.remote && !answered {
            self.mobility.candidate = Some(path);
            match self.requests.pending().cloned() {
                Some(pending) => ctx.send_again(path, &pending),
                None => established.tasks.push_first(ctx.now, Task::Liveness),
            }
            return;
        }
        self.move_to(ctx, path);
        if established.is_in_use() {
            self.move_children(ctx, established);
        }
    }
}
