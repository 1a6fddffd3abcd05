//! UDP port 500, where peers begin that do not know better than to look for a NAT first (RFC 7296 §2.23): IKE without
//! the non-ESP marker, and never ESP.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::DETOUR_MARK;

/// IKE's own.
pub const PLAIN_IKE_PORT: u16 = 500;
/// The longest that UDP carries.
const LONGEST: usize = 65_535;

/// A message from port 500.
pub struct PlainMessage {
    pub from: SocketAddr,
    /// This node's address that it came to, where the kernel says so.
    pub to: Option<IpAddr>,
    pub message: Vec<u8>,
}

/// The open port. It is closed when dropped.
pub struct PlainIke {
    socket: Arc<UdpSocket>,
    /// Whether IPv4 goes as mapped addresses (RFC 4291 §2.5.5.2).
    dual_stack: bool,
    task: JoinHandle<()>,
}

impl PlainIke {
    /// Messages go to `into`; where it is full, they are lost.
    pub fn open(into: mpsc::Sender<PlainMessage>) -> io::Result<Self> {
        let (socket, dual_stack) = match bind(Domain::IPV6) {
            Ok(socket) => (socket, true),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // A machine without IPv6.
            Err(_) => (bind(Domain::IPV4)?, false),
        };
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        let task = tokio::spawn(receive(Arc::clone(&socket), into));
        Ok(Self { socket, dual_stack, task })
    }

    /// At once or not at all: IKE says it again. From this address of the machine, if it still has it; else, and with
    /// none, from the one that leads there.
    pub fn send(&self, from: Option<IpAddr>, to: SocketAddr, message: &[u8]) -> io::Result<()> {
        let to = match to {
            SocketAddr::V4(v4) if self.dual_stack => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => to,
        };
        if let Some(from) = from {
            match self.socket.try_io(Interest::WRITABLE, || send_from(&self.socket, from, to, message)) {
                Err(error) if is_without_source(&error) => {}
                done => return done,
            }
        }
        self.socket.try_send_to(message, to).map(drop)
    }
}

impl Drop for PlainIke {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn bind(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    let any: IpAddr = if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        Ipv4Addr::UNSPECIFIED.into()
    };
    socket.set_mark(DETOUR_MARK)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(any, PLAIN_IKE_PORT).into())?;
    Ok(socket)
}

async fn receive(socket: Arc<UdpSocket>, into: mpsc::Sender<PlainMessage>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        // An error tells of an ICMP message that came for something sent earlier.
        let received = socket.async_io(Interest::READABLE, || receive_one(&socket, &mut buffer)).await;
        let Ok(Some(message)) = received else { continue };
        into.try_send(message).ok();
    }
}

/// None: the kernel does not say from whom.
fn receive_one(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<PlainMessage>> {
    let mut space = cmsg_space!(in_pktinfo, in6_pktinfo);
    let (length, from, to) = {
        let mut pieces = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::empty();
        let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, Some(&mut space), flags)?;
        let to = received.cmsgs()?.find_map(|control| {
            if let ControlMessageOwned::Ipv6PacketInfo(info) = control {
                Some(IpAddr::from(info.ipi6_addr.s6_addr).to_canonical())
            } else if let ControlMessageOwned::Ipv4PacketInfo(info) = control {
                Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into())
            } else {
                None
            }
        });
        (received.bytes, received.address, to)
    };
    let from = from.and_then(|from| {
        let v4 = from.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
        v4.or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddr::new(v6.ip().to_canonical(), v6.port())))
    });
    let message = buffer.get(..length).unwrap_or_default().to_vec();
    Ok(from.map(|from| PlainMessage { from, to, message }))
}

fn send_from(socket: &UdpSocket, from: IpAddr, to: SocketAddr, message: &[u8]) -> io::Result<()> {
    let (v4, v6);
    let control = match from {
        IpAddr::V4(from) => {
            let ipi_spec_dst = in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
            v4 = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: in_addr { s_addr: 0 } };
            ControlMessage::Ipv4PacketInfo(&v4)
        }
        IpAddr::V6(from) => {
            v6 = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: from.octets() }, ipi6_ifindex: 0 };
            ControlMessage::Ipv6PacketInfo(&v6)
        }
    };
    let to = SockaddrStorage::from(to);
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(message)], &[control], MsgFlags::empty(), Some(&to))?;
    Ok(())
}

/// What the kernel answers where the address is not this machine's, or no route begins at it.
fn is_without_source(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EINVAL | Errno::EADDRNOTAVAIL | Errno::ENETUNREACH)
    )
}
