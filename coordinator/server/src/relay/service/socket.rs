//! A UDP socket that takes and gives many datagrams with one system call, where the kernel can (UDP GRO and GSO).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};

use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{EcnCodepoint, Transmit, UdpSocketState};
use socket2::{Domain, SockRef, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::inbox::Inbox;

#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
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
        // It would forbid fragments on the socket that it is made for. A relay cannot tell its clients that a packet is
        // too large for a link beyond it, so it must not lose what fragments could carry.
        let other = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        let state = UdpSocketState::new((&other).into())?;
        let io = UdpSocket::from_std(socket)?;
        Ok(Self { io, state, local })
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
            if bytes.len().div_ceil(size.max(1)) <= self.state.max_gso_segments() {
                match self.try_send(way, Some(size), bytes) {
                    Ok(()) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Full),
                    // Too large for the link, or the device cannot do it: each for itself, in fragments if need be.
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
    let _ = setsockopt(socket, sockopt::UdpGroSegment, &true);
    if local.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        SockRef::from(socket).set_recv_tos_v4(true)
    } else {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        // Of IPv4 too, if the socket takes it.
        SockRef::from(socket).set_recv_tos_v4(true)?;
        SockRef::from(socket).set_recv_tclass_v6(true)
    }
}

/// Beyond the system's limit with CAP_NET_ADMIN, up to it without.
fn enlarge_buffer(socket: &StdSocket, buffer: usize) -> io::Result<()> {
    if setsockopt(socket, sockopt::RcvBufForce, &buffer).is_err() {
        SockRef::from(socket).set_recv_buffer_size(buffer)?;
    }
    Ok(())
}
