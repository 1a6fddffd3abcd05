//! Where the headers of a TCP or UDP packet lie, behind IPv4 options and the extension headers of IPv6.

use std::net::IpAddr;

use crate::field::{chunk, u16_at};
use crate::{Checksum, IpPacket, Malformed, Segmented, protocol};

/// Those extension headers of IPv6 that change nothing in what the checksum covers. With a routing header it covers
/// another destination than the packet's.
const HOP_BY_HOP_OPTIONS: u8 = 0;
const DESTINATION_OPTIONS: u8 = 60;
/// Hop-by-hop options, destination options before a routing header and at the end (RFC 8200 §4.1).
const MAX_EXTENSIONS: usize = 3;
const MORE_FRAGMENTS_OR_OFFSET: u16 = 0x3fff;
const TCP_HEADER_LEN: usize = 20;
const UDP_HEADER_LEN: usize = 8;
/// Offsets within TCP's header.
pub(crate) mod tcp {
    pub(crate) const SEQUENCE: usize = 4;
    pub(crate) const ACKNOWLEDGMENT: usize = 8;
    pub(crate) const DATA_OFFSET: usize = 12;
    pub(crate) const FLAGS: usize = 13;
    pub(crate) const WINDOW: usize = 14;
    pub(crate) const CHECKSUM: usize = 16;
    pub(crate) const URGENT: usize = 18;
}
/// Flags of TCP (RFC 9293 §3.1).
pub(crate) mod flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
    pub(crate) const URG: u8 = 0x20;
    pub(crate) const CWR: u8 = 0x80;
}
/// Offsets within UDP's header.
pub(crate) mod udp {
    pub(crate) const LENGTH: usize = 4;
    pub(crate) const CHECKSUM: usize = 6;
}
/// Offsets within IPv4's header.
pub(crate) mod ipv4 {
    pub(crate) const TOTAL_LENGTH: usize = 2;
    pub(crate) const IDENTIFICATION: usize = 4;
    pub(crate) const FRAGMENT: usize = 6;
    pub(crate) const CHECKSUM: usize = 10;
    pub(crate) const ADDRESSES: usize = 12;
    pub(crate) const OPTIONS: usize = 20;
}
/// Offsets within IPv6's header.
pub(crate) mod ipv6 {
    pub(crate) const PAYLOAD_LENGTH: usize = 4;
    pub(crate) const NEXT_HEADER: usize = 6;
    pub(crate) const ADDRESSES: usize = 8;
    pub(crate) const HEADER_LEN: usize = 40;
}

/// Why a packet cannot be cut or joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHeaders {
    #[error(transparent)]
    Ip(#[from] Malformed),
    #[error("a fragment")]
    Fragment,
    #[error("protocol or extension header {0}")]
    Protocol(u8),
    #[error("{have} bytes where the headers need at least {need}")]
    Truncated { need: usize, have: usize },
    #[error("a TCP header of {0} bytes")]
    TcpHeaderLength(usize),
    #[error("a UDP length of {udp} where {actual} bytes are")]
    UdpLength { udp: u16, actual: usize },
}

/// A whole TCP or UDP packet, no fragment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// Offset of the transport header.
    pub(crate) transport: usize,
    pub(crate) kind: Segmented,
    pub(crate) is_ipv4: bool,
    /// IPv4 options or extension headers of IPv6.
    pub(crate) has_options: bool,
}

impl<'a> Layout<'a> {
    pub(crate) fn of(packet: &IpPacket<'a>) -> Result<Self, BadHeaders> {
        let bytes = packet.bytes();
        let is_ipv4 = matches!(packet.source(), IpAddr::V4(_));
        let (protocol, transport) =
            if is_ipv4 { transport_v4(packet)? } else { transport_v6(packet.protocol(), bytes)? };
        let (kind, len) = match protocol {
            protocol::TCP if is_ipv4 => (Segmented::Tcp4, tcp_header_len(bytes, transport)?),
            protocol::TCP => (Segmented::Tcp6, tcp_header_len(bytes, transport)?),
            protocol::UDP => (Segmented::Udp, udp_header_len(bytes, transport)?),
            other => return Err(BadHeaders::Protocol(other)),
        };
        let need = transport + len;
        let (headers, payload) =
            bytes.split_at_checked(need).ok_or(BadHeaders::Truncated { need, have: bytes.len() })?;
        let has_options = transport > if is_ipv4 { ipv4::OPTIONS } else { ipv6::HEADER_LEN };
        Ok(Self { headers, payload, transport, kind, is_ipv4, has_options })
    }

    /// Offset of the checksum's field within the transport header.
    pub(crate) fn checksum_offset(&self) -> usize {
        match self.kind {
            Segmented::Tcp4 | Segmented::Tcp6 => tcp::CHECKSUM,
            Segmented::Udp => udp::CHECKSUM,
        }
    }

    pub(crate) fn checksum(&self) -> u16 {
        u16_at(self.transport_header(), self.checksum_offset()).unwrap_or_default()
    }

    pub(crate) fn transport_header(&self) -> &'a [u8] {
        self.headers.get(self.transport..).unwrap_or_default()
    }

    /// TCP's flags; none for UDP.
    pub(crate) fn flags(&self) -> u8 {
        match self.kind {
            Segmented::Tcp4 | Segmented::Tcp6 => {
                self.transport_header().get(tcp::FLAGS).copied().unwrap_or_default()
            }
            Segmented::Udp => 0,
        }
    }

    /// The pseudo-header without its length.
    pub(crate) fn pseudo_header(&self) -> Checksum {
        let protocol = match self.kind {
            Segmented::Tcp4 | Segmented::Tcp6 => protocol::TCP,
            Segmented::Udp => protocol::UDP,
        };
        let sum = Checksum::new().with_u16(protocol.into());
        // Slices of a known length are summed without a loop.
        if self.is_ipv4 {
            chunk::<8>(self.headers, ipv4::ADDRESSES).map_or(sum, |addresses| sum.with(addresses))
        } else {
            chunk::<32>(self.headers, ipv6::ADDRESSES).map_or(sum, |addresses| sum.with(addresses))
        }
    }

    /// Length of the transport header and the payload, as the pseudo-header has it.
    pub(crate) fn transport_len(&self) -> usize {
        self.headers.len() - self.transport + self.payload.len()
    }

    /// What the checksum's field holds as long as the checksum is partial.
    pub(crate) fn partial_checksum(&self) -> u16 {
        self.pseudo_header().with_len(self.transport_len()).folded()
    }

    /// Whether its checksum is whole and right. Reads the payload.
    pub(crate) fn sum_is_right(&self) -> bool {
        let pseudo_header = self.pseudo_header().with_len(self.transport_len());
        pseudo_header.with(self.transport_header()).with(self.payload).finish() == 0
    }

    /// Whether its checksum can be a partial one on its way between two agents. What opens a connection always has a
    /// whole one, so that its MSS can be clamped.
    pub(crate) fn looks_partial(&self) -> bool {
        self.flags() & flag::SYN == 0 && self.checksum() == self.partial_checksum()
    }
}

fn transport_v4(packet: &IpPacket<'_>) -> Result<(u8, usize), BadHeaders> {
    let bytes = packet.bytes();
    match u16_at(bytes, ipv4::FRAGMENT) {
        Some(field) if field & MORE_FRAGMENTS_OR_OFFSET == 0 => {
            Ok((packet.protocol(), bytes.len() - packet.payload().len()))
        }
        _ => Err(BadHeaders::Fragment),
    }
}

fn transport_v6(mut next: u8, bytes: &[u8]) -> Result<(u8, usize), BadHeaders> {
    let mut at = ipv6::HEADER_LEN;
    for _ in 0..MAX_EXTENSIONS {
        match (next, at) {
            (DESTINATION_OPTIONS, _) | (HOP_BY_HOP_OPTIONS, ipv6::HEADER_LEN) => {
                let header = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
                let [after, len] =
                    *header.ok_or(BadHeaders::Truncated { need: at + 8, have: bytes.len() })?;
                next = after;
                at += (usize::from(len) + 1) * 8;
            }
            _ => break,
        }
    }
    Ok((next, at))
}

fn tcp_header_len(bytes: &[u8], at: usize) -> Result<usize, BadHeaders> {
    let need = at + TCP_HEADER_LEN;
    let offset = bytes.get(at + tcp::DATA_OFFSET).ok_or(BadHeaders::Truncated { need, have: bytes.len() })?;
    let len = usize::from(offset >> 4) * 4;
    if len < TCP_HEADER_LEN { Err(BadHeaders::TcpHeaderLength(len)) } else { Ok(len) }
}

fn udp_header_len(bytes: &[u8], at: usize) -> Result<usize, BadHeaders> {
    let need = at + UDP_HEADER_LEN;
    let udp = u16_at(bytes, at + udp::LENGTH).ok_or(BadHeaders::Truncated { need, have: bytes.len() })?;
    let actual = bytes.len() - at;
    if usize::from(udp) == actual { Ok(UDP_HEADER_LEN) } else { Err(BadHeaders::UdpLength { udp, actual }) }
}
