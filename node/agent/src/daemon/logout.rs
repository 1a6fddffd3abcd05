//! `down` and `logout`.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::DaemonError;
use super::agent::Agent;
use super::pending::{Pending, What};
use crate::api::{Answer, Done};
use crate::control::{Greeting, Leaving};
use crate::state::Wanted;

/// The session ends by itself long before.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(30);

impl Agent {
    pub(super) fn down(&mut self) -> Answer {
        if matches!(self.pending.as_ref().map(|pending| &pending.what), Some(What::LoggingOut)) {
            return Answer::Error("a logout is under way".to_owned());
        }
        let was_up = self.plane.is_some() || self.session.is_some();
        if let Err(error) = self.stored.store_wanted(&self.folder, Wanted::Down) {
            return Answer::Error(error.to_string());
        }
        if let Err(error) = self.stop_sites() {
            return Answer::Error(error.to_string());
        }
        self.close_session();
        self.stop_plane();
        self.fail_pending("`twinmesh down` came in between".to_owned());
        let message = if was_up { "the tunnels are down" } else { "the tunnels were down already" };
        Answer::ok(&Done { message: message.to_owned() })
    }

    pub(super) fn logout(&mut self, answer: oneshot::Sender<Answer>, now: Instant) {
        if self.pending.is_some() && !self.is_enrolling() {
            answer
                .send(Answer::Error("an `up` or `logout` is under way: try again in a moment".to_owned()))
                .ok();
            return;
        }
        self.abandon_enrolment_for_logout();
        let member = self.stored.config.coordinator.clone().filter(|_| self.stored.config.removed.is_none());
        let Some(coordinator) = member else {
            let forgotten = self.forget().map(|()| Done {
                message: "this node belonged to no network; its keys and state are new now".to_owned(),
            });
            answer
                .send(
                    forgotten.map_or_else(|error| Answer::Error(error.to_string()), |done| Answer::ok(&done)),
                )
                .ok();
            return;
        };
        // A crash from here on must not bring the tunnels back.
        if let Err(error) = self.stored.store_wanted(&self.folder, Wanted::Down) {
            answer.send(Answer::Error(error.to_string())).ok();
            return;
        }
        self.stop_plane();
        if self.session.is_none() {
            self.open_session(coordinator, Greeting::Hello, self.stored.config.preference.clone());
        }
        if let Some(session) = self.session.as_mut() {
            session.leave(now);
        }
        let pending =
            Pending { answer, until: now + LOGOUT_TIMEOUT, timeout: LOGOUT_TIMEOUT, what: What::LoggingOut };
        self.pending = Some(pending);
    }

    fn abandon_enrolment_for_logout(&mut self) {
        if self.is_enrolling() {
            self.abandon_enrolment("`twinmesh logout` came in between".to_owned());
        }
    }

    /// The end of a logout.
    pub(super) fn left(&mut self, leaving: Leaving) {
        let name = self.stored.map.as_ref().map_or_else(|| "NAME".to_owned(), |map| map.own.name.clone());
        self.close_session();
        let answer = match self.forget() {
            Err(error) => Answer::Error(error.to_string()),
            Ok(()) => Answer::ok(&Done {
                message: match leaving {
                    Leaving::Told => "this node has left its network; its keys are forgotten".to_owned(),
                    Leaving::CoordinatorAway => format!(
                        "this node has forgotten its network and keys, but the coordinator could not be told: remove \
                         the node there with `twinmesh-coordinator node remove {name}`"
                    ),
                },
            }),
        };
        if let Some(pending) = self.pending.take() {
            pending.answer.send(answer).ok();
        }
    }

    pub(super) fn forget(&mut self) -> Result<(), DaemonError> {
        self.stop_plane();
        self.forget_map_timer();
        self.stored.forget(&self.folder)
    }
}
