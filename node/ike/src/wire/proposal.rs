use super::error::{WireError, WireErrorKind, WriteError};
use super::reader::Reader;
use super::registry::{ProtocolId, TransformType};
use super::spi::{SaSpi, fits_proposal};
use super::transform::Transform;

const HEADER: usize = 8;

/// RFC 7296 §3.3.1: transforms of which one of each type is to be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Counted from 1; the answer repeats the number of what was chosen.
    pub number: u8,
    pub protocol: ProtocolId,
    pub spi: SaSpi,
    pub transforms: Vec<Transform>,
}

impl Proposal {
    pub fn of_type(&self, kind: TransformType) -> impl Iterator<Item = Transform> {
        self.transforms.iter().copied().filter(move |transform| transform.kind == kind)
    }

    /// The proposal, and whether it says that another follows; the transforms go to `each`.
    pub(super) fn walk(
        reader: &mut Reader<'_>,
        mut each: impl FnMut(Transform),
    ) -> Result<(Self, u8), WireError> {
        let marker = reader.u8()?;
        reader.u8()?;
        let length = reader.u16()?;
        let number = reader.u8()?;
        let protocol = ProtocolId::from(reader.u8()?);
        let spi_size = reader.u8()?;
        let count = reader.u8()?;
        let mut body = reader.part(length, HEADER)?;
        if !fits_proposal(protocol, spi_size) {
            return Err(body.error(WireErrorKind::InvalidSpiSize(spi_size)));
        }
        let spi = SaSpi::from_bytes(body.take(usize::from(spi_size))?);
        for left in (0..count).rev() {
            let (transform, more) = Transform::parse(&mut body)?;
            if more != if left == 0 { 0 } else { 3 } {
                return Err(body.error(WireErrorKind::CountMismatch));
            }
            each(transform);
        }
        body.finish()?;
        Ok((Self { number, protocol, spi, transforms: Vec::new() }, marker))
    }

    pub(super) fn write(&self, last: bool, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let spi_size = self.spi.size()?;
        let count = u8::try_from(self.transforms.len()).map_err(|_| WriteError::ListTooLong)?;
        // At most 8 + 255 + 255 · 12 bytes.
        let length =
            self.transforms.iter().fold(8_u16, |sum, transform| sum.saturating_add(transform.length()));
        let length = length.saturating_add(u16::from(spi_size));
        out.extend_from_slice(&[if last { 0 } else { 2 }, 0]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[self.number, self.protocol.into(), spi_size, count]);
        self.spi.write(out);
        let mut transforms = self.transforms.iter().peekable();
        while let Some(transform) = transforms.next() {
            transform.write(transforms.peek().is_none(), out);
        }
        Ok(())
    }
}
