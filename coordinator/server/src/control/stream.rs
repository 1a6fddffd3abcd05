//! Messages over a connection's one stream.

use std::time::Duration;

use quinn::{RecvStream, SendStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use twinmesh_control::{
    CoordinatorMessage, FrameReader, MAX_GREETING_FRAME, MAX_NODE_FRAME, NodeMessage, RefusalCode, encode,
};

use super::connection::ConnectionError;
use super::greeting::refusal;

/// A node that takes longer to read what it is told is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// A last word is acknowledged within this time or is lost.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(2);

/// What is read from TLS at once.
const CHUNK: usize = 4096;

/// The node's one stream.
pub(super) struct Stream {
    carriage: Carriage,
    frames: FrameReader,
    /// The longest that is read.
    longest: usize,
}

enum Carriage {
    Quic { connection: quinn::Connection, outgoing: SendStream, incoming: RecvStream },
    Tls { tls: Box<TlsStream<TcpStream>>, chunk: Vec<u8> },
}

impl Stream {
    pub(super) fn quic(connection: quinn::Connection, outgoing: SendStream, incoming: RecvStream) -> Self {
        let carriage = Carriage::Quic { connection, outgoing, incoming };
        Self::new(carriage)
    }

    pub(super) fn tls(tls: TlsStream<TcpStream>) -> Self {
        let carriage = Carriage::Tls { tls: Box::new(tls), chunk: vec![0; CHUNK] };
        Self::new(carriage)
    }

    fn new(carriage: Carriage) -> Self {
        Self { carriage, frames: FrameReader::default(), longest: MAX_GREETING_FRAME }
    }

    /// The node is one of ours: it may say more from now on.
    pub(super) fn greeted(&mut self) {
        self.longest = MAX_NODE_FRAME;
    }

    /// The next message; `None` at the stream's end. May be dropped and called again: what was read stays.
    pub(super) async fn receive(&mut self) -> Result<Option<NodeMessage>, ConnectionError> {
        loop {
            if let Some(message) = self.frames.next_message_within(self.longest)? {
                return Ok(Some(message));
            }
            let ended = match &mut self.carriage {
                Carriage::Quic { incoming, .. } => match incoming.read_chunk(usize::MAX, true).await? {
                    Some(chunk) => {
                        self.frames.push(&chunk.bytes);
                        false
                    }
                    None => true,
                },
                Carriage::Tls { tls, chunk } => {
                    let length = tls.read(chunk).await.map_err(ConnectionError::Tls)?;
                    self.frames.push(chunk.get(..length).unwrap_or_default());
                    length == 0
                }
            };
            match ended {
                true if self.frames.is_mid_message() => return Err(ConnectionError::CutShort),
                true => return Ok(None),
                false => {}
            }
        }
    }

    pub(super) async fn send(&mut self, message: &CoordinatorMessage) -> Result<(), ConnectionError> {
        let written = timeout(WRITE_TIMEOUT, self.write(&encode(message))).await;
        written.map_err(|_| ConnectionError::Stuck)?
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        match &mut self.carriage {
            Carriage::Quic { outgoing, .. } => Ok(outgoing.write_all(bytes).await?),
            Carriage::Tls { tls, .. } => {
                tls.write_all(bytes).await.map_err(ConnectionError::Tls)?;
                tls.flush().await.map_err(ConnectionError::Tls)
            }
        }
    }

    /// Ends the connection, whatever is under way.
    pub(super) fn close(self) {
        // TCP's goes with its stream.
        if let Carriage::Quic { connection, .. } = self.carriage {
            connection.close(0_u32.into(), b"done");
        }
    }

    /// Sends a message after which nothing comes, and waits until the node has it.
    pub(super) async fn last_word(&mut self, message: CoordinatorMessage) {
        let said = async {
            self.send(&message).await.ok()?;
            match &mut self.carriage {
                Carriage::Quic { outgoing, .. } => {
                    outgoing.finish().ok()?;
                    outgoing.stopped().await.ok().map(drop)
                }
                Carriage::Tls { tls, chunk } => {
                    tls.shutdown().await.ok()?;
                    // The node hangs up when it has read it.
                    while tls.read(chunk).await.ok()? > 0 {}
                    Some(())
                }
            }
        };
        let _ = timeout(LAST_WORD_TIMEOUT, said).await;
    }

    /// A malformed message is answered before the connection ends.
    pub(super) async fn blame(&mut self, error: ConnectionError) -> ConnectionError {
        if error.is_fault() {
            self.last_word(refusal(RefusalCode::ProtocolViolation, error.to_string()).into()).await;
        }
        error
    }
}
