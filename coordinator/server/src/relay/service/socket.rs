//! A UDP socket that takes and gives many datagrams with one system call, where the kernel can (UDP GRO and GSO).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};

use nix::sys::socket::{setsockopt, sockopt as option};
use quinn_udp::{EcnCodepoint, Transmit, UdpSocketState};
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, SockRef, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::inbox::Inbox;

#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    /// Whether the kernel takes datagrams of one receiver together (UDP_SEGMENT, Linux 4.18).
    joins: bool,
    pub(super) local: SocketAddr,
}

/// Where datagrams go from and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// If the socket has several addresses.
    pub(super) from: Option<IpAddr>,
    pub(super) to: SocketAddr,
    pub(super) ecn: Option<EcnCodepoint>,
}

impl Socket {
    /// A bound socket; the kernel shall hold so many bytes that nobody has taken yet.
    pub(super) fn new(socket: StdSocket, buffer: usize) -> io::Result<Self> {
        enlarge_buffer(&socket, buffer)?;
        let local = socket.local_addr()?;
        tell_more(&socket, local)?;
        allow_fragments(&socket, local)?;
        // It would forbid fragments on the socket that it is made for.
        let other = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        let state = UdpSocketState::new((&other).into())?;
        let joins = state.max_gso_segments() > 1;
        let io = UdpSocket::from_std(socket)?;
        Ok(Self { io, state, joins, local })
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Takes what has arrived.
    pub(super) fn receive(&self, inbox: &mut Inbox) -> io::Result<()> {
        self.io.try_io(Interest::READABLE, || {
            inbox.fill(|buffers, metas| self.state.recv((&self.io).into(), buffers, metas))
        })
    }

    /// Sends datagrams of `size` bytes each, the last one perhaps shorter.
    ///
    /// # Errors
    /// If the socket has no room; other errors concern a peer, whose affair they are.
    pub(super) fn send(&self, way: &Way, size: usize, bytes: &[u8]) -> Result<(), Full> {
        if bytes.len() > size {
            if self.joins {
                match self.try_send(way, Some(size), bytes) {
                    Ok(()) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Full),
                    // Too large for the link, or the device cannot do it: each for itself, in fragments if need be.
                    // The next ones may go elsewhere, and together: up to Linux 6.13 one error stands for both.
                    Err(error) => tracing::trace!(%error, "datagrams were not sent together"),
                }
            }
            // What finds no room after the first is lost, as in the network.
            return bytes.chunks(size.max(1)).try_for_each(|datagram| self.send(way, size, datagram));
        }
        match self.try_send(way, None, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Full),
            Err(error) => {
                tracing::trace!(%error, "a datagram was not sent");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn try_send(&self, way: &Way, segment_size: Option<usize>, contents: &[u8]) -> io::Result<()> {
        let destination = match way.to {
            // An IPv6 socket writes IPv4 addresses as `::ffff:192.0.2.1`.
            SocketAddr::V4(to) if self.local.is_ipv6() => {
                SocketAddr::new(to.ip().to_ipv6_mapped().into(), to.port())
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => way.to,
        };
        let transmit = Transmit { destination, ecn: way.ecn, contents, segment_size, src_ip: way.from };
        self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), &transmit))
    }
}

/// The socket takes no more for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Lets the kernel join datagrams of one sender, and tell the address they were sent to and their ECN mark.
fn tell_more(socket: &StdSocket, local: SocketAddr) -> io::Result<()> {
    // Where the kernel cannot, datagrams come one by one.
    let _ = setsockopt(socket, option::UdpGroSegment, &true);
    if local.is_ipv4() {
        setsockopt(socket, option::Ipv4PacketInfo, &true)?;
        SockRef::from(socket).set_recv_tos_v4(true)
    } else {
        setsockopt(socket, option::Ipv6RecvPacketInfo, &true)?;
        // Of IPv4 too, if the socket takes it.
        SockRef::from(socket).set_recv_tos_v4(true)?;
        SockRef::from(socket).set_recv_tclass_v6(true)
    }
}

/// A relay cannot tell its clients that a packet is too large for a link beyond it, so whoever can shall cut it: IPv4
/// goes without "don't fragment" (RFC 8656 §14, the alternate behaviour), IPv6 in fragments as soon as the kernel
/// learns of such a link.
fn allow_fragments(socket: &StdSocket, local: SocketAddr) -> io::Result<()> {
    if local.is_ipv6() {
        sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DONT)?;
    }
    // Of an IPv6 socket too: it may speak IPv4.
    Ok(sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT)?)
}

/// Beyond the system's limit with CAP_NET_ADMIN, up to it without.
fn enlarge_buffer(socket: &StdSocket, buffer: usize) -> io::Result<()> {
    if setsockopt(socket, option::RcvBufForce, &buffer).is_err() {
        SockRef::from(socket).set_recv_buffer_size(buffer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SIZE: usize = 10;

    /// What arrives of so many datagrams that are sent at once.
    async fn arrive(socket: &Socket, count: u8) -> Vec<Vec<u8>> {
        let receiver = StdSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let way = Way { from: None, to: receiver.local_addr().unwrap(), ecn: None };
        let bytes: Vec<u8> = (0..count).flat_map(|number| [number; SIZE]).collect();
        socket.writable().await.unwrap();
        socket.send(&way, SIZE, &bytes).unwrap();
        let datagram = |_| {
            let mut buffer = [0; 2 * SIZE];
            let length = receiver.recv(&mut buffer).unwrap();
            buffer[..length].to_vec()
        };
        (0..count).map(datagram).collect()
    }

    fn each(count: u8) -> Vec<Vec<u8>> {
        (0..count).map(|number| vec![number; SIZE]).collect()
    }

    fn socket() -> Socket {
        Socket::new(crate::sockets::bind_udp("127.0.0.1:0".parse().unwrap()).unwrap(), 65_536).unwrap()
    }

    #[tokio::test]
    async fn what_the_kernel_refuses_to_send_together_goes_one_by_one_and_none_is_lost() {
        let socket = socket();
        // More than any kernel takes at once: it says what a device without the ability says (EINVAL).
        assert_eq!(arrive(&socket, 200).await, each(200));
        assert_eq!(arrive(&socket, 60).await, each(60));
    }

    #[tokio::test]
    async fn a_kernel_that_knows_nothing_of_it_gets_them_one_by_one() {
        let socket = Socket { joins: false, ..socket() };
        assert_eq!(arrive(&socket, 60).await, each(60));
    }
}
