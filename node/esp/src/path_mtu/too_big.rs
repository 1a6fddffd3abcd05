//! ICMP errors that say one of our outer packets was too big for a link.

use std::net::IpAddr;

use twinmesh_packet::{Checksum, IpPacket, protocol, pseudo_header};

use crate::spi::Spi;

const ESP: u8 = 50;
const AH: u8 = 51;
const FRAGMENT: u8 = 44;
/// Hop-by-hop options, routing, destination options.
const EXTENSIONS: [u8; 3] = [0, 43, 60];
const MOST_EXTENSIONS: usize = 8;

/// A router's report. Anybody can forge one: it counts only if the addresses, ports and SPI quoted are those
/// of an SA in use (RFC 4301 §8.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooBig {
    /// Of the link, in bytes of outer packet; 0 if the router does not say (RFC 1191 §4).
    pub mtu: u16,
    /// Of the packet quoted: our address and the peer's.
    pub source: IpAddr,
    pub destination: IpAddr,
    /// Of the UDP header that encapsulates, if one does.
    pub ports: Option<(u16, u16)>,
    /// `None` where the router quotes too little: RFC 792 has it quote 8 bytes, which is all of the UDP
    /// header. Over UDP, what is read as an SPI may be the beginning of another protocol's message.
    pub spi: Option<Spi>,
}

/// Reads an IPv4 or IPv6 packet that carries the error; `None` for anything else.
pub fn parse_too_big(packet: &[u8]) -> Option<TooBig> {
    let packet = IpPacket::parse(packet).ok()?;
    if packet.is_later_fragment() {
        return None;
    }
    let message = packet.payload();
    match (packet.destination(), packet.protocol()) {
        (IpAddr::V4(_), protocol::ICMP) => parse_v4(message),
        (IpAddr::V6(_), protocol::IPV6_ICMP) => {
            let len = u32::try_from(message.len()).ok()?;
            let sum = pseudo_header(packet.source(), packet.destination(), protocol::IPV6_ICMP, len);
            (sum.with(message).finish() == 0).then(|| parse_too_big_v6(message))?
        }
        _ => None,
    }
}

/// Reads an ICMPv6 message without its IP header, as a raw socket yields it, its checksum verified by the
/// kernel.
pub fn parse_too_big_v6(message: &[u8]) -> Option<TooBig> {
    // RFC 4443 §3.2: the code is ignored by the receiver.
    let ([2, _, _, _, mtu @ ..], quoted) = message.split_first_chunk::<8>()? else {
        return None;
    };
    let mtu = u16::try_from(u32::from_be_bytes(*mtu)).unwrap_or(u16::MAX);
    let quoted = IpPacket::parse_truncated(quoted).ok().filter(|quoted| quoted.source().is_ipv6())?;
    let (next_header, payload) = after_extensions(quoted.protocol(), quoted.payload())?;
    Some(read(mtu, &quoted, next_header, payload))
}

fn parse_v4(message: &[u8]) -> Option<TooBig> {
    // RFC 792: type 3, code 4; RFC 1191 §4: the MTU is in the lower half of the second word.
    let ([3, 4, _, _, _, _, m0, m1], quoted) = message.split_first_chunk::<8>()? else {
        return None;
    };
    if Checksum::new().with(message).finish() != 0 {
        return None;
    }
    let quoted = IpPacket::parse_truncated(quoted).ok().filter(|quoted| quoted.source().is_ipv4())?;
    let payload = if quoted.is_later_fragment() { &[] } else { quoted.payload() };
    Some(read(u16::from_be_bytes([*m0, *m1]), &quoted, quoted.protocol(), payload))
}

fn read(mtu: u16, quoted: &IpPacket<'_>, next_header: u8, payload: &[u8]) -> TooBig {
    let (ports, spi) = match (next_header, payload) {
        (ESP, _) => (None, Spi::of_packet(payload)),
        (AH, [_, _, _, _, rest @ ..]) => (None, Spi::of_packet(rest)),
        (protocol::UDP, [s0, s1, d0, d1, _, _, _, _, rest @ ..]) => {
            let ports = (u16::from_be_bytes([*s0, *s1]), u16::from_be_bytes([*d0, *d1]));
            (Some(ports), Spi::of_packet(rest))
        }
        _ => (None, None),
    };
    TooBig { mtu, source: quoted.source(), destination: quoted.destination(), ports, spi }
}

/// The header that follows those which may precede ESP, and its bytes: none if they are not quoted.
fn after_extensions(mut next_header: u8, mut payload: &[u8]) -> Option<(u8, &[u8])> {
    for _ in 0..MOST_EXTENSIONS {
        let len = match (next_header, payload) {
            (FRAGMENT, [_, _, o0, o1, ..]) if u16::from_be_bytes([*o0, *o1]) >> 3 != 0 => {
                return Some((FRAGMENT, &[]));
            }
            (FRAGMENT, _) => 8,
            (kind, [_, len, ..]) if EXTENSIONS.contains(&kind) => 8 + 8 * usize::from(*len),
            _ => return Some((next_header, payload)),
        };
        next_header = *payload.first()?;
        payload = payload.get(len..).unwrap_or_default();
    }
    None
}
