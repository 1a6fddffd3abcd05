//! Start, the agent's calls, and the ordered end.

mod paths;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use arc_swap::ArcSwap;
use mio::Waker;
use parking_lot::Mutex;
use twinmesh_wireguard::{Device, Peer, PeerState as EngineState, PublicKey};

use crate::config::{Config, MAX_DEFAULT_WORKERS, Offload, PeerConfig};
use crate::control::Control;
use crate::counters::{Counters, Sums};
use crate::engine::Engine;
use crate::error::{PeerError, StartError};
use crate::esp_config::{EspConfig, EspError, EspPath, EspStatus};
use crate::event::Event;
use crate::guard::{GuardConfig, GuardStatus};
use crate::inbound::RelayedInbound;
use crate::path_mtu::RouteMtus;
use crate::peer_slot::PeerSlot;
use crate::status::{PartialChecksums, PeerState, PeerStatus, Status, Totals};
use crate::table::Table;
use crate::tun::Tun;
use crate::udp::UdpPort;
use crate::worker::{Shared, Worker};

/// Queues that a TUN device may have.
const MAX_WORKERS: usize = 256;
/// IPv6 works on links of at least this MTU only (RFC 8200 §5).
const MIN_MTU: u16 = 1280;
/// IPv6, UDP and WireGuard headers must fit in 65,535 bytes with the packet.
const MAX_MTU: u16 = u16::MAX - 80;

/// The running data plane. Dropping it ends it, as [`Dataplane::stop`] does.
pub struct Dataplane {
    tun_name: String,
    tun_index: u32,
    port: u16,
    offload: Offload,
    shared: Arc<Shared>,
    control: Arc<Control>,
    counters: Vec<Arc<Counters>>,
    wakers: Vec<Arc<Waker>>,
    threads: Vec<JoinHandle<()>>,
}

impl Dataplane {
    /// Makes the TUN device, opens the UDP port and starts the workers, all in the network namespace of the
    /// calling thread. Addresses and routes of the device are the caller's to set. `events` is called from
    /// workers, which wait for it.
    pub fn start(config: Config, events: Arc<dyn Fn(Event) + Send + Sync>) -> Result<Self, StartError> {
        check(&config)?;
        let workers = match config.workers {
            0 => thread::available_parallelism().map_or(1, usize::from).min(MAX_DEFAULT_WORKERS),
            given => given.min(MAX_WORKERS),
        };
        let sockets = UdpPort::open(config.port, workers, config.mark, config.offload.port)?;
        let udp_failed = |source| StartError::Udp { port: config.port, source };
        let first = sockets.first().ok_or(StartError::Thread(io::ErrorKind::InvalidInput.into()))?;
        let port = first.port().map_err(udp_failed)?;
        let control_socket = first.try_clone().map_err(udp_failed)?;
        let routes = RouteMtus::open(config.mark).map_err(udp_failed)?;
        let tun = Tun::create(&config.tun_name, config.mtu, workers, config.offload)?;

        let counters: Vec<Arc<Counters>> = (0..=workers).map(|_| Arc::default()).collect();
        let mut each = counters.clone().into_iter();
        let control_counters = each.next().unwrap_or_default();
        let shared = Arc::new(Shared {
            device: Device::new(&config.private_key),
            table: Arc::new(ArcSwap::from_pointee(Table::default())),
            events,
            mtu: config.mtu,
            mark: config.mark,
            released: Mutex::default(),
            relayed: RelayedInbound::new(Arc::clone(&control_counters)),
            stop: AtomicBool::new(false),
        });
        let control = Arc::new(Control::new(Arc::clone(&shared), control_socket, routes, control_counters));

        // From here on a failure drops this, which ends the threads that run already.
        let mut dataplane = Self {
            tun_name: config.tun_name,
            tun_index: tun.index,
            port,
            offload: tun.offload,
            shared,
            control,
            counters,
            wakers: Vec::new(),
            threads: Vec::new(),
        };
        for ((queue, socket), counters) in tun.queues.into_iter().zip(sockets).zip(each) {
            dataplane.start_worker(queue, socket, counters).map_err(StartError::Thread)?;
        }
        let timers = Arc::clone(&dataplane.control);
        dataplane.spawn("twinmesh-timers", move || timers.run_timers()).map_err(StartError::Thread)?;
        tracing::info!(tun = dataplane.tun_name, port, workers, "the data plane runs");
        Ok(dataplane)
    }

    fn start_worker(
        &mut self,
        tun: crate::tun::TunQueue,
        udp: UdpPort,
        counters: Arc<Counters>,
    ) -> io::Result<()> {
        let (worker, waker) =
            Worker::new(Arc::clone(&self.shared), counters, tun, udp, self.wakers.is_empty())?;
        self.wakers.push(waker);
        self.spawn("twinmesh-worker", move || worker.run())
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// The TUN device's name.
    pub fn tun_name(&self) -> &str {
        &self.tun_name
    }

    /// The TUN device's interface index.
    pub fn tun_index(&self) -> u32 {
        self.tun_index
    }

    /// The UDP port in use.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Adds a peer or makes an existing one be as given. A live session survives, unless the preshared key
    /// changes. A prefix that another peer has moves to this one.
    pub fn set_peer(&self, peer: PeerConfig) -> Result<(), PeerError> {
        // Without it the kernel hands over whole checksums, and was not meant to be left any.
        let partial_checksums = peer.partial_checksums && self.offload.tcp;
        self.control.set_peer(PeerConfig { partial_checksums, ..peer })
    }

    /// Removes a peer and its keys: its traffic stops at once. False where there was none.
    pub fn remove_peer(&self, key: &PublicKey) -> bool {
        self.control.remove_peer(key)
    }

    /// Sends what goes to the peer by this engine from the next packet on, at no cost; what waited for another goes by
    /// it too. A peer begins with WireGuard, or with [`Engine::Hold`] where WireGuard is not spoken with it. False where
    /// there is no such peer.
    pub fn set_engine(&self, key: &PublicKey, engine: Engine) -> bool {
        let set = self.control.set_engine(key, engine);
        self.wake();
        set
    }

    /// Asks the peer through the tunnel of this engine, whichever sends; [`Event::Probed`] says that it answered. A
    /// session of WireGuard is made for it if need be. `token` is odd. False where there is nothing to ask by.
    pub fn probe(&self, key: &PublicKey, engine: Engine, token: u64) -> bool {
        self.control.probe(key, engine, token)
    }

    /// Adds an ESP tunnel. One that is bound to a peer carries what goes there by [`Engine::Esp`]. Of others the
    /// policies stand before all routes, behind those of tunnels added earlier or of the one that it follows, and right
    /// before its guard's. What was kept for it is sent. The raw socket that it may need is of the calling thread's
    /// network namespace.
    pub fn add_esp(&self, config: EspConfig) -> Result<(), EspError> {
        let added = self.control.add_esp(config);
        self.wake();
        added
    }

    /// Lets traffic pass by ESP tunnels only, or changes what is to become of it while there is none. Guards stand in
    /// the order in which they were first set.
    pub fn set_guard(&self, guard: GuardConfig) {
        self.control.set_guard(guard);
    }

    /// Ends a guard: its traffic goes by its routes again. False where there was none.
    pub fn remove_guard(&self, name: &str) -> bool {
        self.control.remove_guard(name)
    }

    /// The guards, in their order.
    pub fn guard_status(&self) -> Vec<GuardStatus> {
        self.shared.table.load().esp.guard_status()
    }

    /// Removes an ESP tunnel and its keys. False where there was none.
    pub fn remove_esp(&self, name: &str) -> bool {
        let removed = self.control.remove_esp(name);
        self.wake();
        removed
    }

    /// Sends nothing more through an ESP tunnel, but goes on receiving: traffic moves to the tunnel that follows it.
    /// False where there is none.
    pub fn retire_esp(&self, name: &str) -> bool {
        self.control.retire_esp(name)
    }

    /// Sends an ESP tunnel's packets another way. False where there is none.
    pub fn move_esp(&self, name: &str, path: EspPath) -> Result<bool, EspError> {
        let moved = self.control.move_esp(name, path);
        self.wake();
        moved
    }

    /// Workers that wait take note of the table: of its raw sockets, and that they let go of what is not in it any more.
    fn wake(&self) {
        self.wakers.iter().for_each(|worker| wake(worker));
    }

    /// The ESP tunnels, in the order of their policies.
    pub fn esp_status(&self) -> Vec<EspStatus> {
        self.shared.table.load().esp.status(Instant::now())
    }

    /// The node's own addresses changed: lets the peers see the new one at once, and searches for those that
    /// do not answer.
    pub fn network_changed(&self) {
        self.control.network_changed();
    }

    /// Sends a datagram that is not an engine's (STUN, IKE) from the shared port, and from this address of the machine
    /// if it still has it; else, and with none, from the one that leads there.
    pub fn send_datagram(&self, from: Option<IpAddr>, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        self.control.send(from, to, datagram)
    }

    /// Counters and peers. It takes the lock of one peer after the other.
    pub fn status(&self) -> Status {
        let Sums { totals, datagrams, drops, adjusted, calls } =
            Sums::of(&self.counters.iter().map(AsRef::as_ref));
        let now = Instant::now();
        let mut peers: Vec<PeerStatus> =
            self.shared.table.load().peers().map(|slot| self.status_of(slot, now)).collect();
        peers.sort_unstable_by_key(|peer| peer.public_key);
        let offload = Offload { port: self.control.cuts_datagrams(), ..self.offload };
        Status { totals, offload, datagrams, drops, adjusted, calls, peers }
    }

    /// Inner packets and bytes, over all peers.
    pub fn totals(&self) -> Totals {
        Sums::of(&self.counters.iter().map(AsRef::as_ref)).totals
    }

    /// Peers that inner packets went to or came from since the last call, to a tenth of a second.
    pub fn take_used(&self) -> Vec<PublicKey> {
        self.control.take_used()
    }

    /// One peer alone; `None` where there is none with that key.
    pub fn peer_status(&self, key: &PublicKey) -> Option<PeerStatus> {
        Some(self.status_of(self.shared.table.load().by_key(key)?, Instant::now()))
    }

    fn status_of(&self, slot: &PeerSlot, now: Instant) -> PeerStatus {
        let status = peer_status(slot, now);
        PeerStatus { mtu: status.mtu.min(self.shared.mtu), ..status }
    }

    /// Ends all threads, waits for them, and gives the TUN device and the port back.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a data plane thread had panicked");
            }
        }
    }
}

pub(crate) fn wake(worker: &Waker) {
    if let Err(error) = worker.wake() {
        tracing::error!(%error, "cannot wake a data plane worker");
    }
}

fn check(config: &Config) -> Result<(), StartError> {
    let name = &config.tun_name;
    // '%' makes the kernel choose a number.
    let odd = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'%' | b':' | 0);
    if name.is_empty() || name.len() > 15 || name == "." || name == ".." || name.bytes().any(odd) {
        return Err(StartError::TunName(name.clone()));
    }
    if !(MIN_MTU..=MAX_MTU).contains(&config.mtu) {
        return Err(StartError::Mtu(config.mtu));
    }
    Ok(())
}

fn partial_checksums(slot: &PeerSlot, peer: Option<&Peer>) -> PartialChecksums {
    let agreed = match slot.engines.present.get() {
        Engine::WireGuard => peer.map(|peer| slot.engines.sums.wireguard.status(peer.sessions())),
        Engine::Esp => slot.engines.tunnel().as_deref().map(|tunnel| tunnel.sums.status()),
        Engine::Hold => None,
    };
    let agreed = agreed.unwrap_or_default();
    PartialChecksums { sent: agreed.sent && slot.engines.sums.wanted(), ..agreed }
}

fn peer_status(slot: &PeerSlot, now: Instant) -> PeerStatus {
    let guard = slot.peer.lock();
    let peer = guard.as_ref();
    let (received, sent) = peer.map(|peer| (peer.received(), peer.sent())).unwrap_or_default();
    let [heard_wireguard, heard_esp] =
        slot.engines.both(|_, _, liveness| liveness.last_heard().map(|at| now.saturating_duration_since(at)));
    PeerStatus {
        public_key: slot.key,
        engine: slot.engines.present.get(),
        endpoint: peer.and_then(Peer::endpoint),
        path: slot.path(),
        mtu: slot.mtu(),
        last_handshake: peer.and_then(Peer::last_handshake).map(|at| now.saturating_duration_since(at)),
        heard_wireguard,
        heard_esp,
        has_esp: slot.engines.tunnel().is_some(),
        partial_checksums: partial_checksums(slot, peer),
        rx_packets: received.packets,
        rx_bytes: received.bytes,
        tx_packets: sent.packets,
        tx_bytes: sent.bytes,
        state: match peer.map(|peer| peer.state(now)) {
            None | Some(EngineState::Idle) => PeerState::Idle,
            Some(EngineState::Connecting) => PeerState::Connecting,
            Some(EngineState::Up) => PeerState::Up,
        },
    }
}
