//! The slow side: peers come and go, timers run. One thread at a time works here, and none of it waits for
//! the workers but for the lock of a single peer.

mod engines;
mod path_mtu;
mod paths;
mod timers;

pub(crate) use self::engines::{answer_counts, is_agents};

use std::collections::{HashMap, HashSet};
use std::io::{self, IoSlice};
use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use parking_lot::Mutex;
use twinmesh_wireguard::{
    Destination, IndexAllocator, IndexError, MIN_BUFFER_LEN, Peer, PeerIndex, PeerSettings, PublicKey,
    Transmit,
};

use crate::config::PeerConfig;
use crate::counters::{Counters, DropReason};
use crate::engine::Engine;
use crate::error::PeerError;
use crate::esp_config::{EspConfig, EspError, EspPath};
use crate::guard::GuardConfig;
use crate::path_mtu::RouteMtus;
use crate::peer_slot::PeerSlot;
use crate::relays::Relays;
use crate::sys::Message;
use crate::table::Table;
use crate::turn::{HEADROOM, TAILROOM};
use crate::udp::UdpPort;
use crate::watch::Watchlist;
use crate::worker::Shared;

/// Peers as the agent set them, and the means to publish them.
pub(crate) struct Control {
    shared: Arc<Shared>,
    port: Port,
    /// What the kernel knows of ways.
    routes: RouteMtus,
    peers: Mutex<Peers>,
    watchlist: Arc<Watchlist>,
    /// Peers that inner packets went to or came from since the agent last asked.
    used: Mutex<HashSet<PeerIndex>>,
}

/// The socket as used from outside the workers.
struct Port {
    udp: UdpPort,
    counters: Arc<Counters>,
}

struct Peers {
    table: Table,
    allowed: HashMap<PublicKey, Vec<IpNet>>,
    indices: IndexAllocator,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>, udp: UdpPort, routes: RouteMtus, counters: Arc<Counters>) -> Self {
        let peers =
            Peers { table: Table::default(), allowed: HashMap::new(), indices: IndexAllocator::default() };
        Self {
            shared,
            port: Port { udp, counters },
            routes,
            peers: Mutex::new(peers),
            watchlist: Arc::default(),
            used: Mutex::default(),
        }
    }

    pub(crate) fn set_peer(&self, config: PeerConfig) -> Result<(), PeerError> {
        if config.public_key == self.shared.device.public_key() {
            return Err(PeerError::OwnKey(config.public_key));
        }
        let now = Instant::now();
        let settings = PeerSettings {
            preshared_key: config.preshared_key,
            candidates: config.endpoints,
            endpoint: config.endpoint,
            keepalive: config.keepalive,
        };
        let mut peers = self.peers.lock();
        let known = peers.table.by_key(&config.public_key).cloned();
        let is_new = known.is_none();
        let slot = if let Some(slot) = known {
            slot.set_policy(config.endpoint);
            slot
        } else {
            let index = peers.indices.allocate(now).map_err(|error| {
                if error == IndexError::Random { PeerError::Random } else { PeerError::IndicesExhausted }
            })?;
            let slot = PeerSlot::new((config.public_key, index), config.endpoint, &self.watchlist, now);
            let slot = Arc::new(slot);
            peers.table.insert(Arc::clone(&slot));
            slot
        };
        slot.engines.probe.store(config.probe.map(Arc::new));
        slot.engines.sums.want(config.partial_checksums);
        let speaks = {
            let mut peer = slot.peer.lock();
            match peer.as_mut() {
                Some(peer) if config.wireguard => peer.update(settings, now),
                None if config.wireguard => {
                    slot.engines.sums.wireguard.forget();
                    *peer = Some(Peer::new(&self.shared.device, slot.key, slot.index, settings, now));
                }
                Some(_) | None => *peer = None,
            }
            peer.is_some()
        };
        match slot.engines.present.get() {
            Engine::Hold if is_new && speaks => slot.engines.present.set(Engine::WireGuard),
            // Nothing may go by it any more, and what else may is for the agent to say.
            Engine::WireGuard if !speaks => slot.engines.present.set(Engine::Hold),
            Engine::WireGuard | Engine::Esp | Engine::Hold => {}
        }
        peers.allow(&slot, &config.allowed_ips);
        self.shared.table.store(Arc::new(peers.table.clone()));
        drop(peers);
        self.measure(&slot, &self.shared.table.load().relays);
        self.port.act_on(&slot, &self.shared.table.load().relays, |peer, out| peer.tick(out, now));
        if !slot.is_at_rest() {
            slot.watch.call();
        }
        Ok(())
    }

    pub(crate) fn remove_peer(&self, key: &PublicKey) -> bool {
        let mut peers = self.peers.lock();
        let Some(slot) = peers.table.by_key(key).cloned() else { return false };
        peers.table.remove(&slot);
        peers.allow(&slot, &[]);
        peers.allowed.remove(key);
        peers.table.esp.remove_bound(slot.index);
        peers.indices.release(slot.index, Instant::now());
        self.shared.table.store(Arc::new(peers.table.clone()));
        // A worker in the middle of a batch still has the former table; it finds the place empty.
        *slot.peer.lock() = None;
        slot.engines.present.set(Engine::Hold);
        slot.engines.tunnel.store(None);
        slot.engines.gate.release();
        true
    }

    pub(crate) fn add_esp(&self, mut config: EspConfig) -> Result<(), EspError> {
        let now = Instant::now();
        let guard = config.guard.clone();
        let mut peers = self.peers.lock();
        let slot = match &config.peer {
            Some(key) => Some(peers.table.by_key(key).cloned().ok_or(EspError::NoPeer(*key))?),
            None => None,
        };
        let path = slot.as_ref().and_then(|slot| slot.path());
        if let Some(path) = path {
            config.path.remote = path.remote;
        }
        let name = config.name.clone();
        peers.table.esp.add(config, slot.as_ref().map(|slot| slot.index), self.shared.mark, now)?;
        if let (Some(slot), Some(path)) = (&slot, path) {
            peers.table.esp.lead_bound(slot.index, path, peers.table.relays.hop(path.remote), now);
        }
        if let Some(tunnel) = peers.table.esp.tunnels().iter().find(|tunnel| tunnel.name == name) {
            self.measure_esp(tunnel, &peers.table.relays, now);
        }
        self.shared.table.store(Arc::new(peers.table.clone()));
        if let Some(slot) = slot {
            peers.table.bind(slot.index);
            self.shared.released.lock().extend(slot.engines.gate.take(now));
        }
        if let Some(guard) = guard.and_then(|guard| peers.table.esp.guard(&guard)) {
            self.shared.released.lock().extend(guard.take(now));
        }
        Ok(())
    }

    pub(crate) fn set_guard(&self, config: GuardConfig) {
        let mut peers = self.peers.lock();
        peers.table.esp.set_guard(config, Instant::now());
        self.shared.table.store(Arc::new(peers.table.clone()));
    }

    pub(crate) fn remove_guard(&self, name: &str) -> bool {
        let mut peers = self.peers.lock();
        let removed = peers.table.esp.remove_guard(name);
        self.shared.table.store(Arc::new(peers.table.clone()));
        removed
    }

    pub(crate) fn remove_esp(&self, name: &str) -> bool {
        let mut peers = self.peers.lock();
        let Some(removed) = peers.table.esp.remove(name) else { return false };
        self.shared.table.store(Arc::new(peers.table.clone()));
        removed.peer.into_iter().for_each(|peer| peers.table.bind(peer));
        true
    }

    pub(crate) fn retire_esp(&self, name: &str) -> bool {
        let mut peers = self.peers.lock();
        let Some(retired) = peers.table.esp.retire(name) else { return false };
        self.shared.table.store(Arc::new(peers.table.clone()));
        retired.peer.into_iter().for_each(|peer| peers.table.bind(peer));
        true
    }

    pub(crate) fn move_esp(&self, name: &str, mut path: EspPath) -> Result<bool, EspError> {
        let mut peers = self.peers.lock();
        let bound = peers.table.esp.tunnels().iter().find(|tunnel| tunnel.name == name);
        let slot = bound.and_then(|tunnel| peers.table.by_index(tunnel.peer?));
        if let Some(chosen) = slot.and_then(PeerSlot::path) {
            // Whoever sets the path of a managed peer decides it for all its engines.
            path.remote = chosen.remote;
        }
        let moved = peers.table.esp.move_to(name, path, self.shared.mark, Instant::now());
        self.shared.table.store(Arc::new(peers.table.clone()));
        moved
    }

    pub(crate) fn network_changed(&self) {
        let now = Instant::now();
        let table = self.shared.table.load();
        for slot in table.peers() {
            self.port.act_on(slot, &table.relays, |peer, out| peer.network_changed(out, now));
        }
    }

    /// Whether the kernel cuts datagrams.
    pub(crate) fn cuts_datagrams(&self) -> bool {
        self.port.udp.most_segments() > 1
    }

    pub(crate) fn send(&self, from: Option<IpAddr>, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        self.port.send(&self.shared.table.load().relays, from, to, datagram)
    }
}

impl Peers {
    /// Makes the peer's prefixes be exactly these.
    fn allow(&mut self, slot: &Arc<PeerSlot>, prefixes: &[IpNet]) {
        let prefixes: Vec<IpNet> = prefixes.iter().map(IpNet::trunc).collect();
        let former = self.allowed.insert(slot.key, Vec::new()).unwrap_or_default();
        for prefix in former.into_iter().filter(|prefix| !prefixes.contains(prefix)) {
            self.table.disallow(prefix, slot);
        }
        for prefix in &prefixes {
            self.table.allow(*prefix, slot);
        }
        self.allowed.insert(slot.key, prefixes);
    }
}

impl Port {
    /// Lets a peer act and sends what it wants to send.
    fn act_on(
        &self,
        slot: &PeerSlot,
        relays: &Relays,
        act: impl for<'b> FnOnce(&mut Peer, &'b mut [u8]) -> Option<Transmit<'b>>,
    ) {
        let mut out = [0; MIN_BUFFER_LEN];
        let mut guard = slot.peer.lock();
        let Some(peer) = guard.as_mut() else { return };
        let Some(Transmit { to, datagram }) = act(peer, &mut out) else { return };
        slot.watch.call();
        let send = |to| {
            if let Err(error) = self.send(relays, None, to, datagram) {
                tracing::debug!(%to, %error, "a handshake or keepalive was not sent");
            }
        };
        match to {
            Destination::Endpoint(endpoint) => send(endpoint),
            Destination::Candidates => peer.targets().for_each(send),
        }
    }

    /// Counts what is not sent, too.
    fn send(&self, relays: &Relays, from: Option<IpAddr>, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let mut buffer = vec![0; HEADROOM + datagram.len() + TAILROOM];
        if let Some(place) = buffer.get_mut(HEADROOM..HEADROOM + datagram.len()) {
            place.copy_from_slice(datagram);
        }
        let transaction = || {
            let mut transaction = [0; 12];
            getrandom::fill(&mut transaction).is_ok().then_some(transaction)
        };
        let sent = match relays.carry(to, &mut buffer, datagram.len(), transaction) {
            Ok(Some((next, range))) => match self.udp.address(next) {
                Some(address) => {
                    let from = from.filter(|_| next == to);
                    let pieces = [IoSlice::new(buffer.get(range).unwrap_or_default())];
                    let message =
                        Message { to: &address, from, pieces: &pieces, segment: None, traffic_class: 0 };
                    // Among these are probes of how much a path carries.
                    let _whole = self.udp.whole();
                    self.udp
                        .send(&iter::once(message), &mut 0)
                        .map_err(|error| (DropReason::SendFailed, error))
                }
                None => Err((
                    DropReason::NoIpv6,
                    io::Error::new(io::ErrorKind::Unsupported, "this node has no IPv6"),
                )),
            },
            Ok(None) => Ok(()),
            Err(reason) => Err((reason, io::Error::other("the way to the relay does not take it"))),
        };
        sent.map_err(|(reason, error)| {
            self.counters.dropped(reason);
            error
        })
    }
}
