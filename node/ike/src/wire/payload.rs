use std::ops::Range;

use super::authentication::Authentication;
use super::certificate::{Certificate, CertificateRequest};
use super::configuration::Configuration;
use super::delete::Delete;
use super::error::{WireError, WireErrorKind, WriteError};
use super::identification::Identification;
use super::key_exchange::KeyExchange;
use super::notify::Notify;
use super::reader::Reader;
use super::registry::PayloadType;
use super::security_association::SecurityAssociation;
use super::traffic_selectors::TrafficSelectors;

/// One payload of a message, read or to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    SecurityAssociation(SecurityAssociation<'a>),
    KeyExchange(KeyExchange<'a>),
    IdInitiator(Identification<'a>),
    IdResponder(Identification<'a>),
    Certificate(Certificate<'a>),
    CertificateRequest(CertificateRequest<'a>),
    Authentication(Authentication<'a>),
    /// 16 to 256 bytes.
    Nonce(&'a [u8]),
    Notify(Notify<'a>),
    Delete(Delete<'a>),
    VendorId(&'a [u8]),
    TrafficSelectorsInitiator(TrafficSelectors<'a>),
    TrafficSelectorsResponder(TrafficSelectors<'a>),
    Encrypted(Encrypted<'a>),
    EncryptedFragment(EncryptedFragment<'a>),
    Configuration(Configuration<'a>),
    /// The EAP message, unread.
    Eap(&'a [u8]),
    /// Of an unknown type and not critical: to be skipped (RFC 7296 §2.5).
    Unknown {
        kind: PayloadType,
        body: &'a [u8],
    },
}

/// RFC 7296 §3.14, still sealed: initialization vector, ciphertext and checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted<'a> {
    /// The type of the first payload inside.
    pub first: PayloadType,
    pub body: &'a [u8],
    /// Where `body` lies in the message.
    pub range: Range<usize>,
}

/// RFC 7383 §2.5, still sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedFragment<'a> {
    /// The type of the first payload inside, said by the first fragment alone.
    pub first: PayloadType,
    /// From 1 to `total`.
    pub number: u16,
    pub total: u16,
    pub body: &'a [u8],
    /// Where `body` lies in the message.
    pub range: Range<usize>,
}

impl<'a> Payload<'a> {
    pub fn kind(&self) -> PayloadType {
        match self {
            Self::SecurityAssociation(_) => PayloadType::SecurityAssociation,
            Self::KeyExchange(_) => PayloadType::KeyExchange,
            Self::IdInitiator(_) => PayloadType::IdInitiator,
            Self::IdResponder(_) => PayloadType::IdResponder,
            Self::Certificate(_) => PayloadType::Certificate,
            Self::CertificateRequest(_) => PayloadType::CertificateRequest,
            Self::Authentication(_) => PayloadType::Authentication,
            Self::Nonce(_) => PayloadType::Nonce,
            Self::Notify(_) => PayloadType::Notify,
            Self::Delete(_) => PayloadType::Delete,
            Self::VendorId(_) => PayloadType::VendorId,
            Self::TrafficSelectorsInitiator(_) => PayloadType::TrafficSelectorsInitiator,
            Self::TrafficSelectorsResponder(_) => PayloadType::TrafficSelectorsResponder,
            Self::Encrypted(_) => PayloadType::Encrypted,
            Self::EncryptedFragment(_) => PayloadType::EncryptedFragment,
            Self::Configuration(_) => PayloadType::Configuration,
            Self::Eap(_) => PayloadType::Eap,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// What an encrypted payload says of its inside.
    pub(super) fn first_inside(&self) -> Option<PayloadType> {
        if let Self::Encrypted(Encrypted { first, .. })
        | Self::EncryptedFragment(EncryptedFragment { first, .. }) = self
        {
            Some(*first)
        } else {
            None
        }
    }

    /// `next` is what the payload's header says of the next one, which an encrypted payload says of its inside.
    pub(super) fn parse(
        kind: PayloadType,
        critical: bool,
        next: PayloadType,
        body: Reader<'a>,
    ) -> Result<Self, WireError> {
        Ok(match kind {
            PayloadType::SecurityAssociation => Self::SecurityAssociation(SecurityAssociation::parse(body)?),
            PayloadType::KeyExchange => Self::KeyExchange(KeyExchange::parse(body)?),
            PayloadType::IdInitiator => Self::IdInitiator(Identification::parse(body)?),
            PayloadType::IdResponder => Self::IdResponder(Identification::parse(body)?),
            PayloadType::Certificate => Self::Certificate(Certificate::parse(body)?),
            PayloadType::CertificateRequest => Self::CertificateRequest(CertificateRequest::parse(body)?),
            PayloadType::Authentication => Self::Authentication(Authentication::parse(body)?),
            PayloadType::Nonce => Self::Nonce(nonce(body)?),
            PayloadType::Notify => Self::Notify(Notify::parse(body)?),
            PayloadType::Delete => Self::Delete(Delete::parse(body)?),
            PayloadType::VendorId => Self::VendorId(body.rest()),
            PayloadType::TrafficSelectorsInitiator => {
                Self::TrafficSelectorsInitiator(TrafficSelectors::parse(body)?)
            }
            PayloadType::TrafficSelectorsResponder => {
                Self::TrafficSelectorsResponder(TrafficSelectors::parse(body)?)
            }
            PayloadType::Encrypted => Self::Encrypted(Encrypted::parse(next, body)),
            PayloadType::EncryptedFragment => Self::EncryptedFragment(EncryptedFragment::parse(next, body)?),
            PayloadType::Configuration => Self::Configuration(Configuration::parse(body)?),
            PayloadType::Eap => Self::Eap(body.rest()),
            // RFC 7296 §2.5: the critical bit counts for unknown types alone.
            PayloadType::NoNextPayload | PayloadType::Other(_) if critical => {
                return Err(body.error(WireErrorKind::UnsupportedCriticalPayload));
            }
            PayloadType::NoNextPayload | PayloadType::Other(_) => Self::Unknown { kind, body: body.rest() },
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        match self {
            Self::SecurityAssociation(payload) => payload.write(out),
            Self::KeyExchange(payload) => payload.write(out),
            Self::IdInitiator(payload) | Self::IdResponder(payload) => payload.write(out),
            Self::Certificate(payload) => payload.write(out),
            Self::CertificateRequest(payload) => payload.write(out),
            Self::Authentication(payload) => payload.write(out),
            Self::Notify(payload) => payload.write(out)?,
            Self::Delete(payload) => payload.write(out),
            Self::TrafficSelectorsInitiator(payload) | Self::TrafficSelectorsResponder(payload) => {
                payload.write(out);
            }
            Self::EncryptedFragment(payload) => payload.write(out),
            Self::Configuration(payload) => payload.write(out),
            Self::Encrypted(Encrypted { body, .. })
            | Self::Nonce(body)
            | Self::VendorId(body)
            | Self::Eap(body)
            | Self::Unknown { body, .. } => out.extend_from_slice(body),
        }
        Ok(())
    }
}

/// RFC 7296 §3.9.
fn nonce(body: Reader<'_>) -> Result<&[u8], WireError> {
    match body.remaining() {
        16..=256 => Ok(body.rest()),
        length => Err(body.error(WireErrorKind::InvalidNonceLength(length))),
    }
}

impl<'a> Encrypted<'a> {
    fn parse(first: PayloadType, reader: Reader<'a>) -> Self {
        let range = range(&reader);
        Self { first, body: reader.rest(), range }
    }
}

impl<'a> EncryptedFragment<'a> {
    fn parse(first: PayloadType, mut reader: Reader<'a>) -> Result<Self, WireError> {
        let (number, total) = (reader.u16()?, reader.u16()?);
        // RFC 7383 §2.5.
        if number == 0 || number > total {
            return Err(reader.error(WireErrorKind::InvalidFragment { number, total }));
        }
        let range = range(&reader);
        Ok(Self { first, number, total, body: reader.rest(), range })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.total.to_be_bytes());
        out.extend_from_slice(self.body);
    }
}

fn range(reader: &Reader<'_>) -> Range<usize> {
    reader.offset()..reader.offset().saturating_add(reader.remaining())
}
