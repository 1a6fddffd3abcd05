//! Frames: four bytes of length (big endian), then the CBOR array `[kind, body]`.
//!
//! The body is a byte string that holds the message's own CBOR, so that a kind of the future is
//! skipped without being understood.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::{ByteBuf, Bytes};

use crate::message::Message;

/// Largest frame from a node: reports with some hundred endpoints and a thousand tunnels.
pub const MAX_NODE_FRAME: usize = 1024 * 1024;

/// Largest frame from a node that has not been greeted: `Hello` and `Enrol` take some hundred bytes, and anybody may
/// send it.
pub const MAX_GREETING_FRAME: usize = 64 * 1024;

/// Largest frame from a coordinator: a snapshot of about 50,000 peers.
pub const MAX_COORDINATOR_FRAME: usize = 16 * 1024 * 1024;

const LENGTH: usize = 4;

/// A frame that cannot be read. The connection has to be closed: its framing is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("a frame that is not [kind, body]: {0}")]
    Envelope(String),
    #[error("a `{kind}` message with a wrong body: {reason}")]
    Body { kind: String, reason: String },
}

/// The message's frame, length included.
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    let (kind, body) = message.to_parts();
    let envelope = to_cbor(&(kind, Bytes::new(&body)));
    let length = u32::try_from(envelope.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &envelope].concat()
}

/// The message of one frame without its length.
pub fn decode<M: Message>(frame: &[u8]) -> Result<M, FrameError> {
    let (kind, body): (String, ByteBuf) = from_cbor(frame).map_err(FrameError::Envelope)?;
    M::from_parts(&kind, &body).map_err(|reason| FrameError::Body { kind, reason })
}

/// Cuts a stream of bytes, in pieces of any size, into messages.
///
/// Push what arrived, then call [`Self::next_message`] until it gives `None`.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were read already; dropped when more arrive.
    consumed: usize,
}

impl FrameReader {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether bytes of an unfinished message are left: a stream that ends now was cut short.
    pub fn is_mid_message(&self) -> bool {
        self.consumed < self.buffer.len()
    }

    /// The next whole message, or `None` when more bytes are needed.
    pub fn next_message<M: Message>(&mut self) -> Result<Option<M>, FrameError> {
        self.next_message_within(M::MAX_FRAME)
    }

    /// The same where frames over `limit` bytes are refused.
    pub fn next_message_within<M: Message>(&mut self, limit: usize) -> Result<Option<M>, FrameError> {
        let rest = self.buffer.get(self.consumed..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > limit {
            return Err(FrameError::TooLong { length, limit });
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let message = decode(frame)?;
        self.consumed += LENGTH + length;
        Ok(Some(message))
    }
}

pub(crate) fn to_cbor<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a vector cannot fail, and no type of this crate refuses to be serialized.
    ciborium::into_writer(value, &mut bytes).expect("messages serialize");
    bytes
}

pub(crate) fn from_cbor<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, String> {
    let value = ciborium::from_reader(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.is_empty() { Ok(value) } else { Err(format!("{} bytes too many", bytes.len())) }
}
