//! The agent's state and what moves it. Each `handle_*` takes one input; [`Agent::drive`] then does all that
//! follows from it.

use std::net::SocketAddr;
use std::time::Instant;

use rtnetlink::Handle;
use tokio::sync::mpsc;
use twinmesh_control::{CoordinatorMessage, Endpoint};
use twinmesh_dataplane::Event as DataplaneEvent;
use twinmesh_path::StunClient;

use super::change::EngineChanges;
use super::history::History;
use super::manual_sas::ManualSas;
use super::netcheck::Netcheck;
use super::paths::Paths;
use super::pending::Pending;
use super::plane::Plane;
use super::relays::Relays;
use super::report::COUNTERS_INTERVAL;
use super::running::is_lasting;
use super::sites::Sites;
use super::stored::Stored;
use super::trace::Traces;
use super::tunnels::Surroundings;
use super::uplink::{Link, MAP_RETRY};
use super::{DaemonError, Settings};
use crate::api::{Answer, Call, RecentLines, Request};
use crate::control::{Connection, ConnectionEvent, Greeting, Session};
use crate::network::{Changes, PlainMessage, PortMapper, sweep_detours};
use crate::state::{Coordinator, StateFolder, Wanted};

/// Everything that the daemon knows and holds.
pub(super) struct Agent {
    pub(super) settings: Settings,
    pub(super) folder: StateFolder,
    pub(super) stored: Stored,
    pub(super) netlink: Handle,
    pub(super) frames: mpsc::Sender<(u64, ConnectionEvent)>,
    pub(super) events: mpsc::Sender<DataplaneEvent>,
    pub(super) plane: Option<Plane>,
    pub(super) plane_problem: Option<String>,
    pub(super) plane_retry: Option<Instant>,
    pub(super) session: Option<Session>,
    /// Whom the session connects to.
    pub(super) coordinator: Option<Coordinator>,
    pub(super) connection: Option<(u64, Connection)>,
    pub(super) connections: u64,
    /// Where the coordinator was reached, and its host's other addresses.
    pub(super) reached: Vec<SocketAddr>,
    pub(super) link: Link,
    pub(super) here: Surroundings,
    seen: Changes,
    pub(super) known_endpoints: Vec<Endpoint>,
    pub(super) stun: StunClient,
    pub(super) netcheck: Netcheck,
    pub(super) relays: Relays,
    pub(super) history: History,
    pub(super) changes: EngineChanges,
    pub(super) paths: Paths,
    pub(super) mapper: PortMapper,
    pub(super) map_due: Option<Instant>,
    pub(super) map_written: Option<Instant>,
    pub(super) counters_due: Instant,
    pub(super) counted: u64,
    pub(super) pending: Option<Pending>,
    pub(super) manual_sas: ManualSas,
    pub(super) sites: Sites,
    pub(super) traces: Traces,
}

impl Agent {
    pub(super) fn new(
        settings: Settings,
        folder: StateFolder,
        netlink: Handle,
        frames: mpsc::Sender<(u64, ConnectionEvent)>,
        events: mpsc::Sender<DataplaneEvent>,
        plain: mpsc::Sender<PlainMessage>,
        (netcheck, relays): (Netcheck, Relays),
    ) -> Result<Self, DaemonError> {
        let stored = Stored::load(&folder)?;
        Ok(Self {
            settings,
            folder,
            stored,
            mapper: PortMapper::start(netlink.clone()),
            netlink,
            frames,
            events,
            plane: None,
            plane_problem: None,
            plane_retry: None,
            session: None,
            coordinator: None,
            connection: None,
            connections: 0,
            reached: Vec::new(),
            link: Link::default(),
            here: Surroundings::default(),
            seen: Changes::default(),
            known_endpoints: Vec::new(),
            stun: StunClient::new(random()?),
            netcheck,
            relays,
            history: History::default(),
            changes: EngineChanges::default(),
            paths: Paths::new(random()?),
            map_due: None,
            map_written: None,
            counters_due: Instant::now() + COUNTERS_INTERVAL,
            counted: 0,
            pending: None,
            manual_sas: ManualSas::default(),
            sites: Sites::new(plain),
            traces: Traces::new(Instant::now()),
        })
    }

    /// Goes up if that is wanted, with the last map, coordinator away or not. Refuses where no TUN device can
    /// be made, wanted now or later.
    pub(super) async fn start(&mut self, now: Instant) -> Result<(), DaemonError> {
        // Of a daemon that crashed.
        sweep_detours(&self.netlink).await;
        let config = &self.stored.config;
        let wanted = config.wanted == Wanted::Up && config.removed.is_none();
        let coordinator = config.coordinator.clone().filter(|_| wanted);
        self.load_sites();
        if coordinator.is_some() || self.sites.need_plane() {
            if let Err(error) = self.start_plane().await {
                if is_lasting(&error) {
                    return Err(error.into());
                }
                self.plane_failed(&error, now);
            }
            if let Some(coordinator) = coordinator {
                self.open_session(coordinator, Greeting::Hello, self.stored.config.preference.clone());
            }
        } else if let Err(error) = Plane::rehearse(&self.settings)
            && is_lasting(&error)
        {
            return Err(error.into());
        }
        self.drive(now).await;
        Ok(())
    }

    /// Ordered: first the word to the coordinator, then the tunnels.
    pub(super) async fn stop(mut self) {
        if let Some((_, connection)) = self.connection.take() {
            connection.close().await;
        }
        self.store_map_if_due(Instant::now() + MAP_RETRY);
        self.stop_plane();
        self.sweep_if_due().await;
        self.mapper.stop().await;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(Session::poll_timeout);
        let plane = self.plane.as_ref().and_then(|_| self.stun.poll_timeout());
        let counters = self.plane.as_ref().map(|_| self.counters_due);
        let pending = self.pending.as_ref().map(|pending| pending.until);
        let sites = self.sites.poll_timeout();
        let netcheck = self.netcheck.poll_timeout();
        let changes = self.changes.poll_timeout();
        let relays = self.plane.as_ref().and_then(|_| self.relays.poll_timeout(Instant::now()));
        let traces = self.traces.poll_timeout();
        [
            session,
            changes,
            self.paths.poll_timeout(),
            relays,
            traces,
            plane,
            counters,
            pending,
            sites,
            netcheck,
            self.map_due,
            self.plane_retry,
            self.sas_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) async fn handle_call(&mut self, call: Call, now: Instant) {
        let Call { request, answer, lines, client } = call;
        let at_once = match request {
            Request::Status => Answer::ok(&self.status()),
            Request::Routes => Answer::ok(&self.routes()),
            Request::Explain { peer } => self.explain(&peer),
            Request::Trace { peer, packet } => return self.trace(&peer, packet, answer, now),
            Request::Up(up) => return self.up(up, answer, now).await,
            Request::Down => self.down(),
            Request::Logout => return self.logout(answer, now),
            Request::Netcheck { server } => return self.netcheck(server, answer, now),
            Request::Log => Answer::ok(&RecentLines { lines: self.settings.log.lines() }),
            Request::Sa => Answer::ok(&self.sas(now)),
            Request::SaAdd(add) => self.add_sas(&add, now).await,
            Request::SaRemove { name } => self.remove_sa(&name).await,
            Request::Sites => Answer::ok(&self.site_list(now)),
            Request::SiteAdd(add) => self.add_site(&add, now).await,
            Request::SiteRemove { name } => self.remove_site(&name, now).await,
            Request::DebugIke(wanted) => self.debug_ike(wanted, lines, client),
            Request::SiteUp { name } => self.site_up(&name, now).await,
            Request::SiteDown { name } => self.site_down(&name, now).await,
        };
        // Who hears that the tunnels are down finds nothing of them.
        self.sweep_if_due().await;
        // A client that went away needs no answer.
        answer.send(at_once).ok();
    }

    pub(super) fn handle_connection(&mut self, number: u64, event: ConnectionEvent, now: Instant) {
        let Some(session) = self.session.as_mut() else { return };
        if self.connection.as_ref().is_none_or(|(current, _)| *current != number) {
            return;
        }
        match event {
            ConnectionEvent::Connected { remote, resolved } => {
                self.reached = [remote].into_iter().chain(resolved).collect();
                session.handle_connected(now, self.stored.map.as_ref().map(|map| map.revision));
            }
            ConnectionEvent::Message(CoordinatorMessage::Relays(relays)) => self.relays_granted(&relays, now),
            ConnectionEvent::Message(message) => {
                if let CoordinatorMessage::Unknown(kind) = &message {
                    tracing::debug!(kind, "the coordinator says what this version does not know");
                }
                session.handle_message(now, message, &mut self.stored.map);
            }
            ConnectionEvent::Closed(error) => {
                tracing::warn!(%error, "no connection to the coordinator");
                self.connection = None;
                session.handle_disconnected(now);
                self.link.set(false);
                self.link.last_error = Some(error.to_string());
                self.pending_connection_failed(&error);
            }
        }
    }

    pub(super) fn handle_dataplane(&mut self, event: DataplaneEvent, now: Instant) {
        match event {
            DataplaneEvent::Stun { from, datagram } => self.handle_stun(from, &datagram, now),
            DataplaneEvent::Ike { from, to, datagram } => self.handle_ike(from, to, &datagram, now),
            DataplaneEvent::Wanted { guard, flow } => self.site_wanted(&guard, &flow, now),
            DataplaneEvent::Probed { peer, engine, token } => {
                self.trace_probed(&peer, token, now);
                self.engine_proven(&peer, engine, token, now);
            }
            DataplaneEvent::Silent { peer, engine } => {
                self.path_silent(&peer, engine, now);
                self.engine_silent(&peer, engine, now);
            }
            DataplaneEvent::Unheard { peer, engine } => self.engine_unheard(&peer, engine, now),
            DataplaneEvent::Answers { peer, engine } => self.engine_answers(&peer, engine, now),
            DataplaneEvent::PeerUp { peer, endpoint } => {
                tracing::debug!(%peer, %endpoint, "a tunnel is up");
                self.happened(&peer, format!("WireGuard: a session stands, with {endpoint}"));
                self.path_heard(&peer, endpoint, now);
                self.tunnels_changed();
            }
            DataplaneEvent::EndpointChanged { peer, endpoint } => {
                tracing::debug!(%peer, %endpoint, "a peer has moved");
                self.happened(&peer, format!("heard from {endpoint}: traffic goes there now"));
                self.tunnels_changed();
            }
            DataplaneEvent::Heard { peer, from } => self.path_heard(&peer, from, now),
            DataplaneEvent::Needed { peer } => self.path_needed(&peer, now),
            _ => {}
        }
    }

    /// Links, addresses or routes of this machine changed.
    pub(super) async fn handle_network(&mut self, changes: Changes, now: Instant) {
        let rerouted = changes.routes != self.seen.routes;
        self.seen = changes;
        let before = self.here.hosts.clone();
        self.look_around().await;
        if let Some(plane) = self.plane.as_mut() {
            plane.distrust_routes();
        }
        if self.has_sas() {
            self.reroute_sas().await;
        }
        if !rerouted && before == self.here.hosts {
            return;
        }
        tracing::info!(addresses = ?self.here.hosts, "the network of this machine changed");
        if let Some(plane) = &self.plane {
            plane.dataplane.network_changed();
        }
        self.move_sites(now);
        self.retry_unreached_sites(now);
        self.paths_see_new_network(now);
        self.nodes_see_new_network(now);
        self.stun.restart(now);
        self.relays_see_new_network(now);
        self.netcheck.network_changed(now);
        self.mapper.ask_again();
        if let Some(session) = self.session.as_mut() {
            session.handle_network_change(now);
        }
    }

    /// Does everything that is due, until nothing is left to do.
    pub(super) async fn drive(&mut self, now: Instant) {
        // What ended the tunnels of the network may have left sites.
        let left = self.plane.is_none() && self.plane_retry.is_none() && self.sites.need_plane();
        if left || self.plane_retry.is_some_and(|at| at <= now) {
            self.start_plane_or_retry(now).await;
        }
        self.sweep_if_due().await;
        self.watch_sas(now);
        self.drive_changes(now);
        self.drive_traces(now);
        self.drive_sites(now).await;
        self.count_if_due(now);
        if let Some(session) = self.session.as_mut() {
            session.handle_timeout(now);
        }
        while let Some(output) = self.session.as_mut().and_then(Session::poll_output) {
            self.obey(output, now).await;
        }
        self.ask_stun(now);
        self.drive_relays(now);
        self.measure_if_due(now);
        self.look_behind_nat().await;
        self.keep_alive_as_measured(now).await;
        self.want_port_mapping();
        self.look_for_new_endpoints();
        self.store_map_if_due(now);
        // Storing the map asks the session to acknowledge it.
        while let Some(output) = self.session.as_mut().and_then(Session::poll_output) {
            self.obey(output, now).await;
        }
        // What came of the map and of relays is in by now.
        self.drive_paths(now);
        self.give_up_if_due(now);
    }
}

/// An error with its causes, for a person.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Seeded by the operating system: transaction ids of STUN must not be guessed.
pub(super) fn random() -> Result<fastrand::Rng, DaemonError> {
    getrandom::u64().map(fastrand::Rng::with_seed).map_err(|_| DaemonError::Random)
}
