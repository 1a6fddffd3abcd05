//! How the one who asked for `up` or `logout` gets an answer, whatever happens first.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use twinmesh_control::{Refusal, RefusalCode};

use super::agent::Agent;
use crate::api::{Answer, UpDone, UpHow};
use crate::control::{ConnectionError, Leaving};
use crate::state::Config;

pub(super) const JOIN: &str = "join with `twinmesh up --coordinator HOST --token TOKEN`";

/// Somebody waits for the end of `up` or `logout`.
pub(super) struct Pending {
    pub(super) answer: oneshot::Sender<Answer>,
    pub(super) until: Instant,
    pub(super) timeout: Duration,
    pub(super) what: What,
}

pub(super) enum What {
    /// Not welcome yet; the configuration to be once it is.
    Enrolling(Config),
    /// Part of the network, but without a map of it.
    AwaitingMap(UpHow),
    /// In place from the last map; the coordinator's word is a courtesy.
    Started,
    LoggingOut,
}

impl Agent {
    /// What to tell once everything is in place.
    pub(super) fn up_done(&self, how: UpHow) -> Option<UpDone> {
        let map = self.stored.map.as_ref()?;
        let warning = self.link.last_error.as_ref().filter(|_| !self.link.connected).map(|error| {
            format!("{error}; the tunnels run from the last network map (revision {})", map.revision)
        });
        Some(UpDone {
            how,
            network: map.network.name.clone(),
            name: map.own.name.clone(),
            id: map.own.id,
            addresses: map.own.addresses.clone(),
            peers: map.peers.len(),
            warning,
        })
    }

    fn finish_up(&mut self, how: UpHow) {
        let Some(done) = self.up_done(how) else { return };
        self.stored.notice = None;
        if let Some(pending) = self.pending.take() {
            pending.answer.send(Answer::ok(&done)).ok();
        }
    }

    pub(super) fn fail_pending(&mut self, reason: String) {
        if let Some(pending) = self.pending.take() {
            pending.answer.send(Answer::Error(reason)).ok();
        }
    }

    /// As if `up` had never been said.
    pub(super) fn abandon_enrolment(&mut self, reason: String) {
        self.close_session();
        self.stop_plane();
        self.fail_pending(reason);
    }

    pub(super) fn is_enrolling(&self) -> bool {
        matches!(self.pending.as_ref().map(|pending| &pending.what), Some(What::Enrolling(_)))
    }

    pub(super) fn pending_welcomed(&mut self) {
        let Some(pending) = self.pending.as_mut() else { return };
        match &pending.what {
            What::Enrolling(config) => {
                self.stored.config = config.clone();
                self.stored.map = None;
                self.history.clear();
                // A map of another network (its `config` was lost) must not outlive a crash from here on.
                if let Err(error) = self.folder.forget_map() {
                    tracing::error!(%error, "an old network map stays on disk");
                }
                pending.what = What::AwaitingMap(UpHow::Joined);
                if let Err(error) = self.folder.store_config(&self.stored.config) {
                    tracing::error!(%error, "this node has joined, but a restart will not know");
                }
            }
            What::Started => self.finish_up(UpHow::Started),
            What::AwaitingMap(_) | What::LoggingOut => {}
        }
    }

    pub(super) fn pending_has_map(&mut self) {
        if let Some(What::AwaitingMap(how)) = self.pending.as_ref().map(|pending| &pending.what) {
            self.finish_up(*how);
        }
    }

    pub(super) fn pending_connection_failed(&mut self, error: &ConnectionError) {
        let wrong_key = matches!(error, ConnectionError::WrongKey { .. });
        match self.pending.as_ref().map(|pending| &pending.what) {
            Some(What::Enrolling(_)) if wrong_key => self.abandon_enrolment(error.to_string()),
            Some(What::AwaitingMap(_)) if wrong_key => self.fail_pending(error.to_string()),
            Some(What::Started) => self.finish_up(UpHow::Started),
            Some(What::Enrolling(_) | What::AwaitingMap(_) | What::LoggingOut) | None => {}
        }
    }

    pub(super) fn pending_removed(&mut self) {
        self.fail_pending(format!("this node was removed from the network: to come back, {JOIN}"));
    }

    pub(super) fn enrolment_refused(&mut self, refusal: &Refusal) {
        let advice = match refusal.code {
            RefusalCode::TokenUnknown
            | RefusalCode::TokenExpired
            | RefusalCode::TokenUsed
            | RefusalCode::TokenRevoked => {
                ": ask for a new one (`twinmesh-coordinator token create` at the coordinator)"
            }
            RefusalCode::KeyTaken => ": `twinmesh logout` makes new keys for this node, then try again",
            RefusalCode::HostnameInvalid => ": give another one by --hostname",
            RefusalCode::ProtocolUnsupported => ": update twinmesh",
            RefusalCode::NodeUnknown
            | RefusalCode::AddressesExhausted
            | RefusalCode::ProtocolViolation
            | RefusalCode::Unavailable
            | RefusalCode::Other(_) => "",
        };
        tracing::error!(code = %refusal.code, reason = refusal.message, "the coordinator does not let this node join");
        self.abandon_enrolment(format!(
            "the coordinator refused ({}): {}{advice}",
            refusal.code,
            refusal.message.trim_end_matches('.')
        ));
    }

    pub(super) fn give_up_if_due(&mut self, now: Instant) {
        let Some(pending) = self.pending.as_ref().filter(|pending| pending.until <= now) else { return };
        let seconds = pending.timeout.as_secs();
        let last = self.link.last_error.clone().unwrap_or_else(|| "no attempt has ended yet".to_owned());
        match pending.what {
            What::Enrolling(_) => {
                let address = self.coordinator.as_ref().map(|it| it.address.to_string()).unwrap_or_default();
                self.abandon_enrolment(format!("no word from the coordinator {address} within {seconds} s: {last}"));
            }
            What::AwaitingMap(_) => self.fail_pending(format!(
                "this node is part of the network, but got no network map within {seconds} s ({last}); the daemon \
                 keeps trying: see `twinmesh status`"
            )),
            What::Started => self.finish_up(UpHow::Started),
            What::LoggingOut => self.left(Leaving::CoordinatorAway),
        }
    }
}
