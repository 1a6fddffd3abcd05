//! The MTU of the way to an address, as the kernel knows it: that of the interface, less where an ICMP "too big"
//! about one of our datagrams came back in the last ten minutes.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use socket2::{Domain, Protocol, Socket, Type};

use crate::sys;

/// Asks the kernel by way of a socket of its own, which sends nothing. `mark`: that of the data plane's sockets,
/// so that policy routing takes it the same way.
pub(crate) fn of_route(to: SocketAddr, mark: Option<u32>) -> io::Result<u16> {
    let socket =
        Socket::new(Domain::for_address(to), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    socket.connect(&to.into())?;
    sys::route_mtu(socket.as_fd(), to.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_carries_the_longest_packets() {
        for to in ["127.0.0.1:9", "[::1]:9"] {
            assert_eq!(of_route(to.parse().unwrap(), None).unwrap(), u16::MAX, "{to}");
        }
    }
}
