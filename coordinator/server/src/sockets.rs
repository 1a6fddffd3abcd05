//! UDP and TCP sockets.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// Ports of the kernel's choice that are tried.
const TRIES: usize = 16;

/// Binds a non-blocking UDP socket. `[::]` takes IPv4 too; on a machine without IPv6 it becomes `0.0.0.0`.
pub(crate) fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    match bind(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && lacks_ipv6(&error) => {
            bind(SocketAddr::from(([0, 0, 0, 0], address.port())))
        }
        bound => bound,
    }
}

/// What `udp` binds, and where, with a TCP listener at the same address and port. If `address` leaves the port to the
/// kernel, which chooses one that is free for UDP, another is tried while TCP's is taken.
pub(crate) fn bind_both<U>(
    address: SocketAddr,
    udp: impl Fn() -> io::Result<(U, SocketAddr)>,
) -> io::Result<(U, SocketAddr, io::Result<TcpListener>)> {
    let both = || udp().map(|(bound, local)| (bound, local, bind_tcp(local)));
    let tries = if address.port() == 0 { TRIES } else { 1 };
    let mut last = both()?;
    for _ in 1..tries {
        if last.2.is_ok() {
            break;
        }
        last = both()?;
    }
    Ok(last)
}

/// Listens by TCP where a UDP socket of [`bind_udp`] may be bound.
pub(crate) fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Connections of a coordinator that just ended linger in the kernel.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Binds one more UDP socket where those that allow it are bound: the kernel spreads senders among them.
pub(crate) fn bind_udp_beside(address: SocketAddr) -> io::Result<UdpSocket> {
    bind_with(address, |socket| socket.set_reuse_port(true))
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    bind_with(address, |_| Ok(()))
}

fn bind_with(address: SocketAddr, prepare: impl FnOnce(&Socket) -> io::Result<()>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    prepare(&socket)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(nix::errno::Errno::from_raw),
        Some(nix::errno::Errno::EAFNOSUPPORT | nix::errno::Errno::EADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_port_of_the_kernels_choice_is_left_if_another_program_has_it_in_tcp() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let other = TcpListener::bind(any).await.unwrap();
        let taken = other.local_addr().unwrap();
        let asked = Cell::new(0);
        let udp = || {
            asked.set(asked.get() + 1);
            Ok(((), if asked.get() == 1 { taken } else { any }))
        };
        assert!(bind_both(taken, udp).unwrap().2.is_err(), "that port was asked for, and no other");
        asked.set(0);
        assert!(bind_both(any, udp).unwrap().2.is_ok());
        assert_eq!(asked.get(), 2);
    }
}
