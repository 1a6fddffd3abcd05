//! Transport mode: what of an IP packet stays outside ESP, and how the packet is put together again
//! (RFC 4303 §3.1.1).

use twinmesh_packet::{Checksum, IpPacket};

use crate::reason::SealError;

/// Next header numbers of IPv6's extension headers (RFC 8200 §4).
mod extension {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
}

/// RFC 8200 §4.1 knows of fewer before the fragment header.
const MOST_EXTENSIONS: usize = 8;

const IPV6_HEADER_LEN: usize = 40;
/// Offset of IPv6's next header field.
const IPV6_NEXT_HEADER: usize = 6;
/// Offset of IPv4's protocol field.
const IPV4_PROTOCOL: usize = 9;

/// Where an IP packet is cut: the headers that routers read stay outside, ESP goes behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportHeader {
    /// Bytes that stay outside: the IP header, and in IPv6 the extension headers up to the routing header, or
    /// else up to hop-by-hop options.
    pub header_len: usize,
    /// What follows them.
    pub next_header: u8,
    /// Where the headers say so: the byte that names ESP (50) or UDP (17) once the packet is protected.
    pub next_header_offset: usize,
}

/// Cuts a whole IP packet. Fragments are refused: transport mode takes whole datagrams only (RFC 4303 §3.3.4).
///
/// A received packet can be cut too, its next header then being ESP or UDP.
pub fn split_transport(packet: &[u8]) -> Result<TransportHeader, SealError> {
    let packet = IpPacket::parse(packet).map_err(|_| SealError::Malformed)?;
    let header_len = packet.bytes().len() - packet.payload().len();
    if packet.source().is_ipv6() {
        return split_v6(packet.bytes(), packet.protocol());
    }
    match packet.bytes() {
        // More fragments, or an offset.
        [_, _, _, _, _, _, f0, f1, ..] if u16::from_be_bytes([*f0, *f1]) & 0x3fff != 0 => {
            Err(SealError::Fragment)
        }
        _ => Ok(TransportHeader {
            header_len,
            next_header: packet.protocol(),
            next_header_offset: IPV4_PROTOCOL,
        }),
    }
}

fn split_v6(packet: &[u8], first: u8) -> Result<TransportHeader, SealError> {
    let mut here = TransportHeader {
        header_len: IPV6_HEADER_LEN,
        next_header: first,
        next_header_offset: IPV6_NEXT_HEADER,
    };
    // Destination options stay outside only if a routing header comes after them (RFC 8200 §4.1).
    let mut outside = here;
    for _ in 0..MOST_EXTENSIONS {
        let kind = here.next_header;
        match kind {
            extension::FRAGMENT => return Err(SealError::Fragment),
            extension::HOP_BY_HOP | extension::ROUTING | extension::DESTINATION_OPTIONS => {}
            _ => break,
        }
        here = here.after_extension(packet).ok_or(SealError::Malformed)?;
        if kind != extension::DESTINATION_OPTIONS {
            outside = here;
        }
    }
    Ok(outside)
}

impl TransportHeader {
    /// Past the extension header that begins at `header_len`, if `bytes` holds all of it.
    fn after_extension(self, bytes: &[u8]) -> Option<Self> {
        let [next_header, len, ..] = bytes.get(self.header_len..)? else {
            return None;
        };
        let header_len = self.header_len + 8 * (usize::from(*len) + 1);
        (header_len <= bytes.len()).then_some(Self {
            header_len,
            next_header: *next_header,
            next_header_offset: self.header_len,
        })
    }
}

/// Makes `header`, the part outside ESP and nothing more, fit a payload of `payload_len` bytes behind it:
/// its lengths, its last next header field, and IPv4's checksum.
///
/// `None`, and nothing changed, if it is no such header or the packet would be too long for IP.
pub fn rewrite_header(header: &mut [u8], next_header: u8, payload_len: usize) -> Option<()> {
    match header.first()? >> 4 {
        4 => rewrite_v4(header, next_header, payload_len),
        6 => rewrite_v6(header, next_header, payload_len),
        _ => None,
    }
}

fn rewrite_v4(header: &mut [u8], next_header: u8, payload_len: usize) -> Option<()> {
    let total = u16::try_from(header.len().checked_add(payload_len)?).ok()?;
    let whole = header.len();
    let [ihl, _, l0, l1, _, _, _, _, _, protocol, c0, c1, ..] = header else {
        return None;
    };
    if usize::from(*ihl & 0x0f) * 4 != whole || whole < 20 {
        return None;
    }
    [*l0, *l1] = total.to_be_bytes();
    *protocol = next_header;
    [*c0, *c1] = [0, 0];
    let sum = Checksum::new().with(header).finish().to_be_bytes();
    header.get_mut(10..12)?.copy_from_slice(&sum);
    Some(())
}

fn rewrite_v6(header: &mut [u8], next_header: u8, payload_len: usize) -> Option<()> {
    let extensions = header.len().checked_sub(IPV6_HEADER_LEN)?;
    let length = u16::try_from(extensions.checked_add(payload_len)?).ok()?.to_be_bytes();
    let mut last = TransportHeader {
        header_len: IPV6_HEADER_LEN,
        next_header: *header.get(IPV6_NEXT_HEADER)?,
        next_header_offset: IPV6_NEXT_HEADER,
    };
    for _ in 0..MOST_EXTENSIONS {
        if last.header_len == header.len() {
            break;
        }
        last = last.after_extension(header)?;
    }
    if last.header_len != header.len() {
        return None;
    }
    *header.get_mut(last.next_header_offset)? = next_header;
    header.get_mut(4..6)?.copy_from_slice(&length);
    Some(())
}

/// Writes the packet that was meant, from the headers that came outside ESP and the payload that was inside,
/// and returns its length. `None` if it does not fit in `out`, or [`rewrite_header`] refuses.
pub fn write_transport_packet(
    header: &[u8],
    next_header: u8,
    payload: &[u8],
    out: &mut [u8],
) -> Option<usize> {
    let (to, rest) = out.split_at_mut_checked(header.len())?;
    to.copy_from_slice(header);
    rewrite_header(to, next_header, payload.len())?;
    rest.get_mut(..payload.len())?.copy_from_slice(payload);
    Some(header.len() + payload.len())
}

#[cfg(test)]
mod tests;
