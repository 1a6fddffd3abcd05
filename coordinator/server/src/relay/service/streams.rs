//! Clients that come by TLS over TCP (RFC 8656 §3.1), since their network lets no UDP through.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::outgoing::{Outgoing, Waiting};
use super::unproven::{Pass, Unproven};
use crate::relay::ClientId;
use crate::relay::framing::{Frame, LONGEST, first_frame};

/// Until a connection must have an allocation.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client that takes nothing for so long is hung up on.
const STUCK: Duration = Duration::from_secs(10);
/// How often a connection looks whether its allocation stands.
const LOOK: Duration = Duration::from_secs(1);
/// Between the kernel's questions whether a silent client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// While the system has no more descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// Room for what arrives: one TLS record, and more only for a longer message.
const ROOM: usize = 16 * 1024;

/// The connections that stand.
#[derive(Debug, Default)]
pub(super) struct Streams {
    outgoing: RwLock<HashMap<u64, Arc<Outgoing>>>,
    waiting: Waiting,
    next: AtomicU64,
}

impl Streams {
    /// Hands a message to a connection; false if it has no room for it.
    pub(super) fn send(&self, connection: u64, message: &[u8]) -> bool {
        let outgoing = self.outgoing.read().unwrap_or_else(PoisonError::into_inner);
        outgoing.get(&connection).is_some_and(|outgoing| outgoing.push(message))
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client hung up")]
    HungUp,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no allocation within {} s", PATIENCE.as_secs())]
    Unproven,
    #[error("its allocation has ended")]
    NoAllocation,
    #[error("what it sends is neither STUN nor channel data")]
    OutOfStep,
    #[error("it takes nothing")]
    Stuck,
}

/// Serves all who connect, for ever.
pub(super) async fn serve(shared: &Arc<Shared>, listener: &TcpListener, acceptor: &TlsAcceptor) {
    let unproven = Unproven::default();
    // They end with this future, which drops them.
    let mut connections = JoinSet::new();
    loop {
        // Each branch only waits, and so loses nothing when another one wins.
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, address)) => {
                    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                    let Some(pass) = unproven.admit(address.ip()) else { continue };
                    let (shared, acceptor) = (shared.clone(), acceptor.clone());
                    connections.spawn(async move {
                        let end = converse(&shared, tcp, address, &acceptor, pass).await;
                        tracing::debug!(%address, reason = %end, "a relay's connection has ended");
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the relay cannot take a connection");
                    sleep(EXHAUSTED).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// One connection, from the handshake to its end.
async fn converse(
    shared: &Arc<Shared>,
    tcp: TcpStream,
    address: SocketAddr,
    acceptor: &TlsAcceptor,
    pass: Pass,
) -> End {
    let deadline = Instant::now() + PATIENCE;
    if let Err(error) = prepare(&tcp) {
        return error.into();
    }
    let tls = match timeout_at(deadline, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return error.into(),
        Err(_) => return End::Unproven,
    };
    let connected = Connected::new(shared, address);
    let (reader, writer) = tokio::io::split(tls);
    tokio::select! {
        end = listen(&connected, reader) => end,
        end = speak(&connected.outgoing, writer) => end,
        end = watch(&connected, pass, deadline) => end,
    }
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE).with_retries(3);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)?;
    tcp.set_nodelay(true)
}

/// A connection while it lives; its allocation ends with it.
struct Connected {
    shared: Arc<Shared>,
    client: ClientId,
    connection: u64,
    outgoing: Arc<Outgoing>,
    /// It has had an allocation.
    proven: AtomicBool,
}

impl Connected {
    fn new(shared: &Arc<Shared>, address: SocketAddr) -> Self {
        let streams = &shared.streams;
        let connection = streams.next.fetch_add(1, Ordering::Relaxed);
        let outgoing = Arc::new(Outgoing::new(&streams.waiting));
        streams.outgoing.write().unwrap_or_else(PoisonError::into_inner).insert(connection, outgoing.clone());
        let client = ClientId::Stream { address, connection };
        Self { shared: shared.clone(), client, connection, outgoing, proven: AtomicBool::new(false) }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let streams = &self.shared.streams;
        streams.outgoing.write().unwrap_or_else(PoisonError::into_inner).remove(&self.connection);
        self.shared.disconnected(self.client);
    }
}

async fn listen(connected: &Connected, mut reader: impl AsyncRead + Unpin) -> End {
    let mut buffer = vec![0; ROOM];
    let mut filled = 0;
    loop {
        let Some(room) = buffer.get_mut(filled..) else { return End::OutOfStep };
        match reader.read(room).await {
            Ok(0) => return End::HungUp,
            Ok(length) => filled += length,
            Err(error) => return error.into(),
        }
        let mut start = 0;
        let needs = loop {
            let Some(bytes) = buffer.get_mut(start..filled) else { return End::OutOfStep };
            match first_frame(bytes) {
                Frame::Partial { needs } => break needs,
                Frame::Whole { length, padded } => {
                    let Some(message) = bytes.get_mut(..length) else { return End::OutOfStep };
                    connected.shared.hear_stream(connected.client, message);
                    start += padded;
                }
                Frame::Broken => return End::OutOfStep,
            }
        };
        if connected.shared.serves(connected.client) {
            connected.proven.store(true, Ordering::Relaxed);
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if needs > buffer.len() {
            buffer.resize(LONGEST, 0);
        }
    }
}

async fn speak(outgoing: &Outgoing, mut writer: impl AsyncWrite + Unpin) -> End {
    let mut buffer = Vec::new();
    loop {
        outgoing.take(&mut buffer).await;
        let mut rest = &*buffer;
        while !rest.is_empty() {
            match timeout(STUCK, writer.write(rest)).await {
                Ok(Ok(length)) => {
                    outgoing.written(length);
                    rest = rest.get(length..).unwrap_or_default();
                }
                Ok(Err(error)) => return error.into(),
                Err(_) => return End::Stuck,
            }
        }
        match timeout(STUCK, writer.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return End::Stuck,
        }
    }
}

/// Ends when the allocation does, or when there is none in time.
async fn watch(connected: &Connected, pass: Pass, deadline: Instant) -> End {
    let mut look = interval(LOOK);
    let mut pass = Some(pass);
    loop {
        look.tick().await;
        let proven = connected.proven.load(Ordering::Relaxed);
        match (proven, connected.shared.serves(connected.client)) {
            (true, true) => drop(pass.take()),
            (true, false) => return End::NoAllocation,
            (false, _) if Instant::now() >= deadline => return End::Unproven,
            (false, _) => {}
        }
    }
}
