//! One connection to the coordinator: resolving, QUIC or what stands in for it, frames. A task of its own, ended by
//! dropping the handle.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, RecvStream, SendStream, TransportConfig};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use twinmesh_control::{
    CoordinatorMessage, Fingerprint, FrameError, FrameReader, IdentityKeyPair, NodeMessage,
    PinnedCoordinator, client_config, encode,
};

use super::CoordinatorAddress;
use super::tls::Tls;

/// A handshake that takes longer will not come.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between the starts of attempts at a host's different addresses (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// QUIC has this head start: where UDP is blocked, nothing comes back.
const TLS_DELAY: Duration = Duration::from_millis(1500);
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// A coordinator that died without a word is missed after this.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(7);
/// After a change of the network: how long the coordinator may be silent.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// For the last frames at an orderly end.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// TLS wants a server name; the coordinator is known by its key and never sees this.
pub(super) const SERVER_NAME: &str = "coordinator";

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    #[error("cannot resolve {address}: {reason}")]
    Resolve { address: CoordinatorAddress, reason: String },
    #[error("cannot reach the coordinator at {address}{}", list(.tried))]
    Unreachable { address: CoordinatorAddress, tried: Vec<(SocketAddr, String)> },
    #[error(
        "the coordinator at {address} shows the key {seen}, but this node trusts {pinned} only: \
         somebody is in between, or the coordinator was set up anew (then join again with a new token)"
    )]
    WrongKey { address: SocketAddr, pinned: Fingerprint, seen: Fingerprint },
    #[error("the connection to the coordinator was lost: {0}")]
    Lost(String),
    #[error("the coordinator sent what this program cannot read: {0}")]
    Frame(#[from] FrameError),
    #[error("the coordinator cannot be reached since the network changed")]
    PathLost,
}

fn list(tried: &[(SocketAddr, String)]) -> String {
    tried.iter().fold(String::new(), |mut text, (address, reason)| {
        write!(text, "; tried {address}: {reason}").expect("writing to a string cannot fail");
        text
    })
}

/// What happens on a connection, in this order: `Connected`, messages, `Closed`; or `Closed` alone.
#[derive(Debug)]
pub enum ConnectionEvent {
    Connected {
        remote: SocketAddr,
        /// All addresses of the coordinator's host.
        resolved: Vec<SocketAddr>,
    },
    Message(CoordinatorMessage),
    Closed(ConnectionError),
}

/// Whom to connect to, and as whom.
#[derive(Clone)]
pub struct Target {
    pub address: CoordinatorAddress,
    pub fingerprint: Fingerprint,
    pub identity: Arc<IdentityKeyPair>,
}

pub(super) enum Command {
    Send(NodeMessage),
    Probe,
    Close,
}

/// A connection, or the attempt to make one. Dropping it drops the connection too.
pub struct Connection {
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

impl Connection {
    /// Starts to connect. Events come with `number`, which tells those of an earlier connection apart.
    pub fn open(target: Target, number: u64, events: mpsc::Sender<(u64, ConnectionEvent)>) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            if let Err(error) = run(target, number, &events, inbox).await {
                // The receiver is gone only when the daemon ends.
                events.send((number, ConnectionEvent::Closed(error))).await.ok();
            }
        });
        Self { commands, task }
    }

    pub fn send(&self, message: NodeMessage) {
        self.command(Command::Send(message));
    }

    /// Moves to a new socket and asks for a sign of life; [`ConnectionError::PathLost`] if none comes.
    pub fn probe(&self) {
        self.command(Command::Probe);
    }

    /// Sends what is left to send and says goodbye.
    pub async fn close(mut self) {
        self.command(Command::Close);
        timeout(CLOSE_TIMEOUT, &mut self.task).await.ok();
    }

    fn command(&self, command: Command) {
        // A connection that has ended said so by an event.
        self.commands.send(command).ok();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    target: Target,
    number: u64,
    events: &mpsc::Sender<(u64, ConnectionEvent)>,
    mut inbox: mpsc::UnboundedReceiver<Command>,
) -> Result<(), ConnectionError> {
    let address = target.address.clone();
    let unresolved = |reason: String| ConnectionError::Resolve { address: address.clone(), reason };
    let resolved = match timeout(ATTEMPT_TIMEOUT, address.resolve()).await {
        Ok(Ok(resolved)) if !resolved.is_empty() => resolved,
        Ok(Ok(_)) => return Err(unresolved("it has no address".to_owned())),
        Ok(Err(error)) => return Err(unresolved(error.to_string())),
        Err(_) => return Err(unresolved("the resolver does not answer".to_owned())),
    };
    let (endpoint, connection) = match connect(&target, &resolved).await? {
        Made::Quic(endpoint, connection) => (endpoint, connection),
        Made::Tls(tls) => {
            tracing::info!(remote = %tls.remote, "the coordinator is reached by TCP: UDP is blocked");
            let connected = ConnectionEvent::Connected { remote: canonical(tls.remote), resolved };
            if events.send((number, connected)).await.is_err() {
                return Ok(());
            }
            return tls.converse(number, events, &mut inbox).await;
        }
    };
    let (mut outgoing, incoming) = connection.open_bi().await.map_err(|error| lost(&error))?;
    let connected = ConnectionEvent::Connected { remote: canonical(connection.remote_address()), resolved };
    if events.send((number, connected)).await.is_err() {
        return Ok(());
    }

    // Its own future, kept over the turns of the loop: reading is not cut short by a command.
    let mut reading = Box::pin(read(incoming, number, events));
    let mut probe = Probe::default();
    loop {
        tokio::select! {
            ended = &mut reading => return ended,
            () = probe.timed_out(&connection) => return Err(ConnectionError::PathLost),
            command = inbox.recv() => match command {
                Some(Command::Send(message)) => send(&mut outgoing, &message).await?,
                Some(Command::Probe) => {
                    if let Err(error) = local_socket().and_then(|socket| endpoint.rebind(socket)) {
                        tracing::debug!(%error, "the control connection keeps its socket");
                    }
                    probe.start(&connection);
                }
                Some(Command::Close) | None => {
                    outgoing.finish().ok();
                    // Acknowledged, or the time-out of `close` is over first.
                    outgoing.stopped().await.ok();
                    connection.close(0_u32.into(), b"the agent ends");
                    endpoint.wait_idle().await;
                    return Ok(());
                }
            },
        }
    }
}

/// Whether the coordinator was heard since the network changed.
#[derive(Default)]
struct Probe {
    /// Datagrams received at its start, and its end.
    running: Option<(u64, Instant)>,
}

impl Probe {
    fn start(&mut self, connection: &quinn::Connection) {
        self.running = Some((connection.stats().udp_rx.datagrams, Instant::now() + PROBE_TIMEOUT));
    }

    /// Ends when a probe ran and nothing was heard in time. May be dropped and called again at any point.
    async fn timed_out(&mut self, connection: &quinn::Connection) {
        let Some((before, until)) = self.running else { return std::future::pending().await };
        sleep_until(until).await;
        if connection.stats().udp_rx.datagrams > before {
            self.running = None;
            std::future::pending::<()>().await;
        }
    }
}

async fn send(outgoing: &mut SendStream, message: &NodeMessage) -> Result<(), ConnectionError> {
    outgoing.write_all(&encode(message)).await.map_err(|error| lost(&error))
}

async fn read(
    mut incoming: RecvStream,
    number: u64,
    events: &mpsc::Sender<(u64, ConnectionEvent)>,
) -> Result<(), ConnectionError> {
    let mut frames = FrameReader::default();
    while let Some(chunk) = incoming.read_chunk(usize::MAX, true).await.map_err(|error| lost(&error))? {
        frames.push(&chunk.bytes);
        while let Some(message) = frames.next_message()? {
            if events.send((number, ConnectionEvent::Message(message))).await.is_err() {
                return Ok(());
            }
        }
    }
    Err(ConnectionError::Lost("the coordinator closed it".to_owned()))
}

enum Made {
    Quic(Endpoint, quinn::Connection),
    Tls(Box<Tls>),
}

/// Tries all addresses, each a moment after the one before it, and by TCP when QUIC had time enough; the first that
/// answers with the right key wins.
async fn connect(target: &Target, addresses: &[SocketAddr]) -> Result<Made, ConnectionError> {
    let mut attempts = JoinSet::new();
    for (address, turn) in addresses.iter().copied().zip(0_u32..) {
        let (by_quic, by_tls) = (target.clone(), target.clone());
        attempts.spawn(async move {
            sleep(ATTEMPT_DELAY * turn).await;
            (address, attempt(&by_quic, address).await)
        });
        attempts.spawn(async move {
            sleep(TLS_DELAY + ATTEMPT_DELAY * turn).await;
            (address, attempt_by_tls(&by_tls, address).await)
        });
    }
    let mut tried = Vec::new();
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok((_, Ok(made))) => return Ok(made),
            Ok((_, Err(Failure::WrongKey(error)))) => return Err(error),
            Ok((address, Err(Failure::Other(reason)))) => tried.push((address, reason)),
            Err(error) => tracing::error!(%error, "an attempt to connect ended badly"),
        }
    }
    Err(ConnectionError::Unreachable { address: target.address.clone(), tried })
}

enum Failure {
    WrongKey(ConnectionError),
    Other(String),
}

async fn attempt(target: &Target, address: SocketAddr) -> Result<Made, Failure> {
    let pin = PinnedCoordinator::new(target.fingerprint);
    let other = |error: &dyn std::error::Error| Failure::Other(error.to_string());
    let config = quic_config(target, Arc::clone(&pin)).map_err(Failure::Other)?;
    let endpoint = local_endpoint().map_err(|error| other(&error))?;
    let connecting = endpoint.connect_with(config, address, SERVER_NAME).map_err(|error| other(&error))?;
    match timeout(ATTEMPT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Ok(Made::Quic(endpoint, connection)),
        Ok(Err(error)) => Err(failure(target, address, &pin, error.to_string())),
        Err(_) => Err(Failure::Other(format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs()))),
    }
}

async fn attempt_by_tls(target: &Target, address: SocketAddr) -> Result<Made, Failure> {
    let pin = PinnedCoordinator::new(target.fingerprint);
    match timeout(ATTEMPT_TIMEOUT, Tls::connect(target, address, Arc::clone(&pin))).await {
        Ok(Ok(tls)) => Ok(Made::Tls(Box::new(tls))),
        Ok(Err(error)) => Err(failure(target, address, &pin, format!("by TCP: {error}"))),
        Err(_) => Err(Failure::Other(format!("by TCP: no answer within {} s", ATTEMPT_TIMEOUT.as_secs()))),
    }
}

fn failure(target: &Target, address: SocketAddr, pin: &PinnedCoordinator, reason: String) -> Failure {
    match pin.mismatch() {
        Some(seen) => {
            Failure::WrongKey(ConnectionError::WrongKey { address, pinned: target.fingerprint, seen })
        }
        None => Failure::Other(reason),
    }
}

fn quic_config(target: &Target, pin: Arc<PinnedCoordinator>) -> Result<ClientConfig, String> {
    let tls = client_config(&target.identity, pin).map_err(|error| error.to_string())?;
    let quic = QuicClientConfig::try_from(tls).map_err(|error| error.to_string())?;
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    transport.max_idle_timeout(Some(IDLE_TIMEOUT.try_into().map_err(|_| "the idle time-out is too long")?));
    // The coordinator opens no streams: the node's one carries everything.
    transport.max_concurrent_bidi_streams(0_u8.into());
    transport.max_concurrent_uni_streams(0_u8.into());
    let mut config = ClientConfig::new(Arc::new(quic));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

fn local_endpoint() -> io::Result<Endpoint> {
    Endpoint::client((Ipv6Addr::UNSPECIFIED, 0).into())
        .or_else(|_| Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into()))
}

/// As [`local_endpoint`], for a connection that moves.
fn local_socket() -> io::Result<UdpSocket> {
    let dual_stack = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None)?;
        socket.set_only_v6(false)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
        io::Result::Ok(socket.into())
    };
    dual_stack().or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

pub(super) fn lost(error: &dyn std::error::Error) -> ConnectionError {
    ConnectionError::Lost(error.to_string())
}
