//! How long the NAT or firewall before this node keeps an unused mapping, measured once for each network that the node
//! is in, and what follows from it: how often the tunnels say something.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use twinmesh_path::{Filtering, Findings, Mapping, MappingLifetime, NatClass};

use super::agent::Agent;
use super::netcheck::Measured;
use crate::control::MapChange;
use crate::network::measure_lifetime;

/// By one IP version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lived {
    ipv6: bool,
    /// None: it could not be measured.
    lifetime: Option<MappingLifetime>,
}

/// What is known, and what is being measured.
pub(super) struct Lifetimes {
    into: mpsc::Sender<Lived>,
    random: fastrand::Rng,
    ipv4: State,
    ipv6: State,
}

#[derive(Default)]
enum State {
    #[default]
    Unknown,
    /// One task, which ends with it.
    Running(#[expect(dead_code, reason = "held to be dropped")] JoinSet<()>),
    Found(MappingLifetime),
}

impl Lifetimes {
    /// `random` makes transaction ids.
    pub(super) fn new(into: mpsc::Sender<Lived>, random: fastrand::Rng) -> Self {
        Self { into, random, ipv4: State::Unknown, ipv6: State::Unknown }
    }

    /// Another network has other NATs.
    pub(super) fn forget(&mut self) {
        (self.ipv4, self.ipv6) = (State::Unknown, State::Unknown);
    }

    pub(super) fn ipv4(&self) -> Option<MappingLifetime> {
        self.ipv4.found()
    }

    pub(super) fn ipv6(&self) -> Option<MappingLifetime> {
        self.ipv6.found()
    }

    /// How often something must be sent so that every mapping stays.
    pub(super) fn keepalive(&self) -> Option<Duration> {
        let found = [self.ipv4(), self.ipv6()].into_iter().flatten();
        found.filter_map(|lifetime| lifetime.keepalive()).min()
    }

    fn state(&mut self, ipv6: bool) -> &mut State {
        if ipv6 { &mut self.ipv6 } else { &mut self.ipv4 }
    }

    fn start(&mut self, server: SocketAddr) {
        let ipv6 = server.is_ipv6();
        let (into, random) = (self.into.clone(), self.random.fork());
        if !matches!(self.state(ipv6), State::Unknown) {
            return;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let lifetime = measure_lifetime(server, random).await;
            if let Err(error) = &lifetime {
                tracing::warn!(%error, "cannot measure how long mappings last: no UDP port");
            }
            into.send(Lived { ipv6, lifetime: lifetime.ok() }).await.ok();
        });
        *self.state(ipv6) = State::Running(tasks);
    }
}

impl State {
    fn found(&self) -> Option<MappingLifetime> {
        match self {
            Self::Found(lifetime) => Some(*lifetime),
            Self::Unknown | Self::Running(_) => None,
        }
    }
}

/// Whom to ask, if something in the way keeps mappings at all.
fn server_to_ask(findings: &Findings) -> Option<SocketAddr> {
    let open = findings.class() == Some(NatClass::Mapping(Mapping::None))
        && findings.filtering == Some(Filtering::EndpointIndependent);
    let answers = findings.servers.iter().find(|server| server.round_trip.is_some())?;
    (!open).then_some(answers.server)
}

impl Agent {
    /// Measures what is not known yet; the result comes minutes later.
    pub(super) fn measure_lifetimes(&mut self, measured: &Measured) {
        for findings in [&measured.ipv4, &measured.ipv6].into_iter().flatten() {
            if let Some(server) = server_to_ask(findings) {
                self.netcheck.lifetimes.start(server);
            }
        }
    }

    pub(super) fn handle_lifetime(&mut self, lived: Lived) {
        let Lived { ipv6, lifetime } = lived;
        let state = self.netcheck.lifetimes.state(ipv6);
        // Of a network that the node has left meanwhile.
        if !matches!(state, State::Running(_)) {
            return;
        }
        tracing::info!(ipv6, ?lifetime, "how long mappings last");
        *state = State::Found(lifetime.unwrap_or_default());
    }

    /// Brings the tunnels and STUN to what is known.
    pub(super) async fn keep_alive_as_measured(&mut self, now: Instant) {
        let keepalive = self.netcheck.lifetimes.keepalive();
        if self.here.keepalive != keepalive {
            self.here.keepalive = keepalive;
            self.stun.set_keepalive(keepalive, now);
            self.apply_map(&MapChange::Whole).await;
        }
    }
}
