//! What stands between this node and the Internet: measured when the node meets its coordinator, when the network of
//! this machine changes, now and then, and when a user asks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use twinmesh_control::{DEFAULT_STUN_PORT, NatBehaviour, NatClass, NatFiltering, NatReport};
use twinmesh_path::{Findings, Server};

use super::agent::Agent;
use super::lifetime::Lifetimes;
use crate::api::{Answer, NetcheckStatus};
use crate::network::measure;

/// A NAT may be another one although no address of this machine changed.
const INTERVAL: Duration = Duration::from_mins(30);
/// Changes of a network come in swarms.
const SETTLING: Duration = Duration::from_secs(2);

/// By IP version; `None` where there is no server or no way to one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) ipv4: Option<Findings>,
    pub(super) ipv6: Option<Findings>,
}

/// Measurements: one at a time.
pub(super) struct Netcheck {
    into: mpsc::Sender<Result<Measured, String>>,
    random: fastrand::Rng,
    servers: Vec<Server>,
    /// What the next measurement asks instead, `HOST:PORT`, because a user said so.
    instead: Option<String>,
    due: Option<Instant>,
    running: bool,
    /// Whether the one that runs asks the coordinator's servers.
    official: bool,
    /// Users that wait for its end: each holds a connection to the local API.
    waiting: Vec<oneshot::Sender<Answer>>,
    /// What the coordinator is told.
    pub(super) nat: NatReport,
    pub(super) lifetimes: Lifetimes,
}

impl Netcheck {
    /// `random` makes transaction ids.
    pub(super) fn new(
        into: mpsc::Sender<Result<Measured, String>>,
        random: fastrand::Rng,
        lifetimes: Lifetimes,
    ) -> Self {
        Self {
            into,
            random,
            servers: Vec::new(),
            instead: None,
            due: None,
            running: false,
            official: true,
            waiting: Vec::new(),
            nat: NatReport::default(),
            lifetimes,
        }
    }

    /// Asks these from now on.
    pub(super) fn set_servers(&mut self, servers: Vec<Server>, now: Instant) {
        if self.servers != servers {
            self.due = (!servers.is_empty()).then_some(now);
            if servers.is_empty() {
                self.nat = NatReport::default();
                self.lifetimes.forget();
            }
            self.servers = servers;
        }
    }

    /// What was measured may be wrong now.
    pub(super) fn network_changed(&mut self, now: Instant) {
        self.lifetimes.forget();
        if !self.servers.is_empty() {
            self.due = Some(now + SETTLING);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| !self.running)
    }
}

impl Agent {
    /// The answer follows when all is measured.
    pub(super) fn netcheck(&mut self, server: Option<String>, answer: oneshot::Sender<Answer>, now: Instant) {
        let others = self.netcheck.running && !self.netcheck.official;
        let busy = self.netcheck.running || !self.netcheck.waiting.is_empty();
        // Nobody gets the answer to another's question.
        let refusal = if others || server.is_some() && busy {
            Some("another measurement is under way: try again in some seconds")
        } else if server.is_none() && self.netcheck.servers.is_empty() && self.coordinator.is_none() {
            Some("no STUN server is known: bring this node up (`twinmesh up`), or name one (--server)")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            // A client that went away needs no answer.
            answer.send(Answer::Error(refusal.to_owned())).ok();
            return;
        }
        self.netcheck.instead = server;
        self.netcheck.waiting.push(answer);
        self.netcheck.due = Some(now);
    }

    pub(super) fn measure_if_due(&mut self, now: Instant) {
        if self.netcheck.running || self.netcheck.due.is_none_or(|due| now < due) {
            return;
        }
        self.netcheck.due = None;
        let (random4, random6) = (self.netcheck.random.fork(), self.netcheck.random.fork());
        self.netcheck.running = true;
        let into = self.netcheck.into.clone();
        let known = self.netcheck.servers.clone();
        let instead = self.netcheck.instead.take();
        self.netcheck.official = instead.is_none();
        let coordinator = self.coordinator.as_ref().map(|coordinator| coordinator.address.clone());
        let own = self.here.hosts.clone();
        // It ends by itself within seconds.
        tokio::spawn(async move {
            let found = match (instead, coordinator) {
                (Some(server), _) => {
                    let found = tokio::net::lookup_host(&server).await.map(Iterator::collect);
                    found.map_err(|error| format!("cannot find {server}: {error}"))
                }
                // Where UDP is blocked, the coordinator never came to say where its STUN ports are.
                (None, Some(coordinator)) if known.is_empty() => match coordinator.resolve().await {
                    Ok(found) => Ok(found
                        .into_iter()
                        .map(|found| SocketAddr::new(found.ip(), DEFAULT_STUN_PORT))
                        .collect::<Vec<_>>()),
                    Err(error) => Err(format!("cannot find the coordinator: {error}")),
                },
                _ => Ok(Vec::new()),
            };
            let servers = match found {
                Ok(found) if found.is_empty() => known,
                Ok(found) => found.into_iter().map(|address| Server { address, other_port: None }).collect(),
                Err(error) => {
                    into.send(Err(error)).await.ok();
                    return;
                }
            };
            let (ipv6, ipv4): (Vec<_>, Vec<_>) =
                servers.into_iter().partition(|server| server.address.is_ipv6());
            let (ipv4, ipv6) = tokio::join!(measure(ipv4, own.clone(), random4), measure(ipv6, own, random6));
            let measured = ipv4.and_then(|ipv4| Ok(Measured { ipv4, ipv6: ipv6? }));
            into.send(measured.map_err(|error| format!("cannot open a UDP port: {error}"))).await.ok();
        });
    }

    pub(super) fn handle_measured(&mut self, measured: Result<Measured, String>, now: Instant) {
        self.netcheck.running = false;
        if !self.netcheck.servers.is_empty() {
            // A change meanwhile is measured sooner.
            self.netcheck.due.get_or_insert(now + INTERVAL);
        }
        let answer = match &measured {
            Ok(Measured { ipv4, ipv6 }) => {
                let mapped = self.mapper.found.borrow();
                let lifetimes = &self.netcheck.lifetimes;
                let found = [(ipv4.as_ref(), lifetimes.ipv4()), (ipv6.as_ref(), lifetimes.ipv6())];
                Answer::ok(&NetcheckStatus::of(found, &mapped))
            }
            Err(error) => Answer::Error(error.clone()),
        };
        for waiting in self.netcheck.waiting.drain(..) {
            waiting.send(answer.clone()).ok();
        }
        let Ok(measured) = measured else { return };
        if self.netcheck.official && !self.netcheck.servers.is_empty() {
            self.measure_lifetimes(&measured);
        }
        let nat = NatReport {
            ipv4: measured.ipv4.as_ref().and_then(behaviour),
            ipv6: measured.ipv6.as_ref().and_then(behaviour),
        };
        // Of a node that is down nobody asks.
        if !self.netcheck.official || self.netcheck.servers.is_empty() || nat == self.netcheck.nat {
            return;
        }
        tracing::info!(?nat, "what the NAT does");
        self.netcheck.nat = nat;
        self.sync_surroundings(now);
        if let Some(session) = self.session.as_mut() {
            session.endpoints_changed();
        }
    }
}

fn behaviour(findings: &Findings) -> Option<NatBehaviour> {
    Some(NatBehaviour {
        class: NatClass::from(findings.class()?.as_str().to_owned()),
        filtering: findings.filtering.map(|filtering| NatFiltering::from(filtering.as_str().to_owned())),
        hairpin: findings.hairpin,
    })
}
