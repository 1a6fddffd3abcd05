//! What selectors look at in a packet.

use std::net::IpAddr;

use twinmesh_packet::{IpPacket, Malformed, protocol};

/// Extension headers that are passed over to find the next layer (RFC 4301 §4.4.1.1), and those that have ports.
mod number {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const DCCP: u8 = 33;
    pub(super) const SCTP: u8 = 132;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const UDP_LITE: u8 = 136;
}

/// More extension headers than any real packet has: what lies behind is opaque.
const MAX_EXTENSION_HEADERS: usize = 8;

/// Addresses, protocol and ports of a packet, in its own direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// Behind the IPv6 extension headers.
    pub protocol: u8,
    pub ports: Ports,
}

/// What stands in for ports (RFC 4301 §4.4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ports {
    /// TCP, UDP, SCTP, DCCP, UDP-Lite.
    Pair { source: u16, destination: u16 },
    /// ICMP and ICMPv6.
    Icmp { kind: u8, code: u8 },
    /// Type of a Mobile IPv6 message.
    Mobility { kind: u8 },
    /// None to be seen: a later fragment, a protocol without ports, a header cut short.
    Opaque,
}

/// One port as a selector compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Seen(u16),
    Opaque,
}

impl Flow {
    /// Of a whole IP packet. Bytes after its total length are ignored.
    pub fn of_packet(packet: &[u8]) -> Result<Self, Malformed> {
        let packet = IpPacket::parse(packet)?;
        let (source, destination) = (packet.source(), packet.destination());
        let (protocol, ports) = match source {
            IpAddr::V4(_) if packet.is_later_fragment() => (packet.protocol(), Ports::Opaque),
            IpAddr::V4(_) => (packet.protocol(), Ports::of_payload(packet.protocol(), packet.payload())),
            IpAddr::V6(_) => walk(packet.protocol(), packet.payload())?,
        };
        Ok(Self { source, destination, protocol, ports })
    }

    /// Of the payload that transport mode carries, between addresses of the outer header.
    pub fn of_payload(
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        payload: &[u8],
    ) -> Result<Self, Malformed> {
        let (protocol, ports) = match source {
            IpAddr::V4(_) => (protocol, Ports::of_payload(protocol, payload)),
            IpAddr::V6(_) => walk(protocol, payload)?,
        };
        Ok(Self { source, destination, protocol, ports })
    }

    /// Of the answers. An ICMP type stays as it is.
    #[must_use]
    pub const fn reversed(&self) -> Self {
        let ports = match self.ports {
            Ports::Pair { source, destination } => Ports::Pair { source: destination, destination: source },
            ports @ (Ports::Icmp { .. } | Ports::Mobility { .. } | Ports::Opaque) => ports,
        };
        Self { source: self.destination, destination: self.source, protocol: self.protocol, ports }
    }

    /// What the selectors of source and destination compare. A message type belongs to the sender's side and says
    /// nothing about the receiver's (RFC 4301 §4.4.1.3): `None`.
    pub(crate) const fn selected_ports(&self) -> (Port, Option<Port>) {
        match self.ports {
            Ports::Pair { source, destination } => (Port::Seen(source), Some(Port::Seen(destination))),
            Ports::Icmp { kind, code } => (Port::Seen(u16::from_be_bytes([kind, code])), None),
            Ports::Mobility { kind } => (Port::Seen(u16::from_be_bytes([kind, 0])), None),
            Ports::Opaque => (Port::Opaque, Some(Port::Opaque)),
        }
    }
}

impl Ports {
    fn of_payload(protocol: u8, payload: &[u8]) -> Self {
        match (protocol, payload) {
            (
                protocol::TCP | protocol::UDP | number::DCCP | number::SCTP | number::UDP_LITE,
                [s0, s1, d0, d1, ..],
            ) => Self::Pair {
                source: u16::from_be_bytes([*s0, *s1]),
                destination: u16::from_be_bytes([*d0, *d1]),
            },
            (protocol::ICMP | protocol::IPV6_ICMP, [kind, code, ..]) => {
                Self::Icmp { kind: *kind, code: *code }
            }
            // RFC 6275 §6.1.1: payload protocol, length, type.
            (number::MOBILITY, [_, _, kind, ..]) => Self::Mobility { kind: *kind },
            _ => Self::Opaque,
        }
    }
}

/// Follows IPv6 extension headers to the next layer. A later fragment ends the walk: what its data begins with is
/// unknown, its protocol is what the fragment header says.
fn walk(mut next_header: u8, mut rest: &[u8]) -> Result<(u8, Ports), Malformed> {
    for _ in 0..MAX_EXTENSION_HEADERS {
        let len = match (next_header, rest) {
            (number::HOP_BY_HOP | number::ROUTING | number::DESTINATION_OPTIONS, [_, len, ..]) => {
                8 * (usize::from(*len) + 1)
            }
            (number::FRAGMENT, [next, _, offset_high, offset_low, ..]) => {
                if u16::from_be_bytes([*offset_high, *offset_low]) & !7 != 0 {
                    return Ok((*next, Ports::Opaque));
                }
                8
            }
            (number::HOP_BY_HOP | number::ROUTING | number::DESTINATION_OPTIONS | number::FRAGMENT, _) => 8,
            _ => return Ok((next_header, Ports::of_payload(next_header, rest))),
        };
        let (header, after) =
            rest.split_at_checked(len).ok_or(Malformed::Truncated { need: len, have: rest.len() })?;
        next_header = *header.first().ok_or(Malformed::Empty)?;
        rest = after;
    }
    Ok((next_header, Ports::Opaque))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    fn v4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2];
        bytes[2..4].copy_from_slice(&u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
        bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, next_header, 64];
        bytes[4..6].copy_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend(payload);
        bytes
    }

    fn seen(packet: &[u8]) -> (u8, Ports) {
        let flow = Flow::of_packet(packet).unwrap();
        (flow.protocol, flow.ports)
    }

    const PORTS: [u8; 8] = [0x13, 0x88, 0x01, 0xbb, 0, 0, 0, 0];
    const PAIR: Ports = Ports::Pair { source: 5000, destination: 443 };

    #[test]
    fn ports_types_and_codes_are_read_by_protocol() {
        assert_eq!(seen(&v4(6, 0, &PORTS)), (6, PAIR));
        assert_eq!(seen(&v6(17, &PORTS)), (17, PAIR));
        assert_eq!(seen(&v6(132, &PORTS)), (132, PAIR));
        assert_eq!(seen(&v4(1, 0, &[3, 4, 0, 0])), (1, Ports::Icmp { kind: 3, code: 4 }));
        assert_eq!(seen(&v6(58, &[128, 0, 0, 0])), (58, Ports::Icmp { kind: 128, code: 0 }));
        assert_eq!(seen(&v6(135, &[59, 0, 5, 0])), (135, Ports::Mobility { kind: 5 }));
        assert_eq!(seen(&v4(47, 0, &PORTS)), (47, Ports::Opaque));
    }

    #[test]
    fn extension_headers_are_passed_over() {
        let chain = [
            &[number::ROUTING, 0, 0, 0, 0, 0, 0, 0][..],
            &[number::DESTINATION_OPTIONS, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[number::FRAGMENT, 0, 0, 0, 0, 0, 0, 0],
            &[6, 0, 0, 1, 0, 0, 0, 9],
            &PORTS,
        ]
        .concat();
        assert_eq!(seen(&v6(number::HOP_BY_HOP, &chain)), (6, PAIR));
    }

    #[test]
    fn a_later_fragment_shows_its_protocol_and_no_ports() {
        assert_eq!(seen(&v4(6, 0x2000, &PORTS)), (6, PAIR), "the first one shows them");
        assert_eq!(seen(&v4(6, 0x2001, &PORTS)), (6, Ports::Opaque));
        let fragment = [&[17, 0, 0, 9, 0, 0, 0, 9][..], &PORTS].concat();
        assert_eq!(seen(&v6(number::FRAGMENT, &fragment)), (17, Ports::Opaque));
    }

    #[test]
    fn a_transport_header_cut_short_is_opaque() {
        assert_eq!(seen(&v4(17, 0x2000, &PORTS[..3])), (17, Ports::Opaque));
        assert_eq!(seen(&v6(58, &[128])), (58, Ports::Opaque));
    }

    #[test]
    fn an_extension_header_cut_short_is_malformed() {
        for payload in [&[][..], &[6], &[6, 1, 0, 0, 0, 0, 0, 0]] {
            assert!(Flow::of_packet(&v6(number::HOP_BY_HOP, payload)).is_err());
            assert!(Flow::of_packet(&v6(number::FRAGMENT, &payload[..payload.len().min(2)])).is_err());
        }
    }

    #[test]
    fn an_endless_chain_of_headers_is_opaque() {
        let chain = [number::DESTINATION_OPTIONS, 0, 0, 0, 0, 0, 0, 0].repeat(100);
        assert_eq!(
            seen(&v6(number::DESTINATION_OPTIONS, &chain)),
            (number::DESTINATION_OPTIONS, Ports::Opaque)
        );
    }

    #[test]
    fn the_answer_goes_the_other_way() {
        let flow = Flow::of_packet(&v4(6, 0, &PORTS)).unwrap();
        let answer = flow.reversed();
        assert_eq!((answer.source, answer.destination), (flow.destination, flow.source));
        assert_eq!(answer.ports, Ports::Pair { source: 443, destination: 5000 });
        assert_eq!(answer.reversed(), flow);
    }

    proptest! {
        #[test]
        fn no_packet_makes_the_walk_panic(
            next in prop_oneof![Just(0u8), Just(43), Just(44), Just(60), any::<u8>()],
            payload in prop::collection::vec(prop_oneof![0u8..3, Just(43), Just(44), Just(60), any::<u8>()], 0..120),
        ) {
            let _ = Flow::of_packet(&v6(next, &payload));
            let _ = Flow::of_packet(&v4(next, u16::from(next), &payload));
        }
    }
}
