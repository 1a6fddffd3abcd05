//! Transport mode through a NAT: checksums that still speak of the sender's own address.
//!
//! The NAT rewrites the IP header but cannot reach the TCP or UDP checksum inside ESP, which covers the
//! addresses. IKE has told both ends the original ones (RFC 7296 §2.23.1, RFC 3948 §3.1.2).

use std::net::IpAddr;

use twinmesh_packet::{Checksum, protocol};

use crate::reason::DropReason;

const DCCP: u8 = 33;
const UDP_LITE: u8 = 136;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION_OPTIONS: u8 = 60;
/// Extension headers that may stand before the transport header; RFC 8200 §4.1 knows of fewer.
const MOST_EXTENSIONS: usize = 8;

/// What the sender wrote into its header, before any NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginalAddresses {
    pub source: IpAddr,
    pub destination: IpAddr,
}

/// Makes the checksum of `payload`, just decrypted, fit the addresses `now_in_header` (source and
/// destination) of the IP packet in which it will be handed on. It is changed by the difference, never
/// computed afresh, so that a payload that was damaged before it was sealed stays recognisable (RFC 3948
/// §3.1.2).
///
/// Protocols without a pseudo-header are left as they are. An error means that the transport header is cut
/// off.
pub fn repair_checksum(
    payload: &mut [u8],
    next_header: u8,
    original: OriginalAddresses,
    now_in_header: (IpAddr, IpAddr),
) -> Result<(), DropReason> {
    if (original.source, original.destination) == now_in_header {
        return Ok(());
    }
    let (transport, next_header) = after_extensions(payload, next_header)?;
    let Some(kind) = ChecksumField::of(next_header, now_in_header) else {
        return Ok(());
    };
    let field = transport
        .get_mut(kind.offset..)
        .and_then(|bytes| bytes.first_chunk_mut::<2>())
        .ok_or(DropReason::InnerMalformed)?;
    if kind.zero_is_none && *field == [0; 2] {
        return Ok(());
    }
    // RFC 1624 §3, equation 3: HC' = ~(~HC + ~m + m').
    let sum = Checksum::new().with(&field.map(|byte| !byte));
    let sum = without(without(sum, original.source), original.destination);
    let sum = with(with(sum, now_in_header.0), now_in_header.1).finish();
    let sum = if kind.zero_is_none && sum == 0 { 0xffff } else { sum };
    *field = sum.to_be_bytes();
    Ok(())
}

struct ChecksumField {
    offset: usize,
    /// UDP: 0 stands for "not computed" (RFC 768); over IPv6 too, where both ends have agreed (RFC 6935).
    zero_is_none: bool,
}

impl ChecksumField {
    fn of(next_header: u8, (source, _): (IpAddr, IpAddr)) -> Option<Self> {
        let (offset, zero_is_none) = match next_header {
            protocol::TCP => (16, false),
            protocol::UDP | UDP_LITE => (6, true),
            DCCP => (6, false),
            // ICMP of IPv4 has no pseudo-header.
            protocol::IPV6_ICMP if source.is_ipv6() => (2, false),
            _ => return None,
        };
        Some(Self { offset, zero_is_none })
    }
}

fn after_extensions(mut payload: &mut [u8], mut next_header: u8) -> Result<(&mut [u8], u8), DropReason> {
    for _ in 0..MOST_EXTENSIONS {
        if !matches!(next_header, HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS) {
            return Ok((payload, next_header));
        }
        let [next, len, ..] = payload else {
            return Err(DropReason::InnerMalformed);
        };
        next_header = *next;
        let len = 8 + 8 * usize::from(*len);
        payload = payload.get_mut(len..).ok_or(DropReason::InnerMalformed)?;
    }
    Err(DropReason::InnerMalformed)
}

fn with(sum: Checksum, address: IpAddr) -> Checksum {
    match address {
        IpAddr::V4(v4) => sum.with(&v4.octets()),
        IpAddr::V6(v6) => sum.with(&v6.octets()),
    }
}

fn without(sum: Checksum, address: IpAddr) -> Checksum {
    match address {
        IpAddr::V4(v4) => sum.with(&v4.octets().map(|byte| !byte)),
        IpAddr::V6(v6) => sum.with(&v6.octets().map(|byte| !byte)),
    }
}
