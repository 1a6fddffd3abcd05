use std::fmt;

use super::error::WriteError;
use super::registry::ProtocolId;

/// One half of an IKE SA's identifier (RFC 7296 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IkeSpi(pub [u8; 8]);

impl IkeSpi {
    /// The responder's SPI in the first message.
    pub const ZERO: Self = Self([0; 8]);

    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for IkeSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The SPI field of a proposal, a notify or a delete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SaSpi {
    Empty,
    /// ESP or AH.
    Child(u32),
    Ike(IkeSpi),
    /// Of a length that no protocol here uses.
    Other(Vec<u8>),
}

impl SaSpi {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else if let Some(spi) = bytes.as_array::<4>() {
            Self::Child(u32::from_be_bytes(*spi))
        } else if let Some(spi) = bytes.as_array::<8>() {
            Self::Ike(IkeSpi(*spi))
        } else {
            Self::Other(bytes.to_vec())
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => {}
            Self::Child(spi) => out.extend_from_slice(&spi.to_be_bytes()),
            Self::Ike(spi) => out.extend_from_slice(&spi.0),
            Self::Other(bytes) => out.extend_from_slice(bytes),
        }
    }

    pub(super) fn size(&self) -> Result<u8, WriteError> {
        match self {
            Self::Empty => Ok(0),
            Self::Child(_) => Ok(4),
            Self::Ike(_) => Ok(8),
            Self::Other(bytes) => u8::try_from(bytes.len()).map_err(|_| WriteError::SpiTooLong),
        }
    }
}

/// Whether a proposal of this protocol may carry an SPI of this size (RFC 7296 §3.3.1): eight bytes when an IKE SA
/// is rekeyed, none when it is new.
pub(super) fn fits_proposal(protocol: ProtocolId, size: u8) -> bool {
    match protocol {
        ProtocolId::Ike => size == 0 || size == 8,
        ProtocolId::Esp | ProtocolId::Ah => size == 4,
        ProtocolId::None | ProtocolId::Other(_) => true,
    }
}
