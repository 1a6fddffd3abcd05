//! A relay's sockets: one that clients speak to by UDP, one by TLS, and one for each allocation.

mod clients;
mod fair;
mod inbox;
mod outbox;
mod outgoing;
mod ports;
mod socket;
mod streams;
mod unproven;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn_udp::EcnCodepoint;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::certificate::CertificateError;
use super::client::ClientId;
use super::credential::RelaySecret;
use super::peering::Peering;
use super::server::{Counters, Outcome, Relay, RelaySettings};
use crate::clock;
use crate::sockets::{bind_both, bind_tcp};
use clients::ClientSocket;
use inbox::Inbox;
use outbox::{Exit, Outbox};
use ports::OpenPorts;
use socket::{Socket, Way};
use streams::Streams;

/// Beyond that the state that they share is what they wait for.
const MOST_WORKERS: usize = 4;
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
    clients: Vec<ClientSocket>,
    state: Mutex<State>,
    /// As many as have been needed at one time.
    buffers: Mutex<Vec<Buffers>>,
    streams: Streams,
    /// Messages that found no room on the way to a client.
    congested: AtomicU64,
}

#[derive(Debug)]
struct State {
    relay: Relay,
    ports: OpenPorts,
}

/// For datagrams on their way from one socket to another.
#[derive(Debug, Default)]
struct Buffers {
    inbox: Inbox,
    outbox: Outbox,
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
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
        let udp = || {
            let clients = ClientSocket::bind(at.listen, workers)?;
            let local = clients.first().map_or(at.listen, |client| client.socket.local);
            Ok((clients, local))
        };
        let (clients, local, tls) = match at.tls {
            TlsAt::Beside => {
                let (clients, local, tcp) = bind_both(at.listen, udp).map_err(failed)?;
                (clients, local, Some((local, tcp)))
            }
            TlsAt::Other(address) => {
                let (clients, local) = udp().map_err(failed)?;
                (clients, local, Some((address, bind_tcp(address))))
            }
            TlsAt::Nowhere => udp().map(|(clients, local)| (clients, local, None)).map_err(failed)?,
        };
        let tls = tls.map(|(address, listener)| Tls::new(address, listener, &secret)).transpose()?;
        let relay = Relay::new(at.settings.clone(), secret, random, map, Instant::now());
        let shared = Arc::new_cyclic(|shared| Shared {
            clients,
            state: Mutex::new(State { relay, ports: OpenPorts::new(shared.clone()) }),
            buffers: Mutex::default(),
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
        // They end with this future, which drops them.
        let mut workers = JoinSet::new();
        for number in 0..self.shared.clients.len() {
            workers.spawn(work(self.shared.clone(), number));
        }
        tokio::join!(workers.join_all(), streams, self.shared.keep());
    }
}

impl Tls {
    fn new(
        address: SocketAddr,
        listener: io::Result<TcpListener>,
        secret: &RelaySecret,
    ) -> Result<Self, RelayError> {
        let acceptor = TlsAcceptor::from(secret.server_config()?);
        let failed = |source| RelayError::Tls { address, source };
        let listener = listener.map_err(failed)?;
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

    /// Takes what waits at a socket that clients speak to, and sends what comes of it.
    fn hear_clients(&self, clients: &ClientSocket) {
        self.with_buffers(|Buffers { inbox, outbox }| {
            // Nothing is there any more, or an ICMP error of an earlier datagram, which concerns nobody.
            if clients.socket.receive(inbox).is_err() {
                return;
            }
            let now = (Instant::now(), clock::now());
            let at_all = clients.socket.local.ip().is_unspecified();
            for (meta, mut joined) in inbox.received() {
                let address = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
                let local = meta.dst_ip.filter(|_| at_all).map(|ip| ip.to_canonical());
                let client = ClientId::Udp { address, local };
                let mut state = self.state();
                let State { relay, ports } = &mut *state;
                while let Some(datagram) = joined.next() {
                    let Some(message) = datagram.get_mut(Relay::HEADROOM..) else { continue };
                    let outcome = relay.handle_client(now, client, message, ports);
                    self.post(outcome, ports, meta.ecn, outbox);
                }
                drop(state);
                if outbox.is_large() {
                    self.send_all(clients, outbox);
                }
            }
            self.send_all(clients, outbox);
        });
    }

    /// The same for what peers sent to a relayed port.
    fn hear_peers(&self, relayed: SocketAddr, socket: &Socket) {
        self.with_buffers(|Buffers { inbox, outbox }| {
            let Some(clients) = self.clients.first() else { return };
            if socket.receive(inbox).is_err() {
                return;
            }
            let now = Instant::now();
            for (meta, mut joined) in inbox.received() {
                let peer = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
                let mut state = self.state();
                let State { relay, ports } = &mut *state;
                while let Some(datagram) = joined.next() {
                    let outcome = relay.handle_peer(now, relayed, peer, datagram);
                    self.post(outcome, ports, meta.ecn, outbox);
                }
                drop(state);
                if outbox.is_large() {
                    self.send_all(clients, outbox);
                }
            }
            self.send_all(clients, outbox);
        });
    }

    /// The same for one message of a stream.
    fn hear_stream(&self, client: ClientId, message: &mut [u8]) {
        self.with_buffers(|Buffers { outbox, .. }| {
            let Some(clients) = self.clients.first() else { return };
            let now = (Instant::now(), clock::now());
            let mut state = self.state();
            let State { relay, ports } = &mut *state;
            let outcome = relay.handle_client(now, client, message, ports);
            self.post(outcome, ports, None, outbox);
            drop(state);
            self.send_all(clients, outbox);
        });
    }

    fn with_buffers(&self, work: impl FnOnce(&mut Buffers)) {
        let buffers = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = buffers().pop();
        let mut taken = spare.unwrap_or_default();
        work(&mut taken);
        buffers().push(taken);
    }

    /// Puts what the relay wants sent where it leaves from. Streams have a queue each.
    fn post(&self, outcome: Outcome<'_>, ports: &OpenPorts, ecn: Option<EcnCodepoint>, outbox: &mut Outbox) {
        match outcome {
            Outcome::Nothing => {}
            Outcome::ToPeer { relayed, peer, bytes } => {
                let way = Way { from: None, to: peer, ecn };
                outbox.add_for_peer(relayed, way, bytes, || ports.socket(relayed));
            }
            Outcome::ToClient { node, client: ClientId::Udp { address, local }, bytes } => {
                outbox.add_for_client(node, Way { from: local, to: address, ecn }, &bytes);
            }
            Outcome::ToClient { client: ClientId::Stream { connection, .. }, bytes, .. } => {
                self.count(self.streams.send(connection, &bytes));
            }
            Outcome::Answer { client: ClientId::Stream { connection, .. }, bytes } => {
                self.count(self.streams.send(connection, &bytes));
            }
            Outcome::Answer { client: ClientId::Udp { address, local }, bytes } => {
                outbox.add_answer(Way { from: local, to: address, ecn: None }, &bytes);
            }
        }
    }

    fn send_all(&self, clients: &ClientSocket, outbox: &mut Outbox) {
        outbox.drain(|run| {
            let sent = match &run.exit {
                Exit::Clients(Some(node)) => clients.send(*node, run),
                // Whoever asked asks again.
                Exit::Clients(None) => clients.socket.send(&run.way, run.size, &run.bytes).is_ok(),
                Exit::Relayed(socket) => socket.send(&run.way, run.size, &run.bytes).is_ok(),
            };
            self.count(sent);
        });
    }

    /// Full buffers lose messages, as the network does.
    fn count(&self, sent: bool) {
        if !sent {
            self.congested.fetch_add(1, Ordering::Relaxed);
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
}

/// Serves one of the sockets that clients speak to, for ever.
async fn work(shared: Arc<Shared>, number: usize) {
    let Some(clients) = shared.clients.get(number) else { return };
    let hear = async {
        while clients.socket.readable().await.is_ok() {
            shared.hear_clients(clients);
        }
    };
    tokio::join!(hear, clients.drain());
}
