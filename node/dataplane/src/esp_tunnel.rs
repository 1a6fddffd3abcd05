//! One ESP tunnel: both its SAs, where the peer is, and what its path carries.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use twinmesh_esp::{Action, InboundSa, Mode, OutboundSa, OuterPolicy, PathMtu, Policy, Sadb, Spd, Spi};

use crate::esp_config::{EspConfig, EspError, EspStatus, SaStatus};
use crate::guard::{Guard, GuardConfig, GuardStatus};

/// UDP header of the encapsulation.
const UDP_HEADER: usize = 8;

/// A pair of SAs as the workers use it.
pub(crate) struct EspTunnel {
    pub(crate) name: String,
    pub(crate) inbound: InboundSa,
    pub(crate) outbound: OutboundSa,
    pub(crate) local: Option<IpAddr>,
    pub(crate) outer: OuterPolicy,
    guard: Option<String>,
    remote: ArcSwap<SocketAddr>,
    follow_remote: bool,
    path_mtu: Mutex<PathMtu>,
    /// Nothing is sent with it any more.
    retired: AtomicBool,
    /// What [`Self::refresh`] made of it, so that workers need not take the lock.
    mtu: AtomicU16,
}

impl EspTunnel {
    fn new(config: EspConfig, now: Instant) -> Result<Self, EspError> {
        if !config.inbound.spi.is_ours() {
            return Err(EspError::SpiNotOurs(config.inbound.spi));
        }
        if config.outbound.mode == Mode::Transport && config.local.is_none() {
            return Err(EspError::NoLocalAddress);
        }
        let inbound = InboundSa::new(config.inbound, &config.inbound_key, now)?;
        let inbound = match config.original {
            Some(original) => inbound.behind_nat(original),
            None => inbound,
        };
        let tunnel = Self {
            name: config.name,
            inbound,
            outbound: OutboundSa::new(config.outbound, &config.outbound_key, now)?,
            local: config.local,
            outer: config.outer,
            guard: config.guard,
            remote: ArcSwap::from_pointee(config.remote),
            follow_remote: config.follow_remote,
            retired: AtomicBool::new(false),
            path_mtu: Mutex::new(PathMtu::new(config.path_mtu, config.remote.ip())),
            mtu: AtomicU16::new(0),
        };
        tunnel.refresh(now);
        Ok(tunnel)
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        **self.remote.load()
    }

    /// The newest authentic packet came from there (RFC 7296 §2.23).
    pub(crate) fn heard_from(&self, from: SocketAddr) {
        if self.follow_remote && self.remote() != from {
            tracing::debug!(tunnel = self.name, %from, "an ESP peer has moved");
            self.remote.store(Arc::new(from));
        }
    }

    /// The longest inner packet that the path carries whole.
    pub(crate) fn mtu(&self) -> u16 {
        self.mtu.load(Ordering::Relaxed)
    }

    /// The kernel knows this MTU of the way to the peer, from the interface or from a router that refused a
    /// packet.
    pub(crate) fn route_mtu(&self, route_mtu: u16, now: Instant) {
        let mut path_mtu = self.path_mtu.lock();
        if route_mtu < path_mtu.current(now) && path_mtu.too_big(route_mtu, now) {
            tracing::debug!(tunnel = self.name, route_mtu, "the path of an ESP tunnel is narrower");
        }
        drop(path_mtu);
        self.refresh(now);
    }

    /// Works the MTU out anew: what a router said is forgotten after some time.
    fn refresh(&self, now: Instant) {
        let ip_header = if self.remote().is_ipv4() { 20 } else { 40 };
        let path = usize::from(self.path_mtu.lock().current(now));
        let payload = self.outbound.max_payload(path.saturating_sub(ip_header + UDP_HEADER));
        // In transport mode the packet's own IP header stays outside.
        let inner_header = match self.outbound.parameters().mode {
            Mode::Tunnel => 0,
            Mode::Transport => ip_header,
        };
        self.mtu.store(u16::try_from(payload + inner_header).unwrap_or(u16::MAX), Ordering::Relaxed);
    }

    fn status(&self, now: Instant) -> EspStatus {
        EspStatus {
            name: self.name.clone(),
            remote: self.remote(),
            retired: self.retired.load(Ordering::Relaxed),
            mtu: self.mtu(),
            inbound: SaStatus {
                parameters: self.inbound.parameters().clone(),
                age: now.saturating_duration_since(self.inbound.made()),
                lifetime: self.inbound.lifetime_state(now),
                sequence: self.inbound.sequence(),
                counters: self.inbound.counters().snapshot(),
            },
            outbound: SaStatus {
                parameters: self.outbound.parameters().clone(),
                age: now.saturating_duration_since(self.outbound.made()),
                lifetime: self.outbound.lifetime_state(now),
                sequence: self.outbound.sequence(),
                counters: self.outbound.counters().snapshot(),
            },
        }
    }
}

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
    /// As they were added, but each behind the one that it follows.
    tunnels: Vec<Arc<EspTunnel>>,
    /// As they were set.
    guards: Vec<Arc<Guard>>,
}

impl Default for EspTable {
    fn default() -> Self {
        Self { sadb: Sadb::new(), policies: Arc::default(), tunnels: Vec::new(), guards: Vec::new() }
    }
}

impl EspTable {
    pub(crate) fn by_spi(&self, spi: Spi) -> Option<&Arc<EspTunnel>> {
        self.sadb.get(spi)
    }

    /// The policies, unless there are none: then no packet need be looked at.
    pub(crate) fn policies(&self) -> Option<&Spd<Protection>> {
        (!self.tunnels.is_empty() || !self.guards.is_empty()).then_some(&self.policies)
    }

    pub(crate) fn tunnels(&self) -> &[Arc<EspTunnel>] {
        &self.tunnels
    }

    pub(crate) fn add(&mut self, config: EspConfig, now: Instant) -> Result<(), EspError> {
        if self.tunnels.iter().any(|tunnel| tunnel.name == config.name) {
            return Err(EspError::NameTaken(config.name));
        }
        let spi = config.inbound.spi;
        let before = config.follows.as_ref().and_then(|name| self.place(name));
        if self.sadb.get(spi).is_some() {
            return Err(EspError::SpiTaken(spi));
        }
        let tunnel = Arc::new(EspTunnel::new(config, now)?);
        self.sadb.insert(spi, Arc::clone(&tunnel));
        let place = before.map_or(self.tunnels.len(), |before| before + 1);
        self.tunnels.insert(place, tunnel);
        self.publish_policies();
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let Some(at) = self.place(name) else { return false };
        let tunnel = self.tunnels.remove(at);
        self.sadb.remove(tunnel.inbound.parameters().spi);
        self.publish_policies();
        true
    }

    /// Leaves a tunnel what it receives with, and nothing to send with.
    pub(crate) fn retire(&mut self, name: &str) -> bool {
        let Some(tunnel) = self.place(name).and_then(|place| self.tunnels.get(place)) else { return false };
        tunnel.retired.store(true, Ordering::Relaxed);
        self.publish_policies();
        true
    }

    /// The peer is elsewhere now.
    pub(crate) fn move_to(&self, name: &str, remote: SocketAddr) -> bool {
        let Some(tunnel) = self.place(name).and_then(|place| self.tunnels.get(place)) else { return false };
        tunnel.remote.store(Arc::new(remote));
        true
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
                own == known.as_ref() && !tunnel.retired.load(Ordering::Relaxed)
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
        let policies = sending(None).map(tunnel).chain(guarded).collect();
        self.policies = Arc::new(Spd::new(policies));
    }

    pub(crate) fn status(&self, now: Instant) -> Vec<EspStatus> {
        self.tunnels.iter().map(|tunnel| tunnel.status(now)).collect()
    }
}
