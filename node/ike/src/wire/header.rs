use std::fmt;

use super::error::{WireError, WireErrorKind};
use super::reader::Reader;
use super::registry::{ExchangeType, PayloadType};
use super::spi::IkeSpi;

/// RFC 7296 §3.1: version 2.0.
const VERSION: u8 = 0x20;
/// Both SPIs, next payload, version.
const AFTER_VERSION: usize = 18;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u32);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// RFC 7296 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags {
    /// The sender is the original initiator of the IKE SA.
    pub initiator: bool,
    /// The message answers one with the same message id.
    pub response: bool,
    /// The sender speaks a higher major version too.
    pub version: bool,
}

impl Flags {
    const RESPONSE: u8 = 0x20;
    const VERSION: u8 = 0x10;
    const INITIATOR: u8 = 0x08;

    fn from_byte(byte: u8) -> Self {
        Self {
            initiator: byte & Self::INITIATOR != 0,
            response: byte & Self::RESPONSE != 0,
            version: byte & Self::VERSION != 0,
        }
    }

    fn to_byte(self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bit(self.initiator, Self::INITIATOR)
            | bit(self.response, Self::RESPONSE)
            | bit(self.version, Self::VERSION)
    }
}

/// The IKE header, without what follows from the rest of the message: next payload, version, length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub initiator_spi: IkeSpi,
    pub responder_spi: IkeSpi,
    pub exchange: ExchangeType,
    pub flags: Flags,
    pub message_id: MessageId,
}

impl Header {
    pub const LENGTH: usize = 28;

    /// Of a message of a higher major version, as far as all versions have the same layout (RFC 7296 §2.5). An
    /// initiator's SPI is never zero (RFC 7296 §3.1).
    pub fn of_higher_version(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram, 0, None);
        let (header, _, version) = Self::read(&mut reader).ok()?;
        (version > VERSION >> 4 && !header.initiator_spi.is_zero()).then_some(header)
    }

    fn read(reader: &mut Reader<'_>) -> Result<(Self, PayloadType, u8), WireError> {
        let initiator_spi = IkeSpi(reader.array()?);
        let responder_spi = IkeSpi(reader.array()?);
        let first = PayloadType::from(reader.u8()?);
        // RFC 7296 §2.5: the minor version is ignored.
        let version = reader.u8()? >> 4;
        let exchange = ExchangeType::from(reader.u8()?);
        let flags = Flags::from_byte(reader.u8()?);
        let message_id = MessageId(reader.u32()?);
        Ok((Self { initiator_spi, responder_spi, exchange, flags, message_id }, first, version))
    }

    /// The header, the type of the first payload, and the bytes after the header.
    pub(super) fn parse(datagram: &[u8]) -> Result<(Self, PayloadType, &[u8]), WireError> {
        let mut reader = Reader::new(datagram, 0, None);
        let (header, first, version) = Self::read(&mut reader)?;
        if version != VERSION >> 4 {
            let error = reader.error(WireErrorKind::UnsupportedVersion(version));
            return Err(WireError { offset: AFTER_VERSION, ..error });
        }
        let length = reader.u32()?;
        if usize::try_from(length) != Ok(datagram.len()) {
            return Err(reader.error(WireErrorKind::LengthMismatch(length)));
        }
        if header.initiator_spi.is_zero() {
            return Err(reader.error(WireErrorKind::ZeroInitiatorSpi));
        }
        Ok((header, first, reader.rest()))
    }

    pub(super) fn write(&self, first: PayloadType, length: u32) -> [u8; Self::LENGTH] {
        let [l0, l1, l2, l3] = length.to_be_bytes();
        let [m0, m1, m2, m3] = self.message_id.0.to_be_bytes();
        let [i0, i1, i2, i3, i4, i5, i6, i7] = self.initiator_spi.0;
        let [r0, r1, r2, r3, r4, r5, r6, r7] = self.responder_spi.0;
        let (exchange, flags) = (u8::from(self.exchange), self.flags.to_byte());
        [
            i0,
            i1,
            i2,
            i3,
            i4,
            i5,
            i6,
            i7,
            r0,
            r1,
            r2,
            r3,
            r4,
            r5,
            r6,
            r7,
            first.into(),
            VERSION,
            exchange,
            flags,
            m0,
            m1,
            m2,
            m3,
            l0,
            l1,
            l2,
            l3,
        ]
    }
}
