//! ICMP (RFC 792) and ICMPv6 (RFC 4443) errors about a packet that could not be passed on.

use std::net::IpAddr;

use crate::checksum::{Checksum, pseudo_header};
use crate::ip::{IpPacket, protocol};

/// An error never exceeds IPv6's minimum MTU (RFC 4443 §2.4 c); IPv4's limit is lower.
pub const MAX_ERROR_LEN: usize = 1280;
/// RFC 1812 §4.3.2.3.
const MAX_ERROR_LEN_V4: usize = 576;
const ICMP_HEADER_LEN: usize = 8;
const HOP_LIMIT: u8 = 64;

/// What is wrong with the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IcmpError {
    /// Nobody has this destination.
    NoRoute,
    /// A policy of this node's lets it not pass (RFC 1812 §5.2.7.1: communication administratively prohibited).
    Prohibited,
    /// The packet exceeds the path's MTU, given in bytes (RFC 1191 §4, RFC 4443 §3.2).
    TooBig { mtu: u16 },
}

impl IcmpError {
    /// Type, code, and the 32 bits after the checksum.
    fn fields(self, v6: bool) -> (u8, u8, u32) {
        match (self, v6) {
            (Self::NoRoute, false) => (3, 0, 0),
            (Self::NoRoute, true) => (1, 0, 0),
            (Self::Prohibited, false) => (3, 13, 0),
            (Self::Prohibited, true) => (1, 1, 0),
            (Self::TooBig { mtu }, false) => (3, 4, mtu.into()),
            (Self::TooBig { mtu }, true) => (2, 0, mtu.into()),
        }
    }
}

/// Writes the error about `original` into `out` and returns its length; `None` where no error may be sent
/// (RFC 1122 §3.2.2, RFC 4443 §2.4 e) or it does not fit in `out` ([`MAX_ERROR_LEN`] bytes always suffice).
///
/// The error claims to come from the unreachable destination: the data plane owns no address, and that
/// source always passes the receiver's reverse-path filter, since the packet had left by this device.
pub fn write_error(original: &IpPacket<'_>, error: IcmpError, out: &mut [u8]) -> Option<usize> {
    if !may_answer(original) {
        return None;
    }
    match (original.destination(), original.source()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let quoted = quote(original, MAX_ERROR_LEN_V4 - 20 - ICMP_HEADER_LEN);
            let len = u16::try_from(20 + ICMP_HEADER_LEN + quoted.len()).ok()?;
            let [l0, l1] = len.to_be_bytes();
            let mut header = [0x45, 0, l0, l1, 0, 0, 0, 0, HOP_LIMIT, protocol::ICMP, 0, 0];
            let sum = Checksum::new().with(&header).with(&from.octets()).with(&to.octets()).finish();
            let [.., c0, c1] = &mut header;
            [*c0, *c1] = sum.to_be_bytes();
            let icmp = icmp_header(error.fields(false), Checksum::new(), quoted);
            write_all(out, &[&header, &from.octets(), &to.octets(), &icmp, quoted])
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let quoted = quote(original, MAX_ERROR_LEN - 40 - ICMP_HEADER_LEN);
            let payload_len = u16::try_from(ICMP_HEADER_LEN + quoted.len()).ok()?;
            let [l0, l1] = payload_len.to_be_bytes();
            let header = [0x60, 0, 0, 0, l0, l1, protocol::IPV6_ICMP, HOP_LIMIT];
            let pseudo = pseudo_header(from.into(), to.into(), protocol::IPV6_ICMP, payload_len.into());
            let icmp = icmp_header(error.fields(true), pseudo, quoted);
            write_all(out, &[&header, &from.octets(), &to.octets(), &icmp, quoted])
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

fn quote<'a>(original: &IpPacket<'a>, max: usize) -> &'a [u8] {
    let bytes = original.bytes();
    bytes.get(..max).unwrap_or(bytes)
}

fn icmp_header((kind, code, rest): (u8, u8, u32), start: Checksum, quoted: &[u8]) -> [u8; ICMP_HEADER_LEN] {
    let [r0, r1, r2, r3] = rest.to_be_bytes();
    let sum = start.with(&[kind, code, 0, 0, r0, r1, r2, r3]).with(quoted).finish();
    let [c0, c1] = sum.to_be_bytes();
    [kind, code, c0, c1, r0, r1, r2, r3]
}

fn write_all(out: &mut [u8], pieces: &[&[u8]]) -> Option<usize> {
    let mut rest = out;
    let mut len = 0;
    for piece in pieces {
        let (to, after) = rest.split_at_mut_checked(piece.len())?;
        to.copy_from_slice(piece);
        rest = after;
        len += piece.len();
    }
    Some(len)
}

fn may_answer(original: &IpPacket<'_>) -> bool {
    if original.is_later_fragment() || is_icmp_error(original) {
        return false;
    }
    let source_is_one_host = match original.source() {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_loopback())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast() || v6.is_loopback()),
    };
    let destination_is_one_host = match original.destination() {
        IpAddr::V4(v4) => !(v4.is_multicast() || v4.is_broadcast()),
        // Path MTU discovery for multicast is the exception (RFC 4443 §2.4 e.3), but the error's source
        // would be the group, which no host accepts.
        IpAddr::V6(v6) => !v6.is_multicast(),
    };
    source_is_one_host && destination_is_one_host
}

fn is_icmp_error(packet: &IpPacket<'_>) -> bool {
    match (packet.protocol(), packet.payload().first()) {
        // An ICMP message too short to show its type gets no answer either.
        (protocol::ICMP, kind) => !matches!(kind, Some(0 | 8..=10 | 13..=18 | 42 | 43)),
        (protocol::IPV6_ICMP, kind) => kind.is_none_or(|kind| *kind < 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn udp_v4(len: usize) -> Vec<u8> {
        let mut bytes =
            vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol::UDP, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2];
        bytes.resize(len, 7);
        bytes[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        bytes
    }

    fn udp_v6(len: usize) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, protocol::UDP, 64];
        bytes.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes.resize(len, 7);
        bytes[4..6].copy_from_slice(&u16::try_from(len - 40).unwrap().to_be_bytes());
        bytes
    }

    fn answer(original: &[u8], error: IcmpError) -> Option<Vec<u8>> {
        let mut out = vec![0; MAX_ERROR_LEN];
        let len = write_error(&IpPacket::parse(original).unwrap(), error, &mut out)?;
        out.truncate(len);
        Some(out)
    }

    #[test]
    fn fragmentation_needed_carries_the_mtu_and_quotes_the_packet() {
        let original = udp_v4(1500);
        let bytes = answer(&original, IcmpError::TooBig { mtu: 1420 }).unwrap();
        let error = IpPacket::parse(&bytes).unwrap();
        assert_eq!(bytes.len(), 576);
        assert_eq!(error.source(), Ipv4Addr::new(198, 51, 100, 2));
        assert_eq!(error.destination(), Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(error.payload()[..2], [3, 4]);
        assert_eq!(error.payload()[6..8], 1420u16.to_be_bytes());
        assert_eq!(error.payload()[8..], original[..548]);
        assert_eq!(Checksum::new().with(&bytes[..20]).finish(), 0);
        assert_eq!(Checksum::new().with(error.payload()).finish(), 0);
    }

    #[test]
    fn packet_too_big_fits_the_minimum_mtu_of_ipv6() {
        let original = udp_v6(1500);
        let bytes = answer(&original, IcmpError::TooBig { mtu: 1420 }).unwrap();
        let error = IpPacket::parse(&bytes).unwrap();
        assert_eq!(bytes.len(), 1280);
        assert_eq!(error.payload()[..2], [2, 0]);
        assert_eq!(error.payload()[4..8], 1420u32.to_be_bytes());
        let sum = pseudo_header(error.source(), error.destination(), protocol::IPV6_ICMP, 1240);
        assert_eq!(sum.with(error.payload()).finish(), 0);
    }

    #[test]
    fn a_short_packet_without_a_route_is_quoted_whole() {
        for original in [udp_v4(28), udp_v6(48)] {
            let bytes = answer(&original, IcmpError::NoRoute).unwrap();
            assert!(bytes.ends_with(&original));
        }
    }

    #[test]
    fn what_a_policy_forbids_is_told_apart_from_what_has_no_route() {
        let head = |bytes: &[u8], at: usize| [bytes[at], bytes[at + 1]];
        assert_eq!(head(&answer(&udp_v4(28), IcmpError::Prohibited).unwrap(), 20), [3, 13]);
        assert_eq!(head(&answer(&udp_v6(48), IcmpError::Prohibited).unwrap(), 40), [1, 1]);
    }

    #[test]
    fn errors_fragments_and_groups_get_no_answer() {
        let mut icmp_error = udp_v4(40);
        (icmp_error[9], icmp_error[20]) = (protocol::ICMP, 3);
        assert_eq!(answer(&icmp_error, IcmpError::NoRoute), None);
        let mut echo = icmp_error;
        echo[20] = 8;
        assert!(answer(&echo, IcmpError::NoRoute).is_some());
        let mut fragment = udp_v4(40);
        fragment[7] = 1;
        assert_eq!(answer(&fragment, IcmpError::NoRoute), None);
        let mut group = udp_v4(40);
        group[16] = 224;
        assert_eq!(answer(&group, IcmpError::NoRoute), None);
        let mut group = udp_v6(60);
        group[24] = 0xff;
        assert_eq!(answer(&group, IcmpError::NoRoute), None);
    }

    proptest! {
        #[test]
        fn an_error_is_always_a_whole_packet_and_never_answered_itself(
            len in 20usize..2000, v6 in any::<bool>(), filler in any::<u8>(), mtu in any::<u16>(),
        ) {
            let mut original = if v6 { udp_v6(len + 20) } else { udp_v4(len) };
            let header = if v6 { 40 } else { 20 };
            original[header..].fill(filler);
            for error in [IcmpError::NoRoute, IcmpError::TooBig { mtu }] {
                let bytes = answer(&original, error).unwrap();
                prop_assert_eq!(IpPacket::parse(&bytes).unwrap().bytes().len(), bytes.len());
                prop_assert_eq!(answer(&bytes, error), None);
            }
        }
    }
}
