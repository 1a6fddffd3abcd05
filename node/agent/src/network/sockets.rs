//! Whether a program of this machine listens for a packet: the kernel's own lookup, asked by sock_diag(7).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
};
use nix::sys::time::TimeVal;

/// linux/netlink.h, linux/sock_diag.h.
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const HEADER_LEN: usize = 16;
/// `struct inet_diag_req_v2` of linux/inet_diag.h.
const REQUEST_LEN: u32 = 16 + 56;
/// `INET_DIAG_NOCOOKIE`: any socket.
const ANY_COOKIE: [u8; 8] = [0xff; 8];
const ALL_STATES: u32 = u32::MAX;
/// In seconds; the kernel answers at once.
const PATIENCE: i64 = 1;

/// The protocols that have ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

/// Whether the kernel has a socket for the first packet from any port of `source` that comes to `destination` by this
/// interface: of TCP one that listens.
pub fn is_listening(
    transport: Transport,
    source: IpAddr,
    destination: SocketAddr,
    interface: u32,
) -> io::Result<bool> {
    let request = request(transport, source, destination, interface);
    let netlink =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    setsockopt(&netlink, ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
    send(netlink.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut answer = [0; 512];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    found(answer.get(..length).unwrap_or_default())
}

fn request(transport: Transport, source: IpAddr, destination: SocketAddr, interface: u32) -> Vec<u8> {
    let family = if destination.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (protocol, ends) = match transport {
        // The socket's own end comes first…
        Transport::Tcp => (6, [(destination.ip(), destination.port()), (source, 0)]),
        // …but of UDP the packet's source, "for historical reasons" (net/ipv4/udp_diag.c).
        Transport::Udp => (17, [(source, 0), (destination.ip(), destination.port())]),
    };
    let mut message = Vec::with_capacity(REQUEST_LEN as usize);
    message.extend(REQUEST_LEN.to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([family as u8, protocol, 0, 0]);
    message.extend(ALL_STATES.to_ne_bytes());
    message.extend(ends.iter().flat_map(|(_, port)| port.to_be_bytes()));
    message.extend(ends.iter().flat_map(|(address, _)| sixteen(*address)));
    message.extend(interface.to_ne_bytes());
    message.extend(ANY_COOKIE);
    message
}

/// As the kernel keeps addresses of both versions.
fn sixteen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96).to_be_bytes(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// A socket, or an error, of which "no such file" says that there is none.
fn found(answer: &[u8]) -> io::Result<bool> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let kind = answer.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
    match kind.ok_or_else(malformed)? {
        SOCK_DIAG_BY_FAMILY => Ok(true),
        NLMSG_ERROR => {
            let code = answer.get(HEADER_LEN..HEADER_LEN + 4).and_then(|code| code.try_into().ok());
            let error = Errno::from_raw(-i32::from_ne_bytes(code.ok_or_else(malformed)?));
            if error == Errno::ENOENT { Ok(false) } else { Err(error.into()) }
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const HOME6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn listens(transport: Transport, at: SocketAddr) -> bool {
        is_listening(transport, at.ip(), at, 0).unwrap()
    }

    #[test]
    fn a_listener_is_found_at_its_own_address_and_port_alone_while_it_lives() {
        let listener = TcpListener::bind((HOME, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        assert!(listens(Transport::Tcp, at) && !listens(Transport::Udp, at));
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], at.port()));
        assert!(!listens(Transport::Tcp, elsewhere));
        drop(listener);
        assert!(!listens(Transport::Tcp, at));
    }

    #[test]
    fn who_listens_everywhere_is_found_by_both_versions() {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!([HOME, HOME6].iter().all(|home| listens(Transport::Tcp, SocketAddr::new(*home, port))));
    }

    #[test]
    fn a_udp_socket_is_found_and_one_that_is_connected_elsewhere_is_not() {
        let socket = UdpSocket::bind((HOME, 0)).unwrap();
        let at = socket.local_addr().unwrap();
        assert!(listens(Transport::Udp, at) && !listens(Transport::Tcp, at));
        socket.connect("127.0.0.9:9").unwrap();
        assert!(!listens(Transport::Udp, at));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for length in 0..20 {
            assert!(found(&vec![0; length]).is_err(), "{length}");
        }
    }
}
