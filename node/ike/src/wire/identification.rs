use super::error::WireError;
use super::reader::Reader;
use super::registry::IdType;

/// RFC 7296 §3.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identification<'a> {
    pub kind: IdType,
    /// Zero as sent by us, but signed as it came: §2.15 covers these bytes too.
    pub reserved: [u8; 3],
    pub data: &'a [u8],
}

impl<'a> Identification<'a> {
    pub const fn new(kind: IdType, data: &'a [u8]) -> Self {
        Self { kind, reserved: [0; 3], data }
    }

    /// `RestOfIDPayload` of RFC 7296 §2.15.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.data.len().saturating_add(4));
        self.write(&mut body);
        body
    }

    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let kind = IdType::from(reader.u8()?);
        let reserved = reader.array()?;
        Ok(Self { kind, reserved, data: reader.rest() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind.into());
        out.extend_from_slice(&self.reserved);
        out.extend_from_slice(self.data);
    }
}
