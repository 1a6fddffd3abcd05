//! What the machines want, done; what the data plane finds, told to them.

use std::time::{Duration, Instant};

use twinmesh_control::{FailedProtocol, FailureCode, NodeId};
use twinmesh_dataplane::{Engine, PeerState, PeerStatus, PublicKey};

use super::machine::{Failure, Step};
use super::{Carrier, Failing, Pair, REPORT_PATIENCE};
use crate::daemon::agent::Agent;

/// A peer that was heard by an engine so lately still sends by it.
const STILL_USED: Duration = Duration::from_secs(5);

impl Agent {
    /// The peer answered a probe of that engine.
    pub(in crate::daemon) fn engine_proven(
        &mut self,
        key: &PublicKey,
        engine: Engine,
        token: u64,
        now: Instant,
    ) {
        let tell = |pair: &mut Pair, carrier| {
            if pair.token == token {
                pair.change.proven(now, carrier);
            }
        };
        self.tell_change(key, engine, tell);
    }

    /// What was sent by that engine has no answer.
    pub(in crate::daemon) fn engine_silent(&mut self, key: &PublicKey, engine: Engine, now: Instant) {
        self.tell_change(key, engine, |pair, carrier| pair.change.silent(now, carrier));
    }

    /// The peer hears nothing of what is sent by that engine.
    pub(in crate::daemon) fn engine_unheard(&mut self, key: &PublicKey, engine: Engine, now: Instant) {
        self.tell_change(key, engine, |pair, carrier| pair.change.doubted(now, carrier));
    }

    /// The peer is heard by that engine, for the first time or again.
    pub(in crate::daemon) fn engine_answers(&mut self, key: &PublicKey, engine: Engine, now: Instant) {
        self.tell_change(key, engine, |pair, carrier| pair.change.heard(now, carrier));
    }

    fn tell_change(&mut self, key: &PublicKey, engine: Engine, tell: impl FnOnce(&mut Pair, Carrier)) {
        let peer = self.plane.as_ref().and_then(|plane| plane.tunnels.owner(key));
        let pair = peer.and_then(|peer| self.changes.pair_mut(peer));
        if let (Some(pair), Some(carrier)) = (pair, Carrier::of(engine)) {
            tell(pair, carrier);
        }
    }

    /// Does all that is due, and what follows from what has happened.
    pub(in crate::daemon) fn drive_changes(&mut self, now: Instant) {
        for id in self.changes.agenda.take(now) {
            let Some(pair) = self.changes.pairs.get_mut(&id) else { continue };
            if pair.change.poll_timeout().is_some_and(|at| at <= now) {
                pair.change.handle_timeout(now);
            }
            let steps: Vec<Step> = std::iter::from_fn(|| pair.change.poll_step()).collect();
            for step in steps {
                self.take_step(id, step, now);
            }
            self.tell_failures(id, now);
        }
    }

    /// Has the coordinator hear of failures that are due, and schedules the pair.
    fn tell_failures(&mut self, id: NodeId, now: Instant) {
        let Some(pair) = self.changes.pairs.get_mut(&id) else { return };
        let mut is_news = false;
        for failing in pair.failures.iter_mut().filter(|failing| failing.is_due(now)) {
            failing.is_told = true;
            is_news = true;
        }
        let due = pair.due();
        self.changes.agenda.schedule(id, due);
        if is_news {
            self.tunnels_changed();
        }
    }

    fn take_step(&mut self, id: NodeId, step: Step, now: Instant) {
        let (Some(pair), Some(plane)) = (self.changes.pairs.get_mut(&id), &self.plane) else { return };
        match step {
            Step::Open(Carrier::WireGuard)
            | Step::Close(Carrier::WireGuard)
            | Step::Renew(Carrier::WireGuard) => {
                // Its session is the data plane's affair, and costs nothing at rest.
            }
            Step::Open(Carrier::Esp) => {
                let alone = pair.change.has_failed();
                self.sync_node(id, now);
                if alone {
                    // The other end may have nothing to send, and not know that anything fails.
                    self.begin_node(id, now);
                }
            }
            Step::Close(Carrier::Esp) => {
                let heard = plane.dataplane.peer_status(&pair.key).and_then(|status| status.heard_esp);
                let allowed = pair.change.wish().other_allowed;
                if allowed && heard.is_some_and(|ago| ago < STILL_USED) {
                    pair.change.is_used(now, Carrier::Esp);
                } else {
                    self.sync_node(id, now);
                }
            }
            Step::Renew(Carrier::Esp) => self.renew_node(id, now),
            Step::Probe(carrier) => {
                plane.dataplane.probe(&pair.key, carrier.engine(), pair.token);
            }
            Step::Send(carrier) => {
                plane.dataplane.set_engine(&pair.key, carrier.engine());
                // What works where another does not is the other's failure.
                for failing in &mut pair.failures {
                    failing.due = failing.due.min(now);
                }
                tracing::info!(peer = %id, carrier = carrier.name(), "a peer's traffic goes by this engine now");
                self.history.note(id, format!("traffic goes by {} now", carrier.name()));
                self.tunnels_changed();
            }
            Step::Failed(carrier, failure) => {
                let code = code(carrier, failure, plane.dataplane.peer_status(&pair.key).as_ref());
                let text = text(carrier, &code, pair.change.sending());
                let due = match failure {
                    Failure::Silent => now + REPORT_PATIENCE,
                    Failure::NotUpInTime => now,
                };
                let report = FailedProtocol {
                    protocol: carrier.protocol(),
                    generation: pair.change.wish().generation,
                    code,
                    text: text.clone(),
                };
                pair.failures.retain(|failing| failing.carrier != carrier);
                pair.failures.push(Failing { carrier, report, due, is_told: false });
                tracing::warn!(peer = %id, carrier = carrier.name(), text, "an engine carries nothing");
                self.history.note(id, text);
            }
            Step::Recovered(carrier) => {
                let told = pair.failures.iter().any(|failing| failing.is_told);
                pair.failures.retain(|failing| failing.carrier != carrier);
                self.history.note(id, format!("{} works again, or is tried anew", carrier.name()));
                if told {
                    self.tunnels_changed();
                }
            }
        }
    }
}

impl Failing {
    fn is_due(&self, now: Instant) -> bool {
        !self.is_told && self.due <= now
    }
}

fn code(carrier: Carrier, failure: Failure, status: Option<&PeerStatus>) -> FailureCode {
    let has_keys = match carrier {
        Carrier::WireGuard => status.is_some_and(|status| status.state == PeerState::Up),
        Carrier::Esp => status.is_some_and(|status| status.has_esp),
    };
    match failure {
        Failure::NotUpInTime => FailureCode::NotUpInTime,
        Failure::Silent if has_keys => FailureCode::NoAnswer,
        Failure::Silent => FailureCode::NoHandshake,
    }
}

fn text(carrier: Carrier, code: &FailureCode, sending: Carrier) -> String {
    let name = carrier.name();
    let what = match code {
        FailureCode::NoHandshake => format!("{name}: no answer to the handshake"),
        FailureCode::NoAnswer => format!("{name}: keys are agreed, but what is sent has no answer"),
        FailureCode::NotUpInTime | FailureCode::NotAgreed | FailureCode::Other(_) => {
            format!("{name} is not up after 10 s")
        }
    };
    if sending == carrier { what } else { format!("{what}; {} carries the traffic", sending.name()) }
}
