//! Messages over a connection's one stream.

use std::time::Duration;

use quinn::{RecvStream, SendStream};
use tokio::time::timeout;
use twinmesh_control::{CoordinatorMessage, FrameReader, NodeMessage, RefusalCode, encode};

use super::connection::ConnectionError;
use super::greeting::refusal;

/// A node that takes longer to read what it is told is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// A last word is acknowledged within this time or is lost.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(2);

/// The node's one stream.
pub(super) struct Stream {
    outgoing: SendStream,
    incoming: RecvStream,
    frames: FrameReader,
}

impl Stream {
    pub(super) fn new(outgoing: SendStream, incoming: RecvStream) -> Self {
        Self { outgoing, incoming, frames: FrameReader::default() }
    }

    /// The next message; `None` at the stream's end. May be dropped and called again: what was read stays.
    pub(super) async fn receive(&mut self) -> Result<Option<NodeMessage>, ConnectionError> {
        loop {
            if let Some(message) = self.frames.next_message()? {
                return Ok(Some(message));
            }
            match self.incoming.read_chunk(usize::MAX, true).await? {
                Some(chunk) => self.frames.push(&chunk.bytes),
                None if self.frames.is_mid_message() => return Err(ConnectionError::CutShort),
                None => return Ok(None),
            }
        }
    }

    pub(super) async fn send(&mut self, message: &CoordinatorMessage) -> Result<(), ConnectionError> {
        let written = timeout(WRITE_TIMEOUT, self.outgoing.write_all(&encode(message))).await;
        Ok(written.map_err(|_| ConnectionError::Stuck)??)
    }

    /// Sends a message after which nothing comes, and waits until the node has it.
    pub(super) async fn last_word(&mut self, message: CoordinatorMessage) {
        let said = async {
            self.send(&message).await.ok()?;
            self.outgoing.finish().ok()?;
            self.outgoing.stopped().await.ok()
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
