//! UDP packets with checksums of any kind, and what arrives of them.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use twinmesh_packet::{IpPacket, pseudo_header};

use super::{Namespace, Node, until};

pub const PORT: u16 = 5001;
const HEADERS: usize = 28;
/// The kernel fills in what an IPv4 header lacks, and nothing behind it.
const RAW: i32 = 255;

/// A UDP packet whose right checksum equals the sum of its pseudo-header.
pub fn collision(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut payload = [b"collision, and a word that makes it one: ".as_slice(), &[0; 3]].concat();
    let without = packet(from, to, &payload, None);
    // What is added to the payload is taken from the checksum.
    let last = add(checksum(&without), !partial(&without));
    let end = payload.len() - 2;
    payload[end..].copy_from_slice(&last.to_be_bytes());
    let made = packet(from, to, &payload, None);
    assert_eq!(checksum(&made), partial(&made));
    made
}

/// A UDP packet; its checksum is right unless one is given.
pub fn packet(from: Ipv4Addr, to: Ipv4Addr, payload: &[u8], wrong: Option<u16>) -> Vec<u8> {
    let total = u16::try_from(HEADERS + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend([5000, PORT, total - 20, 0].map(u16::to_be_bytes).as_flattened());
    packet.extend(payload);
    let value = wrong.unwrap_or_else(|| right(&packet));
    packet[26..28].copy_from_slice(&value.to_be_bytes());
    packet
}

pub fn checksum(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[26], packet[27]])
}

/// What a partial one holds.
pub fn partial(packet: &[u8]) -> u16 {
    let ip = IpPacket::parse(packet).unwrap();
    let len = u32::try_from(ip.payload().len()).unwrap();
    pseudo_header(ip.source(), ip.destination(), 17, len).folded()
}

pub fn right(packet: &[u8]) -> u16 {
    let ip = IpPacket::parse(packet).unwrap();
    let len = u32::try_from(ip.payload().len()).unwrap();
    let mut datagram = ip.payload().to_vec();
    datagram[6..8].fill(0);
    match pseudo_header(ip.source(), ip.destination(), 17, len).with(&datagram).finish() {
        0 => 0xffff,
        sum => sum,
    }
}

/// One's complement.
fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u16::from(carry)
}

/// Sends a packet as it is.
pub fn send(from: &Node, packet: &[u8]) {
    let to = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
    from.namespace.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))).unwrap();
        socket.send_to(packet, &SocketAddrV4::new(to, 0).into()).unwrap();
    });
}

/// Everything that arrives in UDP, whatever its checksum.
pub struct Listener(Socket);

impl Listener {
    pub fn new(at: &Namespace) -> Self {
        let socket = at.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(socket)
    }

    /// The next packet to [`PORT`].
    pub fn next(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        loop {
            let length = self.0.read(&mut buffer).unwrap();
            if buffer[22..24] == PORT.to_be_bytes() {
                return buffer[..length].to_vec();
            }
        }
    }
}

/// Sends to the peer, from a port of its own, until checksums go there partial.
pub fn until_partial(from: &Node, to: &Node, address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    let socket = from.namespace.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    until("agreement on partial checksums", || {
        socket.send_to(b"hello", address).unwrap();
        from.status_of(to.key).partial_checksums.sent
    });
}

/// What the kernel of a namespace found wrong.
pub fn errors(at: &Namespace) -> u64 {
    let line = "nstat -asz | awk '$1 ~ /InCsumErrors$/ { sum += $2 } END { print sum + 0 }'";
    at.must(line).trim().parse().unwrap()
}
