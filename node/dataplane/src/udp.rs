//! The UDP port: one socket for each worker, among which the kernel spreads senders by their address.

use std::io::{self, IoSliceMut};
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use parking_lot::{Mutex, MutexGuard};
use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::error::StartError;
use crate::holder;
use crate::sys::{self, Message};

/// What a burst at 10 Gb/s fills in some milliseconds.
const SOCKET_BUFFER: usize = 4 << 20;
/// How long a sender waits for room in the socket's buffer before it drops.
const SEND_PATIENCE_MS: u8 = 5;

/// One socket of the port.
pub(crate) struct UdpPort {
    socket: UdpSocket,
    state: UdpSocketState,
    family: Family,
    whole: Whole,
    most_segments: MostSegments,
    offload: bool,
}

/// A socket shared by threads of which one may let its packets be cut into fragments for a moment: whoever holds this
/// sends whole packets only.
pub(crate) type Whole = Arc<Mutex<()>>;

/// Datagrams that the kernel cuts out of one message (GSO), 1 where it does not. What one socket finds out concerns all
/// of the port.
type MostSegments = Arc<AtomicUsize>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// `[::]`, IPv4 as mapped addresses (RFC 4291 §2.5.5.2).
    DualStack,
    V4,
}

impl UdpPort {
    /// Opens `count` sockets on the port, 0 for any free one; `mark` is their `SO_MARK`. With `offload`, datagrams are cut
    /// and joined by the kernel where it can.
    pub(crate) fn open(
        port: u16,
        count: usize,
        mark: Option<u32>,
        offload: bool,
    ) -> Result<Vec<Self>, StartError> {
        let failed = |port| move |source| StartError::Udp { port, source };
        // The first socket binds alone and only then lets others in. With SO_REUSEPORT from the start, a
        // second agent of the same user would get half of our datagrams instead of an error.
        let (first, family) = match bind(port, Family::DualStack, false) {
            Ok(socket) => (socket, Family::DualStack),
            Err(error) if is_without_ipv6(&error) => {
                (bind(port, Family::V4, false).map_err(|error| busy(port, error))?, Family::V4)
            }
            Err(error) => return Err(busy(port, error)),
        };
        let port = UdpSocket::from(first.try_clone().map_err(failed(port))?)
            .local_addr()
            .map_err(failed(port))?
            .port();
        first.set_reuse_port(true).map_err(failed(port))?;
        let mut sockets = vec![first];
        for _ in 1..count {
            sockets.push(bind(port, family, true).map_err(failed(port))?);
        }
        if let Some(mark) = mark {
            sockets.iter().try_for_each(|socket| socket.set_mark(mark)).map_err(failed(port))?;
        }
        let most_segments = MostSegments::new(usize::MAX.into());
        sockets
            .into_iter()
            .map(|socket| Self::new(socket, family, Whole::default(), Arc::clone(&most_segments), offload))
            .collect::<io::Result<_>>()
            .map_err(failed(port))
    }

    fn new(
        socket: Socket,
        family: Family,
        whole: Whole,
        most_segments: MostSegments,
        offload: bool,
    ) -> io::Result<Self> {
        enlarge_buffers(&socket)?;
        // It forbids fragments, and has neighbours joined, too.
        let state = UdpSocketState::new((&socket).into())?;
        if offload {
            most_segments.fetch_min(state.max_gso_segments(), Ordering::Relaxed);
        } else {
            most_segments.store(1, Ordering::Relaxed);
            match sys::join_received(socket.as_fd(), false) {
                // It never knew how to.
                Err(error) if error.raw_os_error() == Some(Errno::ENOPROTOOPT as i32) => {}
                result => result?,
            }
        }
        Ok(Self { socket: socket.into(), state, family, whole, most_segments, offload })
    }

    /// Datagrams that one message may carry.
    pub(crate) fn most_segments(&self) -> usize {
        self.most_segments.load(Ordering::Relaxed)
    }

    /// A message of several datagrams was refused. If the device cannot do it, others will be, too; else only these were
    /// too long for their way, of which kernels speak in several tongues.
    pub(crate) fn train_refused(&self, error: &io::Error) {
        let is_device = error.raw_os_error().map(Errno::from_raw) == Some(Errno::EIO);
        if is_device && self.most_segments.swap(1, Ordering::Relaxed) > 1 {
            tracing::info!(%error, "a device does not cut datagrams; each is sent alone from now on");
        }
    }

    /// A second handle to the same socket, for another thread.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let (whole, most_segments) = (Arc::clone(&self.whole), Arc::clone(&self.most_segments));
        Self::new(self.socket.try_clone()?.into(), self.family, whole, most_segments, self.offload)
    }

    /// To be held by a thread that sends through a second handle, while it does.
    pub(crate) fn whole(&self) -> MutexGuard<'_, ()> {
        self.whole.lock()
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Receives into buffers, each of which may get several datagrams of equal size from one sender (GRO).
    pub(crate) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        self.state.recv((&self.socket).into(), buffers, metas)
    }

    /// The address in the form that the socket takes; `None` for IPv6 where the node has none.
    pub(crate) fn address(&self, to: SocketAddr) -> Option<SockAddr> {
        match (self.family, to) {
            (Family::DualStack, SocketAddr::V4(v4)) => {
                Some(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into())
            }
            (Family::DualStack, SocketAddr::V6(v6)) => Some(v6.into()),
            (Family::V4, SocketAddr::V4(v4)) => Some(v4.into()),
            (Family::V4, SocketAddr::V6(_)) => None,
        }
    }

    /// As [`send_all`]; but what cannot leave from the wanted address, as this machine has lost it, leaves from the one
    /// that leads there.
    pub(crate) fn send<'a>(
        &self,
        messages: &(impl Iterator<Item = Message<'a>> + Clone),
        sent: &mut usize,
    ) -> io::Result<()> {
        while let Err(error) = send_all(self.socket.as_fd(), messages, sent) {
            let stranded =
                messages.clone().nth(*sent).filter(|it| it.from.is_some() && is_without_source(&error));
            let Some(message) = stranded else { return Err(error) };
            send_all(self.socket.as_fd(), &iter::once(Message { from: None, ..message }), &mut 0)?;
            *sent += 1;
        }
        Ok(())
    }

    /// As [`Self::send`], for packets that may be cut into fragments on their way.
    pub(crate) fn send_in_fragments<'a>(
        &self,
        messages: &(impl Iterator<Item = Message<'a>> + Clone),
        sent: &mut usize,
    ) -> io::Result<()> {
        let domain = match self.family {
            Family::DualStack => Domain::IPV6,
            Family::V4 => Domain::IPV4,
        };
        in_fragments(&self.whole, self.socket.as_fd(), domain, || self.send(messages, sent))
    }
}

impl AsRawFd for UdpPort {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Allows fragments while `send` runs. That is four calls of the system each way, which a run of packets shares.
pub(crate) fn in_fragments(
    whole: &Mutex<()>,
    socket: BorrowedFd<'_>,
    domain: Domain,
    send: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let _alone = whole.lock();
    let allowed = sys::allow_fragments(socket, domain, true);
    let result = allowed.and_then(|()| send());
    sys::allow_fragments(socket, domain, false)?;
    result
}

/// Sends the datagrams after the first `sent`, and counts there how many went; waits a little for room. An
/// error concerns the one after them.
pub(crate) fn send_all<'a>(
    socket: BorrowedFd<'_>,
    messages: &(impl Iterator<Item = Message<'a>> + Clone),
    sent: &mut usize,
) -> io::Result<()> {
    loop {
        let mut rest = messages.clone().skip(*sent).peekable();
        if rest.peek().is_none() {
            return Ok(());
        }
        match sys::send_messages(socket, rest) {
            Ok(count) => *sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut waiting = [PollFd::new(socket, PollFlags::POLLOUT)];
                if poll(&mut waiting, PollTimeout::from(SEND_PATIENCE_MS))? == 0 {
                    return Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The sender's address as people write it: IPv4, not mapped into IPv6.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn bind(port: u16, family: Family, shared: bool) -> io::Result<Socket> {
    let (domain, any) = match family {
        Family::DualStack => (Domain::IPV6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
        Family::V4 => (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
    };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if family == Family::DualStack {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_port(shared)?;
    socket.bind(&SocketAddr::new(any, port).into())?;
    Ok(socket)
}

/// What ip(7) and ipv6(7) answer where the address of IP_PKTINFO or IPV6_PKTINFO is not this machine's, or no route
/// begins at it.
fn is_without_source(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EINVAL | Errno::EADDRNOTAVAIL | Errno::ENETUNREACH)
    )
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL))
}

fn busy(port: u16, source: io::Error) -> StartError {
    if source.kind() == io::ErrorKind::AddrInUse {
        StartError::PortBusy { port, pid: holder::of_udp_port(port) }
    } else {
        StartError::Udp { port, source }
    }
}

/// Beyond the system's limit with CAP_NET_ADMIN, up to it without.
pub(crate) fn enlarge_buffers(socket: &Socket) -> io::Result<()> {
    if setsockopt(socket, sockopt::RcvBufForce, &SOCKET_BUFFER).is_err() {
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &SOCKET_BUFFER).is_err() {
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;

    #[test]
    fn a_port_in_use_is_refused_with_the_holder_even_to_ourselves() {
        let sockets = UdpPort::open(0, 3, None, true).unwrap();
        let port = sockets[0].port().unwrap();
        assert!(sockets.iter().all(|socket| socket.port().unwrap() == port));
        let error = UdpPort::open(port, 1, None, true).err().unwrap();
        assert_eq!(error.to_string(), format!("UDP port {port} is in use by process {}", std::process::id()));
    }

    #[test]
    fn datagrams_of_both_families_arrive_with_plain_addresses() {
        let sender = UdpPort::open(0, 1, None, true).unwrap().remove(0);
        let receiver = UdpPort::open(0, 1, None, true).unwrap().remove(0);
        let port = receiver.port().unwrap();
        for ip in ["127.0.0.1", "::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let to = sender.address(SocketAddr::new(ip, port)).unwrap();
            let mut sent = 0;
            let pieces = [b"one", b"two"].map(|datagram| IoSlice::new(datagram));
            let [one, two] = pieces.each_ref().map(std::slice::from_ref);
            let message = |pieces| Message { to: &to, from: None, pieces, segment: None, traffic_class: 0 };
            sender.send(&[message(one), message(two)].into_iter(), &mut sent).unwrap();
            assert_eq!(sent, 2);
            let mut storage = vec![[0; 4096]; 2];
            let mut metas = [RecvMeta::default(); 2];
            let mut total = 0;
            while total < 6 {
                let mut buffers: Vec<_> = storage.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
                let mut waiting = [PollFd::new(receiver.as_fd(), PollFlags::POLLIN)];
                assert_eq!(poll(&mut waiting, PollTimeout::from(5000u16)), Ok(1));
                let count = receiver.receive(&mut buffers, &mut metas).unwrap();
                for meta in &metas[..count] {
                    assert_eq!(canonical(meta.addr), SocketAddr::new(ip, sender.port().unwrap()));
                    total += meta.len;
                }
            }
        }
    }
}
