use super::error::WireError;
use super::reader::Reader;
use super::registry::TransformType;

const HEADER: usize = 8;
/// RFC 7296 §3.3.5: attribute 14, the only one defined, always in the short form (the top bit set).
const KEY_LENGTH: u16 = 0x800e;

/// RFC 7296 §3.3.2: one algorithm, by its number within its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transform {
    pub kind: TransformType,
    pub id: u16,
    /// In bits.
    pub key_length: Option<u16>,
    /// An attribute that this crate does not know, or a key length twice, makes the transform unacceptable
    /// (§3.3.6): it equals none that we would propose. It is not written.
    pub unknown_attribute: bool,
}

impl Transform {
    pub const fn new(kind: TransformType, id: u16) -> Self {
        Self { kind, id, key_length: None, unknown_attribute: false }
    }

    #[must_use]
    pub const fn with_key_length(self, bits: u16) -> Self {
        Self { key_length: Some(bits), ..self }
    }

    /// The transform, and whether it says that another follows.
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<(Self, u8), WireError> {
        let marker = reader.u8()?;
        reader.u8()?;
        let length = reader.u16()?;
        let kind = TransformType::from(reader.u8()?);
        reader.u8()?;
        let mut transform = Self::new(kind, reader.u16()?);
        let mut attributes = reader.part(length, HEADER)?;
        while !attributes.is_empty() {
            let (kind, value) = (attributes.u16()?, attributes.u16()?);
            if kind & 0x8000 == 0 {
                attributes.take(usize::from(value))?;
            }
            if kind == KEY_LENGTH && transform.key_length.is_none() {
                transform.key_length = Some(value);
            } else {
                transform.unknown_attribute = true;
            }
        }
        Ok((transform, marker))
    }

    pub(super) const fn length(self) -> u16 {
        if self.key_length.is_some() { 12 } else { 8 }
    }

    pub(super) fn write(self, last: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&[if last { 0 } else { 3 }, 0]);
        out.extend_from_slice(&self.length().to_be_bytes());
        out.extend_from_slice(&[self.kind.into(), 0]);
        out.extend_from_slice(&self.id.to_be_bytes());
        if let Some(bits) = self.key_length {
            out.extend_from_slice(&KEY_LENGTH.to_be_bytes());
            out.extend_from_slice(&bits.to_be_bytes());
        }
    }
}
