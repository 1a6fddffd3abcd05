//! The control channel where UDP is blocked: the same frames in TLS over TCP, with the same keys.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use twinmesh_control::{FrameReader, NodeMessage, PinnedCoordinator, client_config, encode};

use super::connection::{
    Command, ConnectionError, ConnectionEvent, IDLE_TIMEOUT, KEEP_ALIVE, SERVER_NAME, Target, lost,
};

/// What is read at once.
const CHUNK: usize = 16 * 1024;

/// A connection whose handshake is done.
pub(super) struct Tls {
    stream: TlsStream<TcpStream>,
    pub(super) remote: SocketAddr,
}

impl Tls {
    pub(super) async fn connect(
        target: &Target,
        address: SocketAddr,
        pin: Arc<PinnedCoordinator>,
    ) -> io::Result<Self> {
        let config = client_config(&target.identity, pin).map_err(io::Error::other)?;
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let tcp = TcpStream::connect(address).await?;
        let socket = SockRef::from(&tcp);
        let keepalive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE).with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
        // Also where what was sent stays unacknowledged.
        socket.set_tcp_user_timeout(Some(IDLE_TIMEOUT))?;
        socket.set_tcp_nodelay(true)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Self { stream, remote: address })
    }

    /// Until one side hangs up.
    pub(super) async fn converse(
        self,
        number: u64,
        events: &mpsc::Sender<(u64, ConnectionEvent)>,
        inbox: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Result<(), ConnectionError> {
        let (incoming, mut outgoing) = split(self.stream);
        // Its own future, kept over the turns of the loop: reading is not cut short by a command.
        let mut reading = Box::pin(read(incoming, number, events));
        loop {
            tokio::select! {
                ended = &mut reading => return ended,
                command = inbox.recv() => match command {
                    Some(Command::Send(message)) => {
                        send(&mut outgoing, &message).await.map_err(|error| lost(&error))?;
                    }
                    // TCP does not move to another address: a new connection is sooner than a sign of life.
                    Some(Command::Probe) => return Err(ConnectionError::PathLost),
                    Some(Command::Close) | None => {
                        outgoing.shutdown().await.ok();
                        // Until the coordinator hangs up too: it has all then.
                        (&mut reading).await.ok();
                        return Ok(());
                    }
                },
            }
        }
    }
}

async fn send(outgoing: &mut WriteHalf<TlsStream<TcpStream>>, message: &NodeMessage) -> io::Result<()> {
    outgoing.write_all(&encode(message)).await?;
    outgoing.flush().await
}

async fn read(
    mut incoming: ReadHalf<TlsStream<TcpStream>>,
    number: u64,
    events: &mpsc::Sender<(u64, ConnectionEvent)>,
) -> Result<(), ConnectionError> {
    let mut frames = FrameReader::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = incoming.read(&mut chunk).await.map_err(|error| lost(&error))?;
        if length == 0 {
            return Err(ConnectionError::Lost("the coordinator closed it".to_owned()));
        }
        frames.push(chunk.get(..length).unwrap_or_default());
        while let Some(message) = frames.next_message()? {
            if events.send((number, ConnectionEvent::Message(message))).await.is_err() {
                return Ok(());
            }
        }
    }
}
