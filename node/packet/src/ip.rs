//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Numbers of the IANA protocol registry that the data plane looks at.
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6_ICMP: u8 = 58;
}

const IPV4_MIN_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;

/// Why bytes are no IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    #[error("no bytes")]
    Empty,
    #[error("IP version {0}")]
    Version(u8),
    #[error("{have} bytes where at least {need} are needed")]
    Truncated { need: usize, have: usize },
    #[error("a header of {0} bytes")]
    HeaderLength(usize),
    #[error("a total length of {0} bytes is less than the header")]
    TotalLength(usize),
}

/// A packet whose header and total length lie within the buffer. Bytes after the total length are not
/// part of it: WireGuard pads packets (whitepaper §5.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpPacket<'a> {
    bytes: &'a [u8],
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    header_len: usize,
    fragment_offset: u16,
}

impl<'a> IpPacket<'a> {
    /// Checks version, header length and total length against the buffer.
    pub fn parse(buffer: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_with(buffer, take)
    }

    /// Like [`Self::parse`], for a buffer that holds only the beginning of the packet; [`Self::bytes`] is then
    /// what there is.
    pub fn parse_truncated(buffer: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_with(buffer, |buffer, len| Ok(buffer.get(..len).unwrap_or(buffer)))
    }

    fn parse_with(
        buffer: &'a [u8],
        take: impl Fn(&'a [u8], usize) -> Result<&'a [u8], Malformed>,
    ) -> Result<Self, Malformed> {
        match buffer.first().ok_or(Malformed::Empty)? >> 4 {
            4 => Self::parse_v4(buffer, take),
            6 => Self::parse_v6(buffer, take),
            version => Err(Malformed::Version(version)),
        }
    }

    fn parse_v4(
        buffer: &'a [u8],
        take: impl Fn(&'a [u8], usize) -> Result<&'a [u8], Malformed>,
    ) -> Result<Self, Malformed> {
        let header = head::<IPV4_MIN_HEADER_LEN>(buffer)?;
        let [version_ihl, _, l0, l1, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
            *header;
        let header_len = usize::from(version_ihl & 0x0f) * 4;
        if header_len < IPV4_MIN_HEADER_LEN {
            return Err(Malformed::HeaderLength(header_len));
        }
        let total_len = usize::from(u16::from_be_bytes([l0, l1]));
        if total_len < header_len {
            return Err(Malformed::TotalLength(total_len));
        }
        Ok(Self {
            bytes: take(buffer, total_len)?,
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
            protocol,
            header_len,
            fragment_offset: u16::from_be_bytes([f0, f1]) & 0x1fff,
        })
    }

    fn parse_v6(
        buffer: &'a [u8],
        take: impl Fn(&'a [u8], usize) -> Result<&'a [u8], Malformed>,
    ) -> Result<Self, Malformed> {
        let header = head::<IPV6_HEADER_LEN>(buffer)?;
        let [_, _, _, _, l0, l1, next_header, _, addresses @ ..] = header;
        let (source, destination) = addresses.split_at(16);
        let address = |octets: &[u8]| {
            Ipv6Addr::from(<[u8; 16]>::try_from(octets).expect("32 bytes split in the middle are 16 and 16"))
        };
        Ok(Self {
            bytes: take(buffer, IPV6_HEADER_LEN + usize::from(u16::from_be_bytes([*l0, *l1])))?,
            source: address(source).into(),
            destination: address(destination).into(),
            protocol: *next_header,
            header_len: IPV6_HEADER_LEN,
            fragment_offset: 0,
        })
    }

    pub const fn source(&self) -> IpAddr {
        self.source
    }

    pub const fn destination(&self) -> IpAddr {
        self.destination
    }

    /// IPv4's protocol field, or the next header of IPv6's fixed header.
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The packet, exactly its total length.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes after the IP header; in IPv6 they begin with any extension headers.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len..).unwrap_or_default()
    }

    /// True for IPv4 fragments but the first: their payload begins with no transport header.
    pub const fn is_later_fragment(&self) -> bool {
        self.fragment_offset != 0
    }
}

fn head<const N: usize>(buffer: &[u8]) -> Result<&[u8; N], Malformed> {
    buffer.first_chunk().ok_or(Malformed::Truncated { need: N, have: buffer.len() })
}

fn take(buffer: &[u8], len: usize) -> Result<&[u8], Malformed> {
    buffer.get(..len).ok_or(Malformed::Truncated { need: len, have: buffer.len() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v4(payload: &[u8]) -> Vec<u8> {
        let mut bytes =
            vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol::UDP, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2];
        bytes[2..4].copy_from_slice(&u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn v6(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, protocol::TCP, 64];
        bytes[4..6].copy_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn both_families_give_addresses_protocol_and_payload() {
        let bytes = v4(b"hello");
        let packet = IpPacket::parse(&bytes).unwrap();
        assert_eq!(packet.source(), "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(packet.destination(), "198.51.100.2".parse::<IpAddr>().unwrap());
        assert_eq!((packet.protocol(), packet.payload()), (protocol::UDP, b"hello".as_slice()));

        let bytes = v6(b"hello");
        let packet = IpPacket::parse(&bytes).unwrap();
        assert_eq!(packet.source(), "2001:db8::1".parse::<IpAddr>().unwrap());
        assert_eq!(packet.destination(), "2001:db8::2".parse::<IpAddr>().unwrap());
        assert_eq!((packet.protocol(), packet.payload()), (protocol::TCP, b"hello".as_slice()));
    }

    #[test]
    fn bytes_after_the_total_length_are_cut_off() {
        for bytes in [v4(b"hello"), v6(b"hello")] {
            let padded = [bytes.as_slice(), &[0; 11]].concat();
            assert_eq!(IpPacket::parse(&padded).unwrap().bytes(), bytes);
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        for bytes in [v4(b"hello"), v6(b"hello")] {
            for len in 0..bytes.len() {
                assert!(IpPacket::parse(&bytes[..len]).is_err(), "{len} bytes");
            }
        }
    }

    #[test]
    fn the_head_of_a_packet_can_be_read_where_that_is_wanted() {
        for (bytes, header) in [(v4(b"hello"), 20), (v6(b"hello"), 40)] {
            for len in 0..bytes.len() {
                let parsed = IpPacket::parse_truncated(&bytes[..len]);
                assert_eq!(parsed.is_ok(), len >= header, "{len} bytes");
                assert!(parsed.is_ok_and(|packet| packet.bytes().len() == len) || len < header);
            }
        }
    }

    #[test]
    fn lengths_that_contradict_the_header_are_refused() {
        let mut bytes = v4(b"");
        bytes[3] = 19;
        assert_eq!(IpPacket::parse(&bytes), Err(Malformed::TotalLength(19)));
        bytes[0] = 0x44;
        assert_eq!(IpPacket::parse(&bytes), Err(Malformed::HeaderLength(16)));
        bytes[0] = 0x75;
        assert_eq!(IpPacket::parse(&bytes), Err(Malformed::Version(7)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused_without_a_panic(
            first in prop_oneof![0x40u8..0x50, 0x60u8..0x70, any::<u8>()],
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = [&[first], rest.as_slice()].concat();
            if let Ok(packet) = IpPacket::parse(&bytes) {
                prop_assert!(packet.bytes().len() <= bytes.len());
                prop_assert!(packet.payload().len() < packet.bytes().len());
            }
        }

        #[test]
        fn what_was_built_is_what_is_read(payload in prop::collection::vec(any::<u8>(), 0..1400)) {
            for bytes in [v4(&payload), v6(&payload)] {
                let packet = IpPacket::parse(&bytes).unwrap();
                prop_assert_eq!(packet.payload(), payload.as_slice());
            }
        }
    }
}
