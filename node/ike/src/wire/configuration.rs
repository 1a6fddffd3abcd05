use std::borrow::Cow;

use super::error::{WireError, WriteError};
use super::reader::Reader;
use super::registry::ConfigurationType;

/// RFC 7296 §3.15.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration<'a> {
    pub kind: ConfigurationType,
    attributes: Cow<'a, [u8]>,
}

/// RFC 7296 §3.15.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigurationAttribute<'a> {
    pub kind: u16,
    pub value: &'a [u8],
}

impl<'a> Configuration<'a> {
    pub fn new(
        kind: ConfigurationType,
        attributes: &[ConfigurationAttribute<'_>],
    ) -> Result<Configuration<'static>, WriteError> {
        let mut body = Vec::new();
        for attribute in attributes {
            let length = u16::try_from(attribute.value.len()).map_err(|_| WriteError::PayloadTooLong)?;
            body.extend_from_slice(&(attribute.kind & 0x7fff).to_be_bytes());
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(attribute.value);
        }
        Ok(Configuration { kind, attributes: Cow::Owned(body) })
    }

    pub fn attributes(&self) -> impl Iterator<Item = ConfigurationAttribute<'_>> {
        let mut reader = Reader::new(&self.attributes, 0, None);
        std::iter::from_fn(move || ConfigurationAttribute::parse(&mut reader).ok())
    }

    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        let kind = ConfigurationType::from(reader.u8()?);
        reader.array::<3>()?;
        let mut walk = reader.clone();
        while !walk.is_empty() {
            ConfigurationAttribute::parse(&mut walk)?;
        }
        Ok(Self { kind, attributes: Cow::Borrowed(reader.rest()) })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.kind.into(), 0, 0, 0]);
        out.extend_from_slice(&self.attributes);
    }
}

impl<'a> ConfigurationAttribute<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let kind = reader.u16()? & 0x7fff;
        let length = reader.u16()?;
        Ok(Self { kind, value: reader.take(usize::from(length))? })
    }
}
