//! A relay's sockets: one that clients speak to by UDP, one by TLS, and one for each allocation.

mod outgoing;
mod ports;
mod streams;
mod unproven;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::certificate::CertificateError;
use super::client::ClientId;
use super::credential::RelaySecret;
use super::peering::Peering;
use super::server::{Counters, Outcome, Relay, RelaySettings};
use crate::clock;
use crate::sockets::{bind_tcp, bind_udp};
use ports::OpenPorts;
use streams::Streams;

/// Largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
/// How often what has run out is looked for.
const TICK: Duration = Duration::from_secs(1);
/// How often the log tells what the relay does, if it does something.
const TELL: Duration = Duration::from_mins(1);

/// Where a relay listens, and how it serves.
#[derive(Clone, Debug)]
pub struct RelayAt {
    /// UDP.
    pub listen: SocketAddr,
    pub tls: TlsAt,
    pub settings: RelaySettings,
}

/// Where a relay listens for TLS over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsAt {
    /// Where it listens by UDP, with the same number.
    Beside,
    Other(SocketAddr),
    Nowhere,
}

/// A relay cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    #[error(
        "cannot listen for the relay on UDP {address}: {source} (--relay of `serve`, --listen of `relay`)"
    )]
    Udp { address: SocketAddr, source: io::Error },
    #[error("cannot listen for the relay on TCP {address}: {source} (--relay-tls; `none` does without)")]
    Tls { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A relay whose ports are open.
#[derive(Debug)]
pub struct RelayServer {
    shared: Arc<Shared>,
    local: SocketAddr,
    addresses: Vec<IpAddr>,
    tls: Option<Tls>,
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    at: SocketAddr,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({})", self.at)
    }
}

#[derive(Debug)]
struct Shared {
    /// What clients speak to by UDP.
    socket: UdpSocket,
    /// An IPv6 socket writes IPv4 addresses as `::ffff:192.0.2.1`.
    is_ipv6: bool,
    state: Mutex<State>,
    streams: Streams,
    /// Messages that found no room on the way to a client.
    congested: AtomicU64,
}

#[derive(Debug)]
struct State {
    relay: Relay,
    ports: OpenPorts,
}

impl RelayServer {
    /// Opens the ports that clients speak to; for the rest see [`Relay::new`].
    ///
    /// # Errors
    /// [`RelayError`], with the address that cannot be had.
    pub fn bind(
        at: &RelayAt,
        secret: RelaySecret,
        random: Zeroizing<[u8; 32]>,
        map: Option<Box<dyn Peering>>,
    ) -> Result<Self, RelayError> {
        let failed = |source| RelayError::Udp { address: at.listen, source };
        let socket = bind_udp(at.listen).and_then(UdpSocket::from_std).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        let tls = match at.tls {
            TlsAt::Beside => Some(local),
            TlsAt::Other(address) => Some(address),
            TlsAt::Nowhere => None,
        };
        let tls = tls.map(|address| Tls::bind(address, &secret)).transpose()?;
        let relay = Relay::new(at.settings.clone(), secret, random, map, Instant::now());
        let shared = Arc::new_cyclic(|shared| Shared {
            socket,
            is_ipv6: local.is_ipv6(),
            state: Mutex::new(State { relay, ports: OpenPorts::new(shared.clone()) }),
            streams: Streams::default(),
            congested: AtomicU64::new(0),
        });
        Ok(Self { shared, local, addresses: at.settings.addresses.clone(), tls })
    }

    /// Where it listens by UDP.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where nodes see one of its ports.
    pub fn addresses(&self, port: u16) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().map(move |address| SocketAddr::new(*address, port))
    }

    /// Where it listens for TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls.as_ref().map(|tls| tls.at)
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Relays until `stop` is ready; then says what it has done.
    pub async fn serve_until(&self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.serve() => {}
            () = stop => tracing::info!(counters = ?self.counters(), "the relay ends"),
        }
    }

    async fn serve(&self) {
        let streams = async {
            if let Some(tls) = &self.tls {
                streams::serve(&self.shared, &tls.listener, &tls.acceptor).await;
            }
        };
        tokio::join!(self.shared.serve_udp(), streams, self.shared.keep());
    }
}

impl Tls {
    fn bind(address: SocketAddr, secret: &RelaySecret) -> Result<Self, RelayError> {
        let acceptor = TlsAcceptor::from(secret.server_config()?);
        let failed = |source| RelayError::Tls { address, source };
        let listener = bind_tcp(address).map_err(failed)?;
        let at = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, acceptor, at })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counters(&self) -> Counters {
        let counters = self.state().relay.counters();
        Counters { congested: self.congested.load(Ordering::Relaxed), ..counters }
    }

    async fn serve_udp(&self) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            match self.socket.recv_from(&mut buffer).await {
                Ok((length, from)) => {
                    let Some(datagram) = buffer.get_mut(..length) else { continue };
                    let client = SocketAddr::new(from.ip().to_canonical(), from.port());
                    self.hear_client(ClientId::Udp(client), datagram);
                }
                // ICMP errors of earlier answers arrive here; they concern nobody.
                Err(error) => tracing::trace!(%error, "relay"),
            }
        }
    }

    /// Ends what has run out, and tells what is done.
    async fn keep(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut told, mut told_at) = (Counters::default(), Instant::now());
        loop {
            tick.tick().await;
            let allocations = {
                let mut state = self.state();
                let State { relay, ports } = &mut *state;
                relay.expire(Instant::now(), ports);
                ports.reap();
                relay.len()
            };
            let counters = self.counters();
            if told_at.elapsed() >= TELL && told != counters {
                tracing::info!(allocations, ?counters, "the relay works");
                (told, told_at) = (counters, Instant::now());
            }
        }
    }

    /// Takes a client's message, and sends what comes of it.
    fn hear_client(&self, client: ClientId, message: &mut [u8]) {
        let now = (Instant::now(), clock::now());
        let mut state = self.state();
        let State { relay, ports } = &mut *state;
        match relay.handle_client(now, client, message, ports) {
            Outcome::Nothing => {}
            Outcome::ToPeer { relayed, peer, bytes } => ports.send(relayed, peer, bytes),
            Outcome::Answer { client, bytes } => self.send(client, &bytes),
            Outcome::ToClient { client, bytes } => self.send(client, bytes),
        }
    }

    /// The same for a datagram behind [`Relay::HEADROOM`] bytes, which came to a relayed port.
    fn hear_peer(&self, relayed: SocketAddr, peer: SocketAddr, buffer: &mut [u8]) {
        match self.state().relay.handle_peer(Instant::now(), relayed, peer, buffer) {
            Outcome::Nothing | Outcome::ToPeer { .. } => {}
            Outcome::Answer { client, bytes } => self.send(client, &bytes),
            Outcome::ToClient { client, bytes } => self.send(client, bytes),
        }
    }

    fn serves(&self, client: ClientId) -> bool {
        self.state().relay.serves(client)
    }

    fn disconnected(&self, client: ClientId) {
        let mut state = self.state();
        let State { relay, ports } = &mut *state;
        relay.disconnected(client, ports);
    }

    fn send(&self, client: ClientId, bytes: &[u8]) {
        let sent = match client {
            ClientId::Udp(address) => {
                let address = match address {
                    SocketAddr::V4(address) if self.is_ipv6 => {
                        SocketAddr::new(address.ip().to_ipv6_mapped().into(), address.port())
                    }
                    SocketAddr::V4(_) | SocketAddr::V6(_) => address,
                };
                self.socket.try_send_to(bytes, address).is_ok()
            }
            ClientId::Stream { connection, .. } => self.streams.send(connection, bytes),
        };
        // Full buffers lose messages, as the network does.
        if !sent {
            self.congested.fetch_add(1, Ordering::Relaxed);
        }
    }
}
