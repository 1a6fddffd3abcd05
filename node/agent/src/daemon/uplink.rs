//! The agent and its coordinator: the session's wishes carried out, its news taken.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use twinmesh_control::{Preference, Welcome, WireguardKey};
use twinmesh_path::Server;

use super::agent::Agent;
use crate::control::{Connection, Event, Greeting, MapChange, Output, Session, Target};
use crate::state::{Coordinator, Wanted};

/// The map is written at most so often; a later change of it waits.
const MAP_INTERVAL: Duration = Duration::from_secs(1);

/// After the disk refused the map.
pub(super) const MAP_RETRY: Duration = Duration::from_secs(10);

/// How the node stands with its coordinator, for `status`.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) connected: bool,
    pub(super) since: Option<SystemTime>,
    pub(super) last_error: Option<String>,
}

impl Link {
    pub(super) fn set(&mut self, connected: bool) {
        if self.connected != connected || self.since.is_none() {
            self.since = Some(SystemTime::now());
        }
        self.connected = connected;
    }
}

impl Agent {
    pub(super) async fn obey(&mut self, output: Output, now: Instant) {
        match output {
            Output::Connect => self.connect(),
            Output::Disconnect => self.disconnect(),
            Output::Probe => {
                if let Some((_, connection)) = &self.connection {
                    connection.probe();
                }
            }
            Output::Send(message) => self.send(message),
            Output::SendReport => self.send(self.report().into()),
            Output::Event(event) => self.handle_session(event, now).await,
        }
    }

    async fn handle_session(&mut self, event: Event, now: Instant) {
        match event {
            Event::Welcomed(welcome) => self.welcomed(&welcome, now),
            Event::MapChanged(change) => {
                self.map_due = Some(self.map_written.map_or(now, |written| now.max(written + MAP_INTERVAL)));
                if change == MapChange::Whole {
                    // The overlay's prefixes may be news.
                    self.look_around().await;
                }
                self.apply_map(&change).await;
                self.pending_has_map();
                self.recovered();
            }
            Event::EnrolmentRefused(refusal) => self.enrolment_refused(&refusal),
            Event::Removed { reason } => self.removed(reason),
            Event::Trouble { reason } => {
                tracing::warn!(reason, "the connection to the coordinator is given up");
                self.link.last_error = Some(reason);
            }
            Event::Left(leaving) => self.left(leaving),
        }
    }

    fn welcomed(&mut self, welcome: &Welcome, now: Instant) {
        tracing::info!(id = %welcome.id, coordinator = welcome.version, "the coordinator knows this node");
        self.link.set(true);
        self.link.last_error = None;
        let servers: Vec<SocketAddr> = match welcome.stun_port {
            Some(port) => self.reached.iter().map(|reached| SocketAddr::new(reached.ip(), port)).collect(),
            None => Vec::new(),
        };
        self.stun.set_servers(&servers, now);
        let server = |address| Server { address, other_port: welcome.stun_other_port };
        self.netcheck.set_servers(servers.into_iter().map(server).collect(), now);
        self.pending_welcomed();
        self.recovered();
    }

    /// The coordinator has made good what was lost from the state folder. The log and the file that was kept
    /// aside still tell of it.
    fn recovered(&mut self) {
        if self.link.connected && self.stored.map.is_some() && self.stored.notice.take().is_some() {
            tracing::info!("what was lost of the state is made good");
        }
    }

    /// The network has this node no longer: the tunnels end at once.
    pub(super) fn removed(&mut self, reason: String) {
        tracing::error!(reason, "this node was removed from its network");
        self.close_session();
        self.stop_plane();
        self.stored.map = None;
        self.map_due = None;
        self.stored.config.removed = Some(reason);
        self.stored.config.wanted = Wanted::Down;
        let stored = self.folder.store_config(&self.stored.config).and_then(|()| self.folder.forget_map());
        if let Err(error) = stored {
            tracing::error!(%error, "the removal is not on disk");
        }
        self.pending_removed();
    }

    pub(super) fn open_session(
        &mut self,
        coordinator: Coordinator,
        greeting: Greeting,
        preference: Preference,
    ) {
        let key = WireguardKey(self.stored.wireguard.public_key().0);
        let jitter = fastrand::Rng::new();
        self.session = Some(Session::new(greeting, key, preference, env!("CARGO_PKG_VERSION"), jitter));
        self.coordinator = Some(coordinator);
        self.link = Link::default();
    }

    pub(super) fn close_session(&mut self) {
        self.session = None;
        self.coordinator = None;
        self.forget_relays(Instant::now());
        self.link = Link::default();
        self.disconnect();
    }

    fn connect(&mut self) {
        let Some(coordinator) = &self.coordinator else { return };
        let target = Target {
            address: coordinator.address.clone(),
            fingerprint: coordinator.fingerprint,
            identity: self.stored.identity.clone(),
        };
        self.connections += 1;
        self.connection =
            Some((self.connections, Connection::open(target, self.connections, self.frames.clone())));
    }

    fn disconnect(&mut self) {
        self.link.set(false);
        if let Some((_, connection)) = self.connection.take() {
            tokio::spawn(connection.close());
        }
    }

    pub(super) fn send(&self, message: twinmesh_control::NodeMessage) {
        if let Some((_, connection)) = &self.connection {
            connection.send(message);
        }
    }

    pub(super) fn tunnels_changed(&mut self) {
        if let Some(session) = self.session.as_mut() {
            session.tunnels_changed();
        }
    }

    pub(super) fn store_map_if_due(&mut self, now: Instant) {
        if self.map_due.is_none_or(|due| now < due) {
            return;
        }
        self.map_due = None;
        let Some(map) = &self.stored.map else { return };
        match self.folder.store_map(map) {
            Ok(()) => {
                self.map_written = Some(now);
                if let Some(session) = self.session.as_mut() {
                    session.map_stored(map.revision);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the network map is not on disk: a restart would use an older one");
                self.map_due = Some(now + MAP_RETRY);
            }
        }
    }

    /// There is no map left to write.
    pub(super) fn forget_map_timer(&mut self) {
        self.map_due = None;
    }
}
