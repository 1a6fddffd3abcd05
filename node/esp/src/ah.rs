//! Authentication Header: whole IP packets, outer header included, authenticated and not hidden (RFC 4302).
//!
//! ```text
//!   IP header │ extension headers │ next header, length, SPI, sequence │ ICV │ payload │ sequence's high half
//!   └─ what routers change is 0 ──┘                                    └─ 0 ─┘         └─ ESN only, not sent
//!   ├─────────────────────────────────────────── authenticated ─────────────────────────────────────────────┤
//! ```
//!
//! The source address is authenticated too, so no NAT lets AH through, and UDP encapsulation cannot help: ESP
//! is the protocol to use; AH is here for peers that ask for it.

mod canonical;
mod inbound;
mod layout;
mod options;
mod outbound;

use std::fmt;
use std::str::FromStr;

pub use inbound::{AhInboundSa, AhOpened};
pub use layout::ah_spi;
pub use outbound::AhOutboundSa;

use crate::lifetime::Lifetime;
use crate::parameters::Mode;
use crate::selector::Selectors;
use crate::spi::Spi;
use crate::suite::{Integrity, SuiteClass, SuiteError};

/// The number of the protocol, as IPv4's protocol and IPv6's next header.
const AH: u8 = 51;
/// Next header, length, reserved, SPI, sequence number (RFC 4302 §2).
const FIXED_LEN: usize = 12;
/// The longest ICV field: HMAC-SHA2-512-256; GMAC has 24 bytes.
const LONGEST_ICV_FIELD: usize = 32;
/// The IV of GMAC, in front of the tag (RFC 4543 §4).
const GMAC_IV_LEN: usize = 8;

/// The algorithm of an AH SA, written as in strongSwan's configuration: `sha256`, `aes128gmac`, `sha1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AhSuite(Integrity);

impl AhSuite {
    /// Preferred first.
    pub fn all() -> impl Iterator<Item = Self> {
        Integrity::ALL.iter().copied().map(Self)
    }

    pub const fn integrity(self) -> Integrity {
        self.0
    }

    pub const fn class(self) -> SuiteClass {
        self.0.class()
    }

    /// Bytes of key material in one direction; GMAC's end with the salt.
    pub const fn key_len(self) -> usize {
        self.0.key_len()
    }

    /// Of the IV at the beginning of the ICV field: GMAC has one (RFC 4543 §4).
    const fn iv_len(self) -> usize {
        if self.0.is_gmac() { GMAC_IV_LEN } else { 0 }
    }

    /// IV and ICV.
    const fn icv_field_len(self) -> usize {
        self.iv_len() + self.0.icv_len()
    }

    /// The whole header with the padding that keeps what follows aligned: to 8 bytes in IPv6, to 4 in IPv4
    /// (RFC 4302 §2.2, §3.3.3.2.1; for GMAC erratum 3643 of RFC 4543).
    const fn header_len(self, align_8: bool) -> usize {
        (FIXED_LEN + self.icv_field_len()).next_multiple_of(if align_8 { 8 } else { 4 })
    }
}

impl From<Integrity> for AhSuite {
    fn from(integrity: Integrity) -> Self {
        Self(integrity)
    }
}

impl fmt::Display for AhSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl FromStr for AhSuite {
    type Err = SuiteError;

    fn from_str(text: &str) -> Result<Self, SuiteError> {
        Self::all().find(|suite| suite.0.name() == text).ok_or(SuiteError::UnknownIntegrity)
    }
}

/// One AH SA, all but its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct AhParameters {
    /// The receiver's.
    pub spi: Spi,
    pub suite: AhSuite,
    pub mode: Mode,
    /// 64-bit sequence numbers (RFC 4302 §2.5.1).
    pub esn: bool,
    /// What may pass, as the packet is addressed: `local` is always this node's side.
    pub selectors: Selectors,
    pub lifetime: Lifetime,
    /// Inbound only: packets that may arrive late, 32 to 65,536; rounded up to a multiple of 64.
    pub replay_window: u32,
    /// Outbound over IPv4 only: pads the header to 8 bytes as over IPv6, which Linux expects unless its SA
    /// has the flag `align4`. Inbound, both are understood.
    pub align_8: bool,
}
