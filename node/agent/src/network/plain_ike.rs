//! UDP port 500, where peers begin that do not know better than to look for a NAT first (RFC 7296 §2.23): IKE without
//! the non-ESP marker, and never ESP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::DETOUR_MARK;

/// IKE's own.
pub const PLAIN_IKE_PORT: u16 = 500;
/// The longest that UDP carries.
const LONGEST: usize = 65_535;

/// A message from port 500, with its sender.
pub type PlainMessage = (SocketAddr, Vec<u8>);

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

    /// At once or not at all: IKE says it again.
    pub fn send(&self, to: SocketAddr, message: &[u8]) -> io::Result<()> {
        let to = match to {
            SocketAddr::V4(v4) if self.dual_stack => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => to,
        };
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
        Ipv6Addr::UNSPECIFIED.into()
    } else {
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
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        into.try_send((from, buffer.get(..length).unwrap_or_default().to_vec())).ok();
    }
}
