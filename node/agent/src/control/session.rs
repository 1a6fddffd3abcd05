//! What a node does about its coordinator: a state machine without sockets or clock.
//!
//! ```text
//!               ┌──────────────── handle_disconnected: backoff ───────────────┐
//!               ▼                                                             │
//!   Waiting ─ time ─► Connecting ─ handle_connected ─► Greeting ─ Welcome ─► Established
//!               ▲                                         │                   │
//!               └── network change: at once ──────────────│───────────────────┤
//!                                                         ▼                   ▼
//!                                        Ended: refused for good · removed · left
//! ```
//!
//! Call a `handle_*` method, then [`Session::poll_output`] until it gives `None`, then wait for the next
//! input or [`Session::poll_timeout`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use twinmesh_control::{
    Ack, Applied, CoordinatorMessage, Enrol, Hello, Leave, MapDelta, NetworkMap, NodeId, NodeMessage,
    PROTOCOL_VERSION, Preference, Refusal, RefusalCode, Revision, TokenSecret, Welcome, WireguardKey,
};

use super::Backoff;
use super::features::features;

/// An answer to Hello or Enrol that takes longer is none.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Reports are never closer than this, but after a change of the network.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The same for reports of new endpoints: other nodes wait for them.
const ENDPOINT_REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// A connection that lived as long was a good one: the next backoff starts small.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);
/// How long the coordinator may take to close after Leave.
const LEAVE_ANSWER: Duration = Duration::from_secs(3);
/// How long to try to say Leave at all.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// First message of each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// This node is known.
    Hello,
    /// This node wants to join; becomes `Hello` after the welcome.
    Enrol { token: TokenSecret, hostname: String },
}

/// What the caller has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection; answer with [`Session::handle_connected`] or [`Session::handle_disconnected`].
    Connect,
    /// Close the connection; no answer is expected.
    Disconnect,
    /// Find out whether the connection still reaches the coordinator, and report it lost if not.
    Probe,
    Send(NodeMessage),
    /// Send a [`twinmesh_control::Report`] of the present state.
    SendReport,
    Event(Event),
}

/// What the caller has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Welcomed(Welcome),
    /// The map is another one now: store it, then call [`Session::map_stored`].
    MapChanged(MapChange),
    /// The coordinator does not let this node join. The session has ended.
    EnrolmentRefused(Refusal),
    /// The network has this node no longer. The session has ended.
    Removed {
        reason: String,
    },
    /// The connection is given up for this reason; another attempt follows.
    Trouble {
        reason: String,
    },
    /// The end of [`Session::leave`], and of the session.
    Left(Leaving),
}

/// Which part of the map is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapChange {
    Whole,
    Peers { changed: Vec<NodeId>, removed: Vec<NodeId>, own: bool },
}

/// Whether the coordinator knows that this node left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    Told,
    CoordinatorAway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting {
        until: Instant,
    },
    Connecting,
    Greeting {
        until: Instant,
    },
    Established {
        since: Instant,
    },
    /// Leave was said.
    Leaving {
        until: Instant,
    },
    Ended,
}

/// One node's relation to its coordinator, over any number of connections.
#[derive(Debug)]
pub struct Session {
    version: String,
    wireguard_key: WireguardKey,
    preference: Preference,
    greeting: Greeting,
    phase: Phase,
    backoff: Backoff,
    /// The map does not fit the coordinator's deltas: ask for a snapshot.
    snapshot_wanted: bool,
    /// A report is wanted, so long after the last one.
    report_after: Option<Duration>,
    last_report: Option<Instant>,
    /// Since the caller asked to leave: when to give up.
    leave_by: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session that connects at once.
    pub fn new(
        greeting: Greeting,
        wireguard_key: WireguardKey,
        preference: Preference,
        version: &str,
        random: fastrand::Rng,
    ) -> Self {
        Self {
            version: version.to_owned(),
            wireguard_key,
            preference,
            greeting,
            phase: Phase::Connecting,
            backoff: Backoff::new(random),
            snapshot_wanted: false,
            report_after: None,
            last_report: None,
            leave_by: None,
            outputs: VecDeque::from([Output::Connect]),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`]: the end of a backoff, of the wait for an answer, or the time
    /// of the next report.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match self.phase {
            Phase::Waiting { until } | Phase::Greeting { until } | Phase::Leaving { until } => Some(until),
            Phase::Established { since } => self.report_at(since),
            Phase::Connecting | Phase::Ended => None,
        };
        let leave = self.leave_by.filter(|_| !matches!(self.phase, Phase::Leaving { .. } | Phase::Ended));
        own.into_iter().chain(leave).min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.leave_by.is_some_and(|by| by <= now)
            && !matches!(self.phase, Phase::Leaving { .. } | Phase::Ended)
        {
            self.end(Event::Left(Leaving::CoordinatorAway));
            return;
        }
        match self.phase {
            Phase::Waiting { until } if until <= now => self.connect(),
            Phase::Greeting { until } if until <= now => {
                self.reconnect(now, "the coordinator does not answer".to_owned());
            }
            Phase::Leaving { until } if until <= now => self.end(Event::Left(Leaving::Told)),
            Phase::Established { since } if self.report_at(since).is_some_and(|at| at <= now) => {
                self.report(now);
            }
            Phase::Waiting { .. }
            | Phase::Connecting
            | Phase::Greeting { .. }
            | Phase::Established { .. }
            | Phase::Leaving { .. }
            | Phase::Ended => {}
        }
    }

    /// `have` is the revision of the map on disk.
    pub fn handle_connected(&mut self, now: Instant, have: Option<Revision>) {
        if self.phase != Phase::Connecting {
            return;
        }
        let message = match &self.greeting {
            Greeting::Hello => NodeMessage::Hello(Hello {
                protocol: PROTOCOL_VERSION,
                version: self.version.clone(),
                features: features(),
                preference: self.preference.clone(),
                wireguard_key: self.wireguard_key,
                revision: have.filter(|_| !self.snapshot_wanted),
            }),
            Greeting::Enrol { token, hostname } => NodeMessage::Enrol(Enrol {
                protocol: PROTOCOL_VERSION,
                version: self.version.clone(),
                features: features(),
                preference: self.preference.clone(),
                token: token.clone(),
                hostname: hostname.clone(),
                wireguard_key: self.wireguard_key,
            }),
        };
        self.outputs.push_back(Output::Send(message));
        self.phase = Phase::Greeting { until: now + GREETING_TIMEOUT };
    }

    /// The connection ended or was never made.
    pub fn handle_disconnected(&mut self, now: Instant) {
        match self.phase {
            Phase::Leaving { .. } => self.end(Event::Left(Leaving::Told)),
            Phase::Ended | Phase::Waiting { .. } => {}
            Phase::Established { since } => {
                if now.saturating_duration_since(since) >= GOOD_CONNECTION {
                    self.backoff.reset();
                }
                self.wait(now);
            }
            Phase::Connecting | Phase::Greeting { .. } => self.wait(now),
        }
    }

    /// Changes `map` as the message says.
    pub fn handle_message(
        &mut self,
        now: Instant,
        message: CoordinatorMessage,
        map: &mut Option<NetworkMap>,
    ) {
        match (self.phase, message) {
            (Phase::Greeting { .. }, CoordinatorMessage::Welcome(welcome)) => self.welcomed(now, welcome),
            (Phase::Greeting { .. }, CoordinatorMessage::Refused(refusal)) => self.refused(now, refusal),
            (Phase::Established { .. }, CoordinatorMessage::Snapshot(snapshot)) => {
                self.snapshot_wanted = false;
                *map = Some(snapshot);
                self.event(Event::MapChanged(MapChange::Whole));
            }
            (Phase::Established { .. }, CoordinatorMessage::Delta(delta)) => self.delta(now, delta, map),
            (Phase::Greeting { .. } | Phase::Established { .. }, CoordinatorMessage::Revoked(revoked)) => {
                self.removed(revoked.reason);
            }
            (Phase::Leaving { .. }, CoordinatorMessage::Revoked(_)) => self.end(Event::Left(Leaving::Told)),
            (Phase::Leaving { .. }, CoordinatorMessage::Refused(refusal)) => {
                tracing::warn!(code = %refusal.code, reason = refusal.message, "the coordinator does not let this node leave");
                self.end(Event::Left(Leaving::CoordinatorAway));
            }
            // A message of the future, or one that a slow coordinator sent before it read our Leave.
            _ => {}
        }
    }

    /// The machine's own addresses or routes changed: what failed before may work now.
    pub fn handle_network_change(&mut self, now: Instant) {
        self.backoff.reset();
        match self.phase {
            Phase::Waiting { .. } => self.connect(),
            // An attempt from a lost address would only run into its time-out.
            Phase::Connecting | Phase::Greeting { .. } => {
                self.outputs.push_back(Output::Disconnect);
                self.connect();
            }
            Phase::Established { .. } => {
                self.outputs.push_back(Output::Probe);
                self.report(now);
            }
            Phase::Leaving { .. } | Phase::Ended => {}
        }
    }

    /// Where this node may be reached is news.
    pub fn endpoints_changed(&mut self) {
        self.report_after = Some(ENDPOINT_REPORT_INTERVAL);
    }

    /// Tunnels or counters changed.
    pub fn tunnels_changed(&mut self) {
        self.report_after.get_or_insert(REPORT_INTERVAL);
    }

    /// The map of that revision is on disk and in force.
    pub fn map_stored(&mut self, revision: Revision) {
        if matches!(self.phase, Phase::Established { .. }) {
            self.outputs.push_back(Output::Send(Ack { revision }.into()));
        }
    }

    /// Tells the coordinator that this node leaves for good; ends with [`Event::Left`].
    pub fn leave(&mut self, now: Instant) {
        self.leave_by = Some(now + LEAVE_TIMEOUT);
        match self.phase {
            Phase::Established { .. } => self.say_leave(now),
            Phase::Waiting { .. } => self.connect(),
            Phase::Connecting | Phase::Greeting { .. } | Phase::Leaving { .. } | Phase::Ended => {}
        }
    }

    fn welcomed(&mut self, now: Instant, welcome: Welcome) {
        self.greeting = Greeting::Hello;
        self.phase = Phase::Established { since: now };
        self.event(Event::Welcomed(welcome));
        if self.leave_by.is_some() {
            return self.say_leave(now);
        }
        // The coordinator may have forgotten what an earlier connection reported.
        self.report(now);
    }

    fn refused(&mut self, now: Instant, refusal: Refusal) {
        if refusal.code == RefusalCode::NodeUnknown {
            return self.removed(refusal.message);
        }
        if matches!(self.greeting, Greeting::Enrol { .. }) && refusal.code != RefusalCode::Unavailable {
            return self.end(Event::EnrolmentRefused(refusal));
        }
        self.reconnect(now, format!("the coordinator refuses this node for now: {}", refusal.message));
    }

    fn removed(&mut self, reason: String) {
        let event =
            if self.leave_by.is_some() { Event::Left(Leaving::Told) } else { Event::Removed { reason } };
        self.end(event);
    }

    fn delta(&mut self, now: Instant, delta: MapDelta, map: &mut Option<NetworkMap>) {
        let change = MapChange::Peers {
            changed: delta.changed.iter().map(|peer| peer.id).collect(),
            removed: delta.removed.clone(),
            own: delta.own.is_some(),
        };
        match map.as_mut().map(|map| map.apply(delta)) {
            Some(Ok(Applied::Changed)) => self.event(Event::MapChanged(change)),
            Some(Ok(Applied::Stale)) => {}
            Some(Err(error)) => {
                self.snapshot_wanted = true;
                self.reconnect(now, error.to_string());
            }
            None => {
                self.snapshot_wanted = true;
                self.reconnect(
                    now,
                    "the coordinator sent a change of a map that this node does not have".to_owned(),
                );
            }
        }
    }

    fn say_leave(&mut self, now: Instant) {
        self.outputs.push_back(Output::Send(Leave {}.into()));
        self.phase = Phase::Leaving { until: now + LEAVE_ANSWER };
    }

    fn report(&mut self, now: Instant) {
        self.report_after = None;
        self.last_report = Some(now);
        self.outputs.push_back(Output::SendReport);
    }

    fn report_at(&self, established: Instant) -> Option<Instant> {
        let after = self.report_after?;
        Some(self.last_report.map_or(established, |last| last + after))
    }

    fn connect(&mut self) {
        self.phase = Phase::Connecting;
        self.outputs.push_back(Output::Connect);
    }

    fn reconnect(&mut self, now: Instant, reason: String) {
        self.event(Event::Trouble { reason });
        self.outputs.push_back(Output::Disconnect);
        self.wait(now);
    }

    fn wait(&mut self, now: Instant) {
        self.phase = Phase::Waiting { until: now + self.backoff.next_delay() };
    }

    fn end(&mut self, event: Event) {
        self.phase = Phase::Ended;
        self.outputs.push_back(Output::Disconnect);
        self.event(event);
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

#[cfg(test)]
mod tests;
