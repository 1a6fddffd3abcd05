//! One ESP tunnel: both its SAs, where the peer is, and what its path carries.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use twinmesh_esp::{InboundSa, Mode, OutboundSa, OuterPolicy, PathMtu};
use twinmesh_wireguard::PeerIndex;

use crate::config::PeerPath;
use crate::esp_config::{Encapsulation, EspConfig, EspError, EspPath, EspStatus, SaStatus};
use crate::partial_sums::Agreed;
use crate::path_mtu::{Hop, RELAYED_MTU, UDP_HEADER};

/// What is known of how much the path carries.
struct Way {
    hop: Hop,
    path_mtu: PathMtu,
    /// Of inner packets, by a relay.
    relayed_mtu: u16,
    /// Packets that had been sent when it was last asked for.
    sent: Option<u64>,
}

/// A pair of SAs as the workers use it.
pub(crate) struct EspTunnel {
    pub(crate) name: String,
    pub(crate) inbound: InboundSa,
    pub(crate) outbound: OutboundSa,
    /// Of transport mode: what inner packets are addressed to.
    pub(crate) local: Option<IpAddr>,
    pub(crate) outer: OuterPolicy,
    pub(crate) guard: Option<String>,
    pub(crate) sums: Agreed,
    /// Whose traffic it carries, if no policy says so.
    pub(crate) peer: Option<PeerIndex>,
    path: ArcSwap<EspPath>,
    follow_remote: bool,
    way: Mutex<Way>,
    /// Nothing is sent with it any more.
    pub(crate) retired: AtomicBool,
    /// What [`Self::refresh`] made of it, so that workers need not take the lock.
    mtu: AtomicU16,
}

impl EspTunnel {
    /// `peer`: the place of the peer that the configuration names.
    pub(crate) fn new(config: EspConfig, peer: Option<PeerIndex>, now: Instant) -> Result<Self, EspError> {
        if !config.inbound.spi.is_ours() {
            return Err(EspError::SpiNotOurs(config.inbound.spi));
        }
        if config.outbound.mode == Mode::Transport && config.path.local.is_none() {
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
            local: config.path.local,
            outer: config.outer,
            guard: config.guard,
            sums: Agreed::by_hand(config.partial_checksums),
            peer,
            path: ArcSwap::from_pointee(config.path),
            follow_remote: config.follow_remote,
            retired: AtomicBool::new(false),
            way: Mutex::new(Way {
                hop: Hop::Direct(config.path.remote),
                path_mtu: PathMtu::new(config.path_mtu, config.path.remote.ip()),
                relayed_mtu: RELAYED_MTU,
                sent: None,
            }),
            mtu: AtomicU16::new(0),
        };
        tunnel.refresh(now);
        Ok(tunnel)
    }

    pub(crate) fn sends(&self) -> bool {
        !self.retired.load(Ordering::Relaxed)
    }

    pub(crate) fn path(&self) -> EspPath {
        **self.path.load()
    }

    /// The newest authentic packet came from there, in UDP (RFC 7296 §2.23).
    pub(crate) fn heard_from(&self, from: SocketAddr) {
        let path = self.path();
        let follows = self.follow_remote && path.encapsulation == Encapsulation::Udp;
        if follows && path.remote != from {
            tracing::debug!(tunnel = self.name, %from, "an ESP peer has moved");
            self.path.store(Arc::new(EspPath { remote: from, ..path }));
        }
    }

    /// One of the ends is elsewhere now.
    pub(crate) fn take(&self, path: EspPath, now: Instant) {
        self.path.store(Arc::new(path));
        self.refresh(now);
    }

    /// Its peer is reached by this path now, first by `hop`: what was known of another one counts no more.
    pub(crate) fn lead(&self, PeerPath { remote, mtu, .. }: PeerPath, hop: Hop, now: Instant) {
        let mut way = self.way.lock();
        // Of the hop to a relay the kernel will tell.
        let initial = if hop.is_relayed() { u16::MAX } else { mtu };
        let next = hop.next().unwrap_or(remote);
        *way = Way { hop, path_mtu: PathMtu::new(initial, next.ip()), relayed_mtu: mtu, sent: None };
        drop(way);
        let path = self.path();
        // Another network, another address of this node.
        let local = path.local.filter(|_| path.remote.ip() == remote.ip());
        self.take(EspPath { local, remote, ..path }, now);
    }

    /// The longest inner packet that the path carries whole.
    pub(crate) fn mtu(&self) -> u16 {
        self.mtu.load(Ordering::Relaxed)
    }

    /// Whether its MTU is to be asked for again: where packets go by another hop now, or some have gone.
    pub(crate) fn is_another_way(&self, hop: Hop) -> bool {
        let mut way = self.way.lock();
        let sent = Some(self.outbound.sequence());
        let before = std::mem::replace(&mut way.sent, sent);
        way.hop != hop || before != sent
    }

    /// What is sent there goes by this hop; the kernel knows the MTU of the way to it, from the interface or from a
    /// router that refused a packet.
    pub(crate) fn take_hop(&self, hop: Hop, route_mtu: Option<u16>, now: Instant) {
        self.way.lock().hop = hop;
        match route_mtu {
            Some(route_mtu) => self.take_route_mtu(route_mtu, now),
            None => self.refresh(now),
        }
    }

    /// The way there carries no more than that, whoever says so.
    pub(crate) fn take_route_mtu(&self, route_mtu: u16, now: Instant) {
        let mut way = self.way.lock();
        if route_mtu < way.path_mtu.current(now) && way.path_mtu.too_big(route_mtu, now) {
            tracing::debug!(tunnel = self.name, route_mtu, "the path of an ESP tunnel is narrower");
        }
        drop(way);
        self.refresh(now);
    }

    /// Works the MTU out anew: what a router said is forgotten after some time.
    fn refresh(&self, now: Instant) {
        let EspPath { remote, encapsulation, .. } = self.path();
        let udp_header = match encapsulation {
            Encapsulation::Udp => UDP_HEADER,
            Encapsulation::Raw => 0,
        };
        let way = self.way.lock();
        let room = way.path_mtu.current(now).saturating_sub(way.hop.headers(udp_header));
        let payload = self.outbound.max_payload(room.into());
        // In transport mode the packet's own IP header stays outside.
        let inner_header = match self.outbound.parameters().mode {
            Mode::Tunnel => 0,
            Mode::Transport if remote.is_ipv4() => 20,
            Mode::Transport => 40,
        };
        let inner = u16::try_from(payload + inner_header).unwrap_or(u16::MAX);
        let limit = if way.hop.is_relayed() { way.relayed_mtu } else { u16::MAX };
        self.mtu.store(inner.min(limit), Ordering::Relaxed);
    }

    pub(crate) fn status(&self, now: Instant) -> EspStatus {
        EspStatus {
            name: self.name.clone(),
            path: self.path(),
            retired: self.retired.load(Ordering::Relaxed),
            mtu: self.mtu(),
            partial_checksums: self.sums.status(),
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
