use zeroize::Zeroizing;

use crate::wire::{Header, Message, PayloadType, Payloads};

/// A message without its encryption.
pub struct TracedMessage {
    pub header: Header,
    /// Whether it was encrypted on the wire.
    pub sealed: bool,
    /// IKE's part of the datagrams, in bytes; `None` where the fragments of a message came one by one.
    pub length: Option<usize>,
    /// More than one: it went in fragments (RFC 7383).
    pub datagrams: usize,
    first: PayloadType,
    content: Zeroizing<Vec<u8>>,
}

impl TracedMessage {
    /// A message of ours in the clear.
    pub(crate) fn clear(message: &Message<'_>) -> Self {
        let (first, content) = message.content();
        let content = Zeroizing::new(content.to_vec());
        let length = Some(message.bytes().len());
        Self { header: message.header, sealed: false, length, datagrams: 1, first, content }
    }

    /// What was, or is to be, inside of these datagrams.
    pub(crate) fn sealed(header: Header, first: PayloadType, content: &[u8], datagrams: &[Vec<u8>]) -> Self {
        Self {
            header,
            sealed: true,
            length: Some(datagrams.iter().map(Vec::len).sum()),
            datagrams: datagrams.len(),
            first,
            content: Zeroizing::new(content.to_vec()),
        }
    }

    /// An opened message; the datagram is the last, or the only one.
    pub(crate) fn opened(
        message: &Message<'_>,
        datagrams: usize,
        first: PayloadType,
        content: &[u8],
    ) -> Self {
        Self {
            header: message.header,
            sealed: true,
            length: (datagrams == 1).then_some(message.bytes().len()),
            datagrams,
            first,
            content: Zeroizing::new(content.to_vec()),
        }
    }

    pub fn payloads(&self) -> Payloads<'_> {
        Payloads::inner(self.first, &self.content)
    }

    /// Bytes of memory that it holds.
    pub fn size(&self) -> usize {
        size_of::<Self>().saturating_add(self.content.capacity())
    }
}

impl std::fmt::Debug for TracedMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracedMessage").field("header", &self.header).finish_non_exhaustive()
    }
}
