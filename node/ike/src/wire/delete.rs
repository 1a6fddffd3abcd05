use std::borrow::Cow;

use super::error::{WireError, WireErrorKind, WriteError};
use super::reader::Reader;
use super::registry::ProtocolId;

/// RFC 7296 §3.11: the IKE SA that carries it, or child SAs by the SPIs under which the sender receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    pub protocol: ProtocolId,
    spi_size: u8,
    count: u16,
    spis: Cow<'a, [u8]>,
}

impl<'a> Delete<'a> {
    pub const fn ike() -> Delete<'static> {
        Delete { protocol: ProtocolId::Ike, spi_size: 0, count: 0, spis: Cow::Borrowed(&[]) }
    }

    pub fn children(protocol: ProtocolId, spis: &[u32]) -> Result<Delete<'static>, WriteError> {
        let count = u16::try_from(spis.len()).map_err(|_| WriteError::ListTooLong)?;
        let spis = spis.iter().flat_map(|spi| spi.to_be_bytes()).collect();
        Ok(Delete { protocol, spi_size: 4, count, spis: Cow::Owned(spis) })
    }

    /// The SPIs of child SAs; none if the protocol is not one of theirs.
    pub fn child_spis(&self) -> impl Iterator<Item = u32> {
        let spis = if self.spi_size == 4 { self.spis.as_ref() } else { &[] };
        spis.as_chunks().0.iter().map(|spi| u32::from_be_bytes(*spi))
    }

    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let protocol = ProtocolId::from(reader.u8()?);
        let spi_size = reader.u8()?;
        let count = reader.u16()?;
        let fits = match protocol {
            ProtocolId::Ike => spi_size == 0,
            ProtocolId::Esp | ProtocolId::Ah => spi_size == 4,
            ProtocolId::None | ProtocolId::Other(_) => true,
        };
        if !fits {
            return Err(reader.error(WireErrorKind::InvalidSpiSize(spi_size)));
        }
        if usize::from(spi_size).checked_mul(usize::from(count)) != Some(reader.remaining()) {
            return Err(reader.error(WireErrorKind::CountMismatch));
        }
        Ok(Self { protocol, spi_size, count, spis: Cow::Borrowed(reader.rest()) })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.protocol.into(), self.spi_size]);
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&self.spis);
    }
}
