//! All ESP tunnels: by SPI for what comes in, by policy for what goes out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use twinmesh_esp::{Action, Policy, Sadb, Spd, Spi, TooBig};
use twinmesh_wireguard::PeerIndex;

use crate::config::PeerPath;
use crate::esp_config::{Encapsulation, EspConfig, EspError, EspPath, EspStatus};
use crate::esp_tunnel::EspTunnel;
use crate::guard::{Guard, GuardConfig, GuardStatus};
use crate::path_mtu::Hop;
use crate::raw::RawSockets;

/// What a policy leads to.
pub(crate) enum Protection {
    Tunnel(Arc<EspTunnel>),
    /// A tunnel is needed, and there is none.
    Guard(Arc<Guard>),
}

/// All ESP tunnels of a node: one persistent snapshot, as the rest of the table.
#[derive(Clone)]
pub(crate) struct EspTable {
    sadb: Sadb<EspTunnel>,
    policies: Arc<Spd<Protection>>,
    has_policies: bool,
    /// As they were added, but each behind the one that it follows.
    tunnels: Vec<Arc<EspTunnel>>,
    /// As they were set.
    guards: Vec<Arc<Guard>>,
    raw: RawSockets,
}

impl Default for EspTable {
    fn default() -> Self {
        Self {
            sadb: Sadb::new(),
            policies: Arc::default(),
            has_policies: false,
            tunnels: Vec::new(),
            guards: Vec::new(),
            raw: RawSockets::default(),
        }
    }
}

impl EspTable {
    pub(crate) fn by_spi(&self, spi: Spi) -> Option<&Arc<EspTunnel>> {
        self.sadb.get(spi)
    }

    /// The policies, unless there are none: then no packet need be looked at. Tunnels that are bound to a peer have none.
    pub(crate) fn policies(&self) -> Option<&Spd<Protection>> {
        self.has_policies.then_some(&self.policies)
    }

    pub(crate) fn tunnels(&self) -> &[Arc<EspTunnel>] {
        &self.tunnels
    }

    /// What a peer's packets are sealed with: the first of its tunnels that sends.
    pub(crate) fn bound_to(&self, peer: PeerIndex) -> Option<&Arc<EspTunnel>> {
        self.tunnels.iter().find(|tunnel| tunnel.peer == Some(peer) && tunnel.sends())
    }

    /// `peer`: to which it is bound; `mark`: of raw sockets that it opens.
    pub(crate) fn add(
        &mut self,
        config: EspConfig,
        peer: Option<PeerIndex>,
        mark: Option<u32>,
        now: Instant,
    ) -> Result<(), EspError> {
        if self.tunnels.iter().any(|tunnel| tunnel.name == config.name) {
            return Err(EspError::NameTaken(config.name));
        }
        let spi = config.inbound.spi;
        let before = config.follows.as_ref().and_then(|name| self.place(name));
        if self.sadb.get(spi).is_some() {
            return Err(EspError::SpiTaken(spi));
        }
        let path = config.path;
        let tunnel = Arc::new(EspTunnel::new(config, peer, now)?);
        open_raw(&mut self.raw, &path, mark)?;
        self.sadb.insert(spi, Arc::clone(&tunnel));
        let place = before.map_or(self.tunnels.len(), |before| before + 1);
        self.tunnels.insert(place, tunnel);
        self.publish_policies();
        Ok(())
    }

    /// The tunnel, if there was one.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<EspTunnel>> {
        let tunnel = self.tunnels.remove(self.place(name)?);
        self.sadb.remove(tunnel.inbound.parameters().spi);
        self.close_raw();
        self.publish_policies();
        Some(tunnel)
    }

    /// What goes by a peer's tunnels goes there from now on.
    pub(crate) fn lead_bound(&self, peer: PeerIndex, path: PeerPath, hop: Hop, now: Instant) {
        for tunnel in self.tunnels.iter().filter(|tunnel| tunnel.peer == Some(peer)) {
            tunnel.lead(path, hop, now);
        }
    }

    /// Removes all tunnels that are bound to a peer.
    pub(crate) fn remove_bound(&mut self, peer: PeerIndex) {
        for tunnel in self.tunnels.extract_if(.., |tunnel| tunnel.peer == Some(peer)) {
            self.sadb.remove(tunnel.inbound.parameters().spi);
        }
        self.close_raw();
    }

    /// Leaves a tunnel what it receives with, and nothing to send with.
    pub(crate) fn retire(&mut self, name: &str) -> Option<Arc<EspTunnel>> {
        let tunnel = Arc::clone(self.tunnels.get(self.place(name)?)?);
        tunnel.retired.store(true, Ordering::Relaxed);
        self.publish_policies();
        Some(tunnel)
    }

    /// One of the ends is elsewhere now.
    pub(crate) fn move_to(
        &mut self,
        name: &str,
        path: EspPath,
        mark: Option<u32>,
        now: Instant,
    ) -> Result<bool, EspError> {
        let Some(tunnel) = self.place(name).and_then(|place| self.tunnels.get(place)) else {
            return Ok(false);
        };
        open_raw(&mut self.raw, &path, mark)?;
        tunnel.take(path, now);
        self.close_raw();
        Ok(true)
    }

    /// Whoever forges a report has to know an SPI in use (RFC 4301 §8.2.1).
    pub(crate) fn too_big(&self, report: &TooBig, now: Instant) {
        let quoted = |tunnel: &&Arc<EspTunnel>| {
            report.ports.is_none()
                && report.spi == Some(tunnel.outbound.parameters().spi)
                && report.destination == tunnel.path().remote.ip()
        };
        if let Some(tunnel) = self.tunnels.iter().find(quoted) {
            tunnel.take_route_mtu(report.mtu, now);
        }
    }

    /// The raw sockets that the tunnels need.
    pub(crate) fn raw(&self) -> &RawSockets {
        &self.raw
    }

    fn close_raw(&mut self) {
        let paths = self.tunnels.iter().map(|tunnel| tunnel.path());
        let raw = paths.filter(|path| path.encapsulation == Encapsulation::Raw);
        self.raw.keep_for(raw.map(|path| path.remote.ip()));
    }

    /// Sets a guard, or makes the one of that name be as given, in its place.
    pub(crate) fn set_guard(&mut self, config: GuardConfig, now: Instant) {
        let former = self.guards.iter_mut().find(|guard| guard.name == config.name);
        match former {
            Some(former) if former.selectors == config.selectors => return former.act(config.action),
            Some(former) => *former = Arc::new(Guard::new(config, Some(former), now)),
            None => self.guards.push(Arc::new(Guard::new(config, None, now))),
        }
        self.publish_policies();
    }

    pub(crate) fn remove_guard(&mut self, name: &str) -> bool {
        let before = self.guards.len();
        self.guards.retain(|guard| guard.name != name);
        self.publish_policies();
        self.guards.len() < before
    }

    pub(crate) fn guard(&self, name: &str) -> Option<&Arc<Guard>> {
        self.guards.iter().find(|guard| guard.name == name)
    }

    pub(crate) fn guard_status(&self) -> Vec<GuardStatus> {
        self.guards.iter().map(|guard| guard.status()).collect()
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.tunnels.iter().position(|tunnel| tunnel.name == name)
    }

    /// Tunnels without a guard first; then each guard behind its own tunnels, so that it depends on the guards' order
    /// alone which of two that overlap has the traffic, and not on who is up.
    fn publish_policies(&mut self) {
        let sending = |guard: Option<&str>| {
            let known = guard.map(str::to_owned);
            let guards = &self.guards;
            self.tunnels.iter().filter(move |tunnel| {
                let own =
                    tunnel.guard.as_ref().filter(|name| guards.iter().any(|guard| guard.name == **name));
                own == known.as_ref() && tunnel.peer.is_none() && tunnel.sends()
            })
        };
        let tunnel = |tunnel: &Arc<EspTunnel>| Policy {
            selectors: tunnel.outbound.parameters().selectors.clone(),
            action: Action::Protect(Protection::Tunnel(Arc::clone(tunnel))),
        };
        let guarded = self.guards.iter().flat_map(|guard| {
            let last = Policy {
                selectors: guard.selectors.clone(),
                action: Action::Protect(Protection::Guard(Arc::clone(guard))),
            };
            sending(Some(&guard.name)).map(tunnel).chain([last])
        });
        let policies: Vec<_> = sending(None).map(tunnel).chain(guarded).collect();
        self.has_policies = !policies.is_empty();
        self.policies = Arc::new(Spd::new(policies));
    }

    pub(crate) fn status(&self, now: Instant) -> Vec<EspStatus> {
        self.tunnels.iter().map(|tunnel| tunnel.status(now)).collect()
    }
}

/// Opens the raw socket for a path that needs one.
fn open_raw(raw: &mut RawSockets, path: &EspPath, mark: Option<u32>) -> Result<(), EspError> {
    match path.encapsulation {
        Encapsulation::Udp => Ok(()),
        Encapsulation::Raw => {
            raw.open_for(path.remote.ip(), mark).map_err(|errno| EspError::RawSocket { errno })
        }
    }
}
