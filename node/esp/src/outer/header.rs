//! Outer headers for callers that send raw packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use twinmesh_packet::{Checksum, protocol, pseudo_header};

use super::{Copied, FLOW_LABEL_MASK};
use crate::reason::SealError;

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;
const UDP_HEADER_LEN: usize = 8;

/// An IP header without options or extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OuterHeader {
    pub source: IpAddr,
    /// Of the same family.
    pub destination: IpAddr,
    /// 50 for ESP, 51 for AH, 17 where UDP carries it.
    pub protocol: u8,
    /// IPv4's; need be unique only where the packet may be fragmented (RFC 6864 §4).
    pub identification: u16,
    pub copied: Copied,
}

impl OuterHeader {
    /// 20 or 40 bytes.
    pub const fn header_len(&self) -> usize {
        match self.destination {
            IpAddr::V4(_) => IPV4_HEADER_LEN,
            IpAddr::V6(_) => IPV6_HEADER_LEN,
        }
    }
}

/// Writes the header of a packet with `payload_len` bytes after it to the front of `out`, and returns its
/// length.
pub fn write_ip_header(header: &OuterHeader, payload_len: usize, out: &mut [u8]) -> Result<usize, SealError> {
    match (header.source, header.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            write_v4(header, source, destination, payload_len, out)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            write_v6(header, source, destination, payload_len, out)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(SealError::Malformed),
    }
}

fn write_v4(
    header: &OuterHeader,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload_len: usize,
    out: &mut [u8],
) -> Result<usize, SealError> {
    let total_len = u16::try_from(IPV4_HEADER_LEN + payload_len).map_err(|_| SealError::Malformed)?;
    let [l0, l1] = total_len.to_be_bytes();
    let [i0, i1] = header.identification.to_be_bytes();
    let flags = if header.copied.df { 0x40 } else { 0 };
    let [s0, s1, s2, s3] = source.octets();
    let [d0, d1, d2, d3] = destination.octets();
    let Copied { traffic_class, hop_limit, .. } = header.copied;
    let fields = |[c0, c1]: [u8; 2]| {
        let protocol = header.protocol;
        [
            0x45,
            traffic_class,
            l0,
            l1,
            i0,
            i1,
            flags,
            0,
            hop_limit,
            protocol,
            c0,
            c1,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ]
    };
    let sum = Checksum::new().with(&fields([0; 2])).finish();
    *out.first_chunk_mut().ok_or(SealError::BufferTooShort)? = fields(sum.to_be_bytes());
    Ok(IPV4_HEADER_LEN)
}

fn write_v6(
    header: &OuterHeader,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    payload_len: usize,
    out: &mut [u8],
) -> Result<usize, SealError> {
    let [l0, l1] = u16::try_from(payload_len).map_err(|_| SealError::Malformed)?.to_be_bytes();
    let first =
        6 << 28 | u32::from(header.copied.traffic_class) << 20 | header.copied.flow_label & FLOW_LABEL_MASK;
    let [b0, b1, b2, b3] = first.to_be_bytes();
    let (fixed, addresses) = out.split_first_chunk_mut().ok_or(SealError::BufferTooShort)?;
    let (to_source, rest) = addresses.split_first_chunk_mut().ok_or(SealError::BufferTooShort)?;
    let to_destination = rest.first_chunk_mut().ok_or(SealError::BufferTooShort)?;
    *fixed = [b0, b1, b2, b3, l0, l1, header.protocol, header.copied.hop_limit];
    *to_source = source.octets();
    *to_destination = destination.octets();
    Ok(IPV6_HEADER_LEN)
}

/// Writes the UDP header (RFC 3948 §2.1) into the first 8 bytes of `datagram`, whose rest is the ESP packet.
/// The checksum is 0 over IPv4, since ESP's ICV does better; an IPv6 host drops 0 unless told otherwise
/// (RFC 8200 §8.1, RFC 6936), so there it is computed.
pub fn write_udp_header(
    source: SocketAddr,
    destination: SocketAddr,
    datagram: &mut [u8],
) -> Result<(), SealError> {
    let len = u16::try_from(datagram.len()).map_err(|_| SealError::Malformed)?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(SealError::Malformed);
    }
    let (header, payload) =
        datagram.split_first_chunk_mut::<UDP_HEADER_LEN>().ok_or(SealError::BufferTooShort)?;
    let [s0, s1] = source.port().to_be_bytes();
    let [d0, d1] = destination.port().to_be_bytes();
    let [l0, l1] = len.to_be_bytes();
    *header = [s0, s1, d0, d1, l0, l1, 0, 0];
    if source.is_ipv6() {
        let sum = pseudo_header(source.ip(), destination.ip(), protocol::UDP, len.into())
            .with(&*header)
            .with(payload)
            .finish();
        // 0 says "no checksum", and its other form means the same sum (RFC 768).
        let sum = if sum == 0 { 0xffff } else { sum };
        let [.., c0, c1] = header;
        [*c0, *c1] = sum.to_be_bytes();
    }
    Ok(())
}
