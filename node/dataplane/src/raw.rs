//! ESP as IP protocol 50: one raw socket for each family, while a tunnel needs it.
//!
//! Such a socket gets a copy of every ESP packet that reaches this machine. Those of the kernel's own SAs, or of
//! another program's, are none of our affair, and the kernel treats them as if we were not there; but for packets
//! that belong to nobody it no longer answers "protocol unreachable".

use std::io::{self, IoSliceMut, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::sync::Arc;

use nix::errno::Errno;
use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use twinmesh_esp::{TooBig, parse_too_big_v6};

use crate::sys::{self, Message};
use crate::udp::{Whole, enlarge_buffers, in_fragments, send_all};

/// IANA's number of ESP.
const ESP: i32 = 50;
const IPV4_HEADER_LEN: usize = 20;
/// Of ICMPv6.
const PACKET_TOO_BIG: u8 = 2;

/// Tells whether this process may have raw sockets, which takes `CAP_NET_RAW`.
pub fn can_open_raw_esp() -> Result<(), Errno> {
    RawSocket::open(Domain::IPV4, None).map(drop)
}

/// The raw sockets that are open. Clones share them; each is closed with its last clone.
#[derive(Clone, Default)]
pub(crate) struct RawSockets {
    v4: Option<Arc<RawSocket>>,
    v6: Option<Arc<RawSocket>>,
}

impl RawSockets {
    /// Opens the one for a peer there, if it is not yet; `mark` is its `SO_MARK`.
    pub(crate) fn open_for(&mut self, peer: IpAddr, mark: Option<u32>) -> Result<(), Errno> {
        let (socket, domain) = match peer {
            IpAddr::V4(_) => (&mut self.v4, Domain::IPV4),
            IpAddr::V6(_) => (&mut self.v6, Domain::IPV6),
        };
        if socket.is_none() {
            *socket = Some(Arc::new(RawSocket::open(domain, mark)?));
        }
        Ok(())
    }

    /// Closes those that lead to none of these peers.
    pub(crate) fn keep_for(&mut self, peers: impl Iterator<Item = IpAddr>) {
        let (mut v4, mut v6) = (false, false);
        for peer in peers {
            v4 |= peer.is_ipv4();
            v6 |= peer.is_ipv6();
        }
        self.v4.take_if(|_| !v4);
        self.v6.take_if(|_| !v6);
    }

    pub(crate) fn to(&self, peer: IpAddr) -> Option<&RawSocket> {
        match peer {
            IpAddr::V4(_) => self.v4.as_deref(),
            IpAddr::V6(_) => self.v6.as_deref(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &RawSocket> {
        self.v4.iter().chain(&self.v6).map(AsRef::as_ref)
    }

    /// Whether both are the same sockets.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same = |one: &Option<Arc<RawSocket>>, other: &Option<Arc<RawSocket>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same(&self.v4, &other.v4) && same(&self.v6, &other.v6)
    }
}

/// A raw socket of one family.
pub(crate) struct RawSocket {
    socket: Socket,
    /// Of a raw socket it reads addresses, ECN and batches as it does of a UDP socket, and sets what forbids
    /// fragments.
    state: UdpSocketState,
    /// IPv6: what routers say of packets that were too big. Of IPv4 the kernel takes note itself, where path MTUs are
    /// looked up; of IPv6 only for connected sockets.
    too_big: Option<Socket>,
    whole: Whole,
}

impl RawSocket {
    fn open(domain: Domain, mark: Option<u32>) -> Result<Self, Errno> {
        let errno = |error: io::Error| error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new(domain, kind, Some(Protocol::from(ESP))).map_err(errno)?;
        if let Some(mark) = mark {
            socket.set_mark(mark).map_err(errno)?;
        }
        enlarge_buffers(&socket).map_err(errno)?;
        let state = UdpSocketState::new((&socket).into()).map_err(errno)?;
        let too_big = match domain {
            Domain::IPV6 => Some(open_too_big(mark).map_err(errno)?),
            _ => None,
        };
        Ok(Self { socket, state, too_big, whole: Whole::default() })
    }

    /// Receives packets, each into a buffer of its own.
    pub(crate) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        self.state.recv((&self.socket).into(), buffers, metas)
    }

    /// As [`send_all`].
    pub(crate) fn send<'a>(
        &self,
        messages: &(impl Iterator<Item = Message<'a>> + Clone),
        sent: &mut usize,
    ) -> io::Result<()> {
        send_all(self.socket.as_fd(), messages, sent)
    }

    /// As [`Self::send`], for packets that may be cut into fragments on their way. Those that other workers send
    /// meanwhile may be, too.
    pub(crate) fn send_in_fragments<'a>(
        &self,
        messages: &(impl Iterator<Item = Message<'a>> + Clone),
        sent: &mut usize,
    ) -> io::Result<()> {
        let domain = if self.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
        in_fragments(&self.whole, self.socket.as_fd(), domain, || self.send(messages, sent))
    }

    /// Where the ESP packet begins in what was received: IPv4 comes with its header, IPv6 without (raw(7), RFC 3542
    /// §3).
    pub(crate) fn esp_offset(&self, received: &[u8]) -> Option<usize> {
        if self.is_ipv6() {
            return Some(0);
        }
        let header_len = 4 * usize::from(received.first()? & 0x0f);
        (IPV4_HEADER_LEN..=received.len()).contains(&header_len).then_some(header_len)
    }

    /// The next report of a router; `None` when there are no more.
    pub(crate) fn too_big(&self, buffer: &mut [u8]) -> io::Result<Option<TooBig>> {
        let Some(mut socket) = self.too_big.as_ref() else { return Ok(None) };
        loop {
            match socket.read(buffer) {
                Ok(length) => {
                    if let Some(report) = buffer.get(..length).and_then(parse_too_big_v6) {
                        return Ok(Some(report));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// To wait for.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        [Some(&self.socket), self.too_big.as_ref()].into_iter().flatten().map(AsRawFd::as_raw_fd)
    }

    const fn is_ipv6(&self) -> bool {
        self.too_big.is_some()
    }

    /// The address in the form that the socket takes.
    pub(crate) fn address(to: IpAddr) -> SockAddr {
        // The place of the port belongs to the protocol number, which the socket knows.
        SocketAddr::new(to, 0).into()
    }
}

/// Gets ICMPv6 messages of the one type "Packet Too Big" (RFC 4443 §3.2), their checksums verified by the kernel.
fn open_too_big(mark: Option<u32>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW.nonblocking().cloexec(), Some(Protocol::ICMPV6))?;
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    sys::pass_only_icmpv6(socket.as_fd(), PACKET_TOO_BIG)?;
    Ok(socket)
}
