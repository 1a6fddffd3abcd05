use super::error::WireError;
use super::reader::Reader;

/// RFC 7296 §3.4. Whether the value fits its group is for the group to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyExchange<'a> {
    pub group: u16,
    pub public: &'a [u8],
}

impl<'a> KeyExchange<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let group = reader.u16()?;
        reader.u16()?;
        Ok(Self { group, public: reader.rest() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.group.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(self.public);
    }
}
