//! A relay spoken to by TLS over TCP (RFC 8656 §3.1), where no UDP passes. A task of its own, ended by dropping the
//! handle.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use twinmesh_control::{Fingerprint, relay_client_config};
use twinmesh_dataplane::{RelayStream, RelayedInbound};
use twinmesh_path::relay::{StreamReader, data_indication, send_indication};

use crate::network::DETOUR_MARK;

/// Messages of the client that may wait; it asks again for what is lost.
const REQUESTS: usize = 64;
/// Packets that may wait; the data plane drops those beyond. More would only delay all of them.
const PACKETS: usize = 128;
/// What is read at once, and about what is written at once.
const CHUNK: usize = 16 * 1024;

/// Addresses that are carried; the task hands their packets to the data plane by itself.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<RwLock<BTreeSet<SocketAddr>>>);

impl Known {
    pub(super) fn insert(&self, address: SocketAddr) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(address);
    }

    pub(super) fn remove(&self, address: SocketAddr) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }

    fn contains(&self, address: SocketAddr) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }
}

/// From one stream to one relay.
pub(in crate::daemon) struct StreamEvent {
    pub(in crate::daemon) server: SocketAddr,
    /// Which stream to that relay.
    pub(in crate::daemon) number: u64,
    pub(in crate::daemon) news: StreamNews,
}

/// In this order: `Connected`, messages, `Closed`; or `Closed` alone.
pub(in crate::daemon) enum StreamNews {
    Connected,
    /// But packets of addresses that are known.
    Message(Vec<u8>),
    /// In words.
    Closed(String),
}

/// A connection, or the attempt to make one.
pub(super) struct Stream {
    pub(super) number: u64,
    requests: mpsc::Sender<Vec<u8>>,
    packets: mpsc::Sender<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Stream {
    pub(super) fn open(
        (server, fingerprint): (SocketAddr, Option<Fingerprint>),
        number: u64,
        events: mpsc::Sender<StreamEvent>,
        inbound: RelayedInbound,
        known: Known,
    ) -> Self {
        let (requests, mut requested) = mpsc::channel(REQUESTS);
        let (packets, mut queued) = mpsc::channel(PACKETS);
        let task = tokio::spawn(async move {
            let tell = |news| events.send(StreamEvent { server, number, news });
            let ended = async {
                let fingerprint = fingerprint.ok_or_else(|| io::Error::other("its key is not known"))?;
                let stream = connect(server, fingerprint).await?;
                // The receiver is gone only when the daemon ends.
                tell(StreamNews::Connected).await.ok();
                let (incoming, outgoing) = split(stream);
                tokio::select! {
                    ended = read(incoming, &inbound, &known, &tell) => ended,
                    ended = write(outgoing, &mut requested, &mut queued) => ended,
                }
            };
            let reason = ended.await.err().map_or_else(|| "it hung up".to_owned(), |error| error.to_string());
            tell(StreamNews::Closed(reason)).await.ok();
        });
        Self { number, requests, packets, task }
    }

    pub(super) fn send(&self, message: Vec<u8>) {
        // As lost as by UDP: the client sees that no answer comes.
        self.requests.try_send(message).ok();
    }

    /// For the data plane.
    pub(super) fn carrier(&self) -> Arc<dyn RelayStream> {
        Arc::new(Packets(self.packets.clone()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Packets(mpsc::Sender<Vec<u8>>);

impl RelayStream for Packets {
    fn send(&self, to: SocketAddr, datagram: &[u8]) -> bool {
        let Ok(place) = self.0.try_reserve() else { return false };
        // Nobody answers an indication, so nobody compares its number.
        let message = send_indication(to, fastrand::u128(..), datagram);
        message.map(|message| place.send(message)).is_some()
    }
}

async fn connect(server: SocketAddr, fingerprint: Fingerprint) -> io::Result<TlsStream<TcpStream>> {
    let config = relay_client_config(fingerprint).map_err(io::Error::other)?;
    let tcp = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // It carries tunnels: it must not go into one.
    SockRef::from(&tcp).set_mark(DETOUR_MARK)?;
    tcp.set_nodelay(true)?;
    let tcp = tcp.connect(server).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::from(server.ip()), tcp).await
}

async fn read<F: Future<Output = Result<(), mpsc::error::SendError<StreamEvent>>>>(
    mut incoming: ReadHalf<TlsStream<TcpStream>>,
    inbound: &RelayedInbound,
    known: &Known,
    tell: &impl Fn(StreamNews) -> F,
) -> io::Result<()> {
    let mut messages = StreamReader::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = incoming.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        messages.push(chunk.get(..length).unwrap_or_default());
        while let Some(message) = messages.next_message().map_err(io::Error::other)? {
            match data_indication(message) {
                Some((from, payload)) if known.contains(from) => inbound.take(from, payload),
                Some(_) | None => {
                    if tell(StreamNews::Message(message.to_vec())).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// What waits is written together, requests first.
async fn write(
    mut outgoing: WriteHalf<TlsStream<TcpStream>>,
    requests: &mut mpsc::Receiver<Vec<u8>>,
    packets: &mut mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(2 * CHUNK);
    loop {
        // Each branch only receives, and so loses nothing when the other one wins.
        let first = tokio::select! {
            biased;
            Some(message) = requests.recv() => message,
            Some(message) = packets.recv() => message,
            else => return Ok(()),
        };
        bytes.extend_from_slice(&first);
        while bytes.len() < CHUNK
            && let Ok(message) = requests.try_recv().or_else(|_| packets.try_recv())
        {
            bytes.extend_from_slice(&message);
        }
        outgoing.write_all(&bytes).await?;
        outgoing.flush().await?;
        bytes.clear();
    }
}
