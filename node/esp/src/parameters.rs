//! What two ends agree on for one direction.

use crate::lifetime::Lifetime;
use crate::selector::Selectors;
use crate::spi::Spi;
use crate::suite::Suite;

/// Whether whole IP packets are protected or their payloads (RFC 4301 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Tunnel,
    Transport,
}

/// One SA, all but its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct SaParameters {
    /// The receiver's.
    pub spi: Spi,
    pub suite: Suite,
    pub mode: Mode,
    /// 64-bit sequence numbers (RFC 4303 §2.2.1).
    pub esn: bool,
    /// What may pass, as the packet is addressed: `local` is always this node's side.
    pub selectors: Selectors,
    pub lifetime: Lifetime,
    /// Inbound only: packets that may arrive late, 32 to 65,536; rounded up to a multiple of 64.
    pub replay_window: u32,
    /// Outbound only: plaintext is padded to a multiple of so many bytes (RFC 4303 §2.7); 0 for none. Tunnel
    /// mode only; a packet longer than that is padded to the next multiple if the path's MTU allows.
    pub tfc_multiple: u16,
    /// Longest packet that TFC padding may make, in bytes of plaintext with the inner header.
    pub tfc_limit: u16,
    /// Whether the outer path is IPv6 with raw ESP, so that the ciphertext is a multiple of 8 bytes (RFC 8200 §4).
    pub align_8: bool,
}
