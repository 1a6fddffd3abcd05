use super::error::{WireError, WriteError};
use super::notify_type::NotifyType;
use super::reader::Reader;
use super::registry::ProtocolId;
use super::spi::SaSpi;

/// RFC 7296 §3.10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify<'a> {
    /// [`ProtocolId::None`] where no SA is meant; peers write other values there too, so it decides nothing alone.
    pub protocol: ProtocolId,
    pub spi: SaSpi,
    pub kind: NotifyType,
    pub data: &'a [u8],
}

impl<'a> Notify<'a> {
    /// About the message or the IKE SA that carries it.
    pub const fn new(kind: NotifyType, data: &'a [u8]) -> Self {
        Self { protocol: ProtocolId::None, spi: SaSpi::Empty, kind, data }
    }

    /// About a child SA: REKEY_SA, CHILD_SA_NOT_FOUND.
    pub const fn child(protocol: ProtocolId, spi: u32, kind: NotifyType) -> Self {
        Self { protocol, spi: SaSpi::Child(spi), kind, data: &[] }
    }

    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let protocol = ProtocolId::from(reader.u8()?);
        let spi_size = reader.u8()?;
        let kind = NotifyType::from(reader.u16()?);
        let spi = SaSpi::from_bytes(reader.take(usize::from(spi_size))?);
        Ok(Self { protocol, spi, kind, data: reader.rest() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        out.extend_from_slice(&[self.protocol.into(), self.spi.size()?]);
        out.extend_from_slice(&u16::from(self.kind).to_be_bytes());
        self.spi.write(out);
        out.extend_from_slice(self.data);
        Ok(())
    }
}
