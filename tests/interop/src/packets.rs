//! Packets to protect, and what goes around them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use twinmesh_esp::{Copied, OuterHeader, write_ip_header, write_udp_header};
use twinmesh_packet::{IpPacket, protocol, pseudo_header};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Source and destination of every packet, inside and outside.
    pub const fn addresses(self) -> [IpAddr; 2] {
        match self {
            Self::V4 => [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))],
            Self::V6 => [address_v6(1), address_v6(2)],
        }
    }

    /// A header of `protocol` and the payload behind it.
    pub fn ip(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let [source, destination] = self.addresses();
        let copied = Copied { traffic_class: 0, df: true, flow_label: 0, hop_limit: 64 };
        let header = OuterHeader { source, destination, protocol, identification: 0, copied };
        let mut bytes = vec![0; header.header_len()];
        write_ip_header(&header, payload.len(), &mut bytes)
            .expect("it has room, and tests send short packets");
        [bytes.as_slice(), payload].concat()
    }

    /// A UDP packet with `len` bytes of data.
    pub fn udp(self, len: usize) -> Vec<u8> {
        self.ip(protocol::UDP, &self.datagram(len))
    }

    /// The datagram alone.
    pub fn datagram(self, len: usize) -> Vec<u8> {
        let [source, destination] = self.addresses();
        let total = u16::try_from(8 + len).expect("tests send short packets");
        let mut datagram = [&[0x13, 0x88, 0x17, 0x70][..], &total.to_be_bytes(), &[0, 0]].concat();
        datagram.extend((0..len).map(|index| index.to_le_bytes()[0].wrapping_mul(7)));
        let sum = pseudo_header(source, destination, protocol::UDP, total.into()).with(&datagram).finish();
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
        datagram
    }
}

const fn address_v6(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))
}

/// IP protocol number of ESP.
pub const ESP: u8 = 50;
/// IP protocol number of AH.
pub const AH: u8 = 51;
/// Port of UDP encapsulation, at both ends.
pub const NAT_PORT: u16 = 4500;
const UDP_HEADER_LEN: usize = 8;

/// How ESP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encapsulation {
    Raw,
    Udp,
}

impl Encapsulation {
    pub const BOTH: [Self; 2] = [Self::Raw, Self::Udp];

    /// Protocol number of the IP header outside.
    pub const fn protocol(self) -> u8 {
        match self {
            Self::Raw => ESP,
            Self::Udp => protocol::UDP,
        }
    }

    /// What follows the IP header outside.
    pub fn wrap(self, family: Family, esp: &[u8]) -> Vec<u8> {
        if self == Self::Raw {
            return esp.to_vec();
        }
        let mut datagram = [&[0; UDP_HEADER_LEN], esp].concat();
        let [source, destination] = family.addresses().map(|address| SocketAddr::new(address, NAT_PORT));
        write_udp_header(source, destination, &mut datagram).expect("it has room for the header");
        datagram
    }

    /// The ESP packet in what followed the IP header outside.
    pub fn unwrap(self, payload: &[u8]) -> Vec<u8> {
        let skip = if self == Self::Raw { 0 } else { UDP_HEADER_LEN };
        payload[skip..].to_vec()
    }
}

/// What follows the IP header of a packet that a peer made.
pub fn payload(packet: &[u8]) -> &[u8] {
    IpPacket::parse(packet).expect("the peer makes whole packets").payload()
}
