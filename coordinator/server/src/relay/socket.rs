//! The relay's sockets: one that clients speak to, and one for each allocation.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};
use zeroize::Zeroizing;

use super::credential::RelaySecret;
use super::peering::Peering;
use super::server::{Counters, Outcome, Parity, Ports, Relay, RelaySettings};
use crate::clock;
use crate::sockets::bind_udp;

/// Largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
/// RFC 8656 §7.2: relayed ports come from the dynamic range.
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;
/// Ports that are tried before there is none.
const ATTEMPTS: usize = 32;
/// How often what has run out is looked for.
const TICK: Duration = Duration::from_secs(1);
/// How often the log tells what the relay does, if it does something.
const TELL: Duration = Duration::from_mins(1);

/// A relay whose port is open.
#[derive(Debug)]
pub struct RelayServer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What clients speak to.
    socket: UdpSocket,
    /// An IPv6 socket writes IPv4 addresses as `::ffff:192.0.2.1`.
    is_ipv6: bool,
    relay: Mutex<Relay>,
}

impl RelayServer {
    /// Opens the port that clients speak to; see [`Relay::new`].
    pub fn bind(
        address: SocketAddr,
        settings: RelaySettings,
        secret: RelaySecret,
        random: Zeroizing<[u8; 32]>,
        map: Option<Box<dyn Peering>>,
    ) -> io::Result<Self> {
        let socket = UdpSocket::from_std(bind_udp(address)?)?;
        let is_ipv6 = socket.local_addr()?.is_ipv6();
        let relay = Mutex::new(Relay::new(settings, secret, random, map, Instant::now()));
        Ok(Self { shared: Arc::new(Shared { socket, is_ipv6, relay }) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.socket.local_addr()
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.shared.relay().counters()
    }

    /// Relays until `stop` is ready; then says what it has done.
    pub async fn serve_until(&self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.serve() => {}
            () = stop => tracing::info!(counters = ?self.counters(), "the relay ends"),
        }
    }

    async fn serve(&self) {
        let shared = &self.shared;
        let mut open = OpenPorts { shared: shared.clone(), ports: HashMap::new(), tasks: JoinSet::new() };
        let mut buffer = vec![0; MAX_DATAGRAM];
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut told, mut told_at) = (Counters::default(), Instant::now());
        loop {
            // Each branch only receives or sleeps, and so loses nothing when another one wins.
            tokio::select! {
                received = shared.socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => {
                        let Some(datagram) = buffer.get_mut(..length) else { continue };
                        let client = SocketAddr::new(from.ip().to_canonical(), from.port());
                        let now = (Instant::now(), clock::now());
                        let outcome = shared.relay().handle_client(now, client, datagram, &mut open);
                        match outcome {
                            Outcome::ToPeer { relayed, peer, bytes } => open.send(relayed, peer, bytes),
                            Outcome::Nothing | Outcome::Answer { .. } | Outcome::ToClient { .. } => {
                                shared.send(&outcome);
                            }
                        }
                    }
                    // ICMP errors of earlier answers arrive here; they concern nobody.
                    Err(error) => tracing::trace!(%error, "relay"),
                },
                _ = tick.tick() => {
                    let (counters, allocations) = {
                        let mut relay = shared.relay();
                        relay.expire(Instant::now(), &mut open);
                        (relay.counters(), relay.len())
                    };
                    if told_at.elapsed() >= TELL && told != counters {
                        tracing::info!(allocations, ?counters, "the relay works");
                        (told, told_at) = (counters, Instant::now());
                    }
                }
                Some(_) = open.tasks.join_next(), if !open.tasks.is_empty() => {}
            }
        }
    }
}

impl Shared {
    fn relay(&self) -> MutexGuard<'_, Relay> {
        self.relay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, outcome: &Outcome<'_>) {
        let (client, bytes) = match outcome {
            Outcome::Answer { client, bytes } => (*client, &**bytes),
            Outcome::ToClient { client, bytes } => (*client, *bytes),
            Outcome::Nothing | Outcome::ToPeer { .. } => return,
        };
        let client = match client {
            SocketAddr::V4(client) if self.is_ipv6 => {
                SocketAddr::new(client.ip().to_ipv6_mapped().into(), client.port())
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => client,
        };
        // A full buffer loses datagrams, as the network does.
        let _ = self.socket.try_send_to(bytes, client);
    }
}

/// The sockets of allocations, each with a task that receives.
struct OpenPorts {
    shared: Arc<Shared>,
    ports: HashMap<SocketAddr, (Arc<UdpSocket>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl OpenPorts {
    fn send(&self, relayed: SocketAddr, peer: SocketAddr, bytes: &[u8]) {
        if let Some((socket, _)) = self.ports.get(&relayed) {
            // As above.
            let _ = socket.try_send_to(bytes, peer);
        }
    }
}

impl Ports for OpenPorts {
    fn open(&mut self, address: IpAddr, parity: Parity) -> Option<SocketAddr> {
        for _ in 0..ATTEMPTS {
            let mut random = [0; 2];
            getrandom::fill(&mut random).ok()?;
            let any = u16::from_be_bytes(random) | *PORTS.start();
            let port = match parity {
                Parity::Any => any,
                Parity::Even => any & !1,
            };
            let relayed = SocketAddr::new(address, port);
            if self.ports.contains_key(&relayed) {
                continue;
            }
            let Some(socket) = bind_relayed(relayed) else { continue };
            let socket = Arc::new(UdpSocket::from_std(socket).ok()?);
            let task = self.tasks.spawn(receive(self.shared.clone(), socket.clone(), relayed));
            self.ports.insert(relayed, (socket, task));
            return Some(relayed);
        }
        None
    }

    fn close(&mut self, relayed: SocketAddr) {
        if let Some((_, task)) = self.ports.remove(&relayed) {
            task.abort();
        }
    }
}

/// Binds at the address, or at all addresses of this machine if a NAT before it has that address.
fn bind_relayed(relayed: SocketAddr) -> Option<std::net::UdpSocket> {
    let unspecified: IpAddr = match relayed.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    match bind_udp(relayed) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            bind_udp(SocketAddr::new(unspecified, relayed.port())).ok()
        }
        bound => bound.ok(),
    }
}

/// Hands what peers send to a relayed port to its client.
async fn receive(shared: Arc<Shared>, socket: Arc<UdpSocket>, relayed: SocketAddr) {
    let mut buffer = vec![0; Relay::HEADROOM + MAX_DATAGRAM];
    loop {
        let Some(room) = buffer.get_mut(Relay::HEADROOM..) else { return };
        match socket.recv_from(room).await {
            Ok((length, from)) => {
                let Some(filled) = buffer.get_mut(..Relay::HEADROOM + length) else { continue };
                let peer = SocketAddr::new(from.ip().to_canonical(), from.port());
                let outcome = shared.relay().handle_peer(Instant::now(), relayed, peer, filled);
                shared.send(&outcome);
            }
            // ICMP errors of what was sent: the peer's affair.
            Err(error) => tracing::trace!(%error, %relayed, "relayed port"),
        }
    }
}
