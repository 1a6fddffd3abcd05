use super::error::WireError;
use super::reader::Reader;
use super::registry::CertificateEncoding;

/// RFC 7296 §3.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    pub encoding: CertificateEncoding,
    pub data: &'a [u8],
}

/// RFC 7296 §3.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateRequest<'a> {
    pub encoding: CertificateEncoding,
    /// For X.509: SHA-1 hashes of the public keys of trust anchors, one after the other.
    pub authorities: &'a [u8],
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        Ok(Self { encoding: reader.u8()?.into(), data: reader.rest() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.encoding.into());
        out.extend_from_slice(self.data);
    }
}

impl<'a> CertificateRequest<'a> {
    /// The hashes; an incomplete last one is passed over.
    pub fn hashes(&self) -> impl Iterator<Item = &'a [u8; 20]> {
        self.authorities.as_chunks().0.iter()
    }

    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, WireError> {
        Ok(Self { encoding: reader.u8()?.into(), authorities: reader.rest() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.encoding.into());
        out.extend_from_slice(self.authorities);
    }
}
