use super::error::WireError;
use super::reader::Reader;
use super::registry::AuthMethod;

/// RFC 7296 §3.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authentication<'a> {
    pub method: AuthMethod,
    pub data: &'a [u8],
}

impl<'a> Authentication<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let method = AuthMethod::from(reader.u8()?);
        reader.array::<3>()?;
        Ok(Self { method, data: reader.rest() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.method.into(), 0, 0, 0]);
        out.extend_from_slice(self.data);
    }
}
