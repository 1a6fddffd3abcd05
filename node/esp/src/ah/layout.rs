//! Where in a packet the authentication header is, or belongs.

use twinmesh_packet::IpPacket;

use super::AH;
use crate::reason::DropReason;
use crate::spi::Spi;

const IPV6_HEADER_LEN: usize = 40;
pub(super) const HOP_BY_HOP: u8 = 0;
pub(super) const ROUTING: u8 = 43;
pub(super) const DESTINATION_OPTIONS: u8 = 60;
/// Of extension headers before AH: more than RFC 8200 §4.1 has kinds.
const MOST_EXTENSIONS: usize = 8;

/// A packet that carries AH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) v6: bool,
    /// Bytes before AH.
    pub(super) headers_len: usize,
    /// Of the packet; the buffer may hold more.
    pub(super) total_len: usize,
}

impl Layout {
    /// `Truncated` for what is no packet with AH, `InnerMalformed` for a fragment of one: the receiver
    /// reassembles first (RFC 4302 §3.4.1).
    pub(super) fn find(packet: &[u8]) -> Result<Self, DropReason> {
        let ip = IpPacket::parse(packet).map_err(|_| DropReason::Truncated)?;
        let total_len = ip.bytes().len();
        if ip.source().is_ipv4() {
            if is_v4_fragment(packet) {
                return Err(DropReason::InnerMalformed);
            }
            let headers_len = total_len - ip.payload().len();
            return if ip.protocol() == AH {
                Ok(Self { v6: false, headers_len, total_len })
            } else {
                Err(DropReason::Truncated)
            };
        }
        let (mut next_header, mut headers_len) = (ip.protocol(), IPV6_HEADER_LEN);
        for _ in 0..=MOST_EXTENSIONS {
            match next_header {
                AH => return Ok(Self { v6: true, headers_len, total_len }),
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {}
                _ => break,
            }
            let Some([next, len, ..]) = ip.bytes().get(headers_len..) else {
                return Err(DropReason::Truncated);
            };
            headers_len += 8 + 8 * usize::from(*len);
            next_header = *next;
        }
        Err(DropReason::Truncated)
    }
}

/// More fragments, or an offset.
pub(super) fn is_v4_fragment(packet: &[u8]) -> bool {
    let flags = packet.get(6..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    u16::from_be_bytes(flags) & 0x3fff != 0
}

/// The SPI of an IP packet that carries AH, by which its SA is found.
pub fn ah_spi(packet: &[u8]) -> Option<Spi> {
    let layout = Layout::find(packet).ok()?;
    Spi::of_packet(packet.get(layout.headers_len..layout.total_len)?.get(4..)?)
}
