use std::net::IpAddr;

use super::error::{WireError, WireErrorKind, WriteError};
use super::reader::Reader;
use super::registry::TsType;

/// RFC 7296 §3.13.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrafficSelector {
    /// 0 means any.
    pub protocol: u8,
    /// 0 to 65535 means any; 65535 to 0 means opaque. For ICMP, type and code in one number.
    pub first_port: u16,
    pub last_port: u16,
    pub first: IpAddr,
    pub last: IpAddr,
}

impl TrafficSelector {
    pub const fn kind(&self) -> TsType {
        match self.first {
            IpAddr::V4(_) => TsType::Ipv4AddressRange,
            IpAddr::V6(_) => TsType::Ipv6AddressRange,
        }
    }

    /// `None` for a type that this crate does not know, which matches nothing.
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        let kind = TsType::from(reader.u8()?);
        let protocol = reader.u8()?;
        let length = reader.u16()?;
        let mut body = reader.part(length, 4)?;
        let expected = match kind {
            TsType::Ipv4AddressRange => 12,
            TsType::Ipv6AddressRange => 36,
            TsType::Other(_) => return Ok(None),
        };
        if body.remaining() != expected {
            return Err(body.error(WireErrorKind::InvalidSelectorLength));
        }
        let (first_port, last_port) = (body.u16()?, body.u16()?);
        let (first, last) = if kind == TsType::Ipv4AddressRange {
            (IpAddr::from(body.array::<4>()?), IpAddr::from(body.array::<4>()?))
        } else {
            (IpAddr::from(body.array::<16>()?), IpAddr::from(body.array::<16>()?))
        };
        if first > last {
            return Err(body.error(WireErrorKind::InvalidRange));
        }
        body.finish()?;
        Ok(Some(Self { protocol, first_port, last_port, first, last }))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let length: u16 = if self.first.is_ipv4() { 16 } else { 40 };
        out.extend_from_slice(&[self.kind().into(), self.protocol]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.first_port.to_be_bytes());
        out.extend_from_slice(&self.last_port.to_be_bytes());
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                out.extend_from_slice(&first.octets());
                out.extend_from_slice(&last.octets());
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                out.extend_from_slice(&first.octets());
                out.extend_from_slice(&last.octets());
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(WriteError::MixedFamilies);
            }
        }
        Ok(())
    }
}
