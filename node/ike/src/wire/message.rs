use super::chain::Payloads;
use super::error::WireError;
use super::header::Header;
use super::registry::PayloadType;

/// A datagram, without non-ESP marker, whose header is in order.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub header: Header,
    first: PayloadType,
    datagram: &'a [u8],
    payloads: &'a [u8],
}

impl<'a> Message<'a> {
    pub fn parse(datagram: &'a [u8]) -> Result<Self, WireError> {
        let (header, first, payloads) = Header::parse(datagram)?;
        Ok(Self { header, first, datagram, payloads })
    }

    /// Collect into a `Result` first: an unknown critical payload at the end forbids to act on any before it.
    pub fn payloads(&self) -> Payloads<'a> {
        Payloads::outer(self.first, self.payloads, Header::LENGTH)
    }

    /// The payloads' bytes, and the type of the first of them.
    pub fn content(&self) -> (PayloadType, &'a [u8]) {
        (self.first, self.payloads)
    }

    /// The whole message as it came, which AUTH covers and checksums are over.
    pub fn bytes(&self) -> &'a [u8] {
        self.datagram
    }
}
