use super::error::{WireError, WireErrorKind};
use super::payload::Payload;
use super::reader::Reader;
use super::registry::PayloadType;

/// The generic header of each payload (RFC 7296 §3.2).
pub(super) const GENERIC_HEADER: usize = 4;
const CRITICAL: u8 = 0x80;
/// No honest message has as many; a certificate chain and a dozen notifies stay far below.
const MOST_PAYLOADS: u8 = 128;

/// Payloads one after the other; after the first error there are no more.
#[derive(Clone, Debug)]
pub struct Payloads<'a> {
    next: PayloadType,
    reader: Reader<'a>,
    left: u8,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    InTheClear,
    Inside,
    Ended,
}

impl<'a> Payloads<'a> {
    /// The payloads of a message, from behind its header on.
    pub(super) fn outer(first: PayloadType, bytes: &'a [u8], offset: usize) -> Self {
        Self {
            next: first,
            reader: Reader::new(bytes, offset, None),
            left: MOST_PAYLOADS,
            place: Place::InTheClear,
        }
    }

    /// The opened content of an encrypted payload, without its padding; `first` is what its header said.
    pub fn inner(first: PayloadType, content: &'a [u8]) -> Self {
        Self { next: first, reader: Reader::new(content, 0, None), left: MOST_PAYLOADS, place: Place::Inside }
    }

    fn read(&mut self) -> Result<Payload<'a>, WireError> {
        let kind = self.next;
        let rest = self.reader.clone().rest();
        let mut reader = Reader::new(rest, self.reader.offset(), Some(kind));
        self.left = self.left.checked_sub(1).ok_or_else(|| reader.error(WireErrorKind::TooManyPayloads))?;
        let next = PayloadType::from(reader.u8()?);
        let critical = reader.u8()? & CRITICAL != 0;
        let length = reader.u16()?;
        let body = reader.part(length, GENERIC_HEADER)?;
        let encrypted = matches!(kind, PayloadType::Encrypted | PayloadType::EncryptedFragment);
        if encrypted && self.place == Place::Inside {
            return Err(body.error(WireErrorKind::UnexpectedPayload));
        }
        let payload = Payload::parse(kind, critical, next, body)?;
        // RFC 7296 §3.14: an encrypted payload is the last; its next payload is the first inside.
        self.next = if encrypted { PayloadType::NoNextPayload } else { next };
        self.reader = reader;
        Ok(payload)
    }
}

impl<'a> Iterator for Payloads<'a> {
    type Item = Result<Payload<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.place == Place::Ended {
            return None;
        }
        if self.next == PayloadType::NoNextPayload {
            self.place = Place::Ended;
            return self.reader.clone().finish().err().map(Err);
        }
        let payload = self.read();
        if payload.is_err() {
            self.place = Place::Ended;
        }
        Some(payload)
    }
}

impl std::iter::FusedIterator for Payloads<'_> {}
