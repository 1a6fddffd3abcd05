//! Security parameter index.

use std::fmt;

/// Names an SA to its receiver (RFC 4303 §2.1). Never 0; 1 to 255 are reserved by IANA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spi(u32);

impl Spi {
    /// Least value that IANA has not reserved.
    pub const LEAST: u32 = 256;
    /// Set in every SPI that this node allocates: on the shared UDP port it tells ESP from all else.
    pub const TOP_BIT: u32 = 0x8000_0000;

    /// `None` for the reserved values.
    pub const fn new(value: u32) -> Option<Self> {
        if value >= Self::LEAST { Some(Self(value)) } else { None }
    }

    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether it can be received on the shared UDP port.
    pub const fn is_ours(self) -> bool {
        self.0 & Self::TOP_BIT != 0
    }

    /// Of an ESP packet: its first four bytes.
    pub fn of_packet(packet: &[u8]) -> Option<Self> {
        packet.first_chunk().and_then(|bytes| Self::new(u32::from_be_bytes(*bytes)))
    }
}

impl fmt::Display for Spi {
    /// As IPsec engineers write it: eight hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_values_are_no_spi() {
        assert_eq!(Spi::new(0), None);
        assert_eq!(Spi::new(255), None);
        assert_eq!(Spi::new(256).map(Spi::get), Some(256));
    }

    #[test]
    fn it_reads_as_eight_hexadecimal_digits() {
        assert_eq!(Spi::new(0x8000_00ff).unwrap().to_string(), "800000ff");
        assert!(Spi::new(0x8000_00ff).unwrap().is_ours());
        assert!(!Spi::new(0x7fff_ffff).unwrap().is_ours());
    }
}
