//! What fits through the way to an address: as the kernel knows it, that is the MTU of the interface, less where an ICMP
//! "too big" about one of our datagrams came back in the last ten minutes; and as somebody has found by trying.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};

use crate::sys;
use crate::turn::{HEADROOM, TAILROOM};

/// Of the longest inner packet by way of a relay: nobody here sees the way from there to the peer, but a relay sends
/// what is this long, and only a little longer outside, without "don't fragment" (RFC 8656 §14 lets it).
pub(crate) const RELAYED_MTU: u16 = 1280;
/// Every IPv4 host takes in a packet of this length (RFC 1122 §3.3.2); a forged report could say less.
const LEAST_MTU: u16 = 576;
const IPV4_HEADER: u16 = 20;
const IPV6_HEADER: u16 = 40;
pub(crate) const UDP_HEADER: u16 = 8;
/// What a relay wants around a datagram at most.
const RELAY_FRAME: u16 = 51;
const _: () = assert!(HEADROOM + TAILROOM == RELAY_FRAME as usize, "the longest frame");

/// Where datagrams to an address really go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    Direct(SocketAddr),
    /// To a relay's server.
    Relay(SocketAddr),
    /// By a connection, to which their length does not matter.
    Stream,
}

impl Hop {
    /// Where the outer packets are addressed to.
    pub(crate) const fn next(self) -> Option<SocketAddr> {
        match self {
            Self::Direct(next) | Self::Relay(next) => Some(next),
            Self::Stream => None,
        }
    }

    pub(crate) const fn is_relayed(self) -> bool {
        matches!(self, Self::Relay(_) | Self::Stream)
    }

    /// Bytes between the outer packet's beginning and what the UDP header, if there is one, is followed by for the peer.
    pub(crate) fn headers(self, udp: u16) -> u16 {
        let ip = self.next().map_or(0, |next| if next.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER });
        match self {
            Self::Direct(_) => ip + udp,
            Self::Relay(_) => ip + udp + RELAY_FRAME,
            Self::Stream => 0,
        }
    }

    /// The longest inner packet, where sealing adds `overhead` bytes; `found` is what a path was found to carry: outside
    /// of a direct one, inside of a relayed one.
    pub(crate) fn inner_mtu(self, overhead: u16, found: Option<u16>, routes: &RouteMtus) -> io::Result<u16> {
        let route = self.next().map_or(Ok(u16::MAX), |next| routes.of(next))?.max(LEAST_MTU);
        let inner = |outer: u16| outer.saturating_sub(self.headers(UDP_HEADER)).saturating_sub(overhead);
        Ok(match self {
            Self::Direct(_) => inner(route.min(found.unwrap_or(u16::MAX))),
            Self::Relay(_) | Self::Stream => inner(route).min(found.unwrap_or(RELAYED_MTU)),
        })
    }
}

/// Asks the kernel by way of sockets that send nothing.
pub(crate) struct RouteMtus {
    v4: Mutex<Socket>,
    /// None where the system has no IPv6.
    v6: Option<Mutex<Socket>>,
}

impl RouteMtus {
    /// Those of the calling thread's network namespace. `mark`: that of the data plane's sockets, so that policy routing
    /// takes these the same way.
    pub(crate) fn open(mark: Option<u32>) -> io::Result<Self> {
        let open = |domain| {
            let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
            mark.map_or(Ok(()), |mark| socket.set_mark(mark))?;
            Ok::<_, io::Error>(Mutex::new(socket))
        };
        Ok(Self { v4: open(Domain::IPV4)?, v6: open(Domain::IPV6).ok() })
    }

    /// The MTU of the route there; an error where there is none.
    pub(crate) fn of(&self, to: SocketAddr) -> io::Result<u16> {
        let socket = if to.is_ipv4() { Some(&self.v4) } else { self.v6.as_ref() };
        let socket = socket.ok_or(io::ErrorKind::Unsupported)?.lock();
        socket.connect(&to.into())?;
        let mtu = sys::route_mtu(socket.as_fd(), to.ip());
        // Else the next answer would be about packets from the source address of this one.
        sys::disconnect(socket.as_fd())?;
        mtu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERHEAD: u16 = 32;

    #[test]
    fn the_loopback_device_carries_the_longest_packets() {
        let routes = RouteMtus::open(None).unwrap();
        for to in ["127.0.0.1:9", "[::1]:9"] {
            assert_eq!(routes.of(to.parse().unwrap()).unwrap(), u16::MAX, "{to}");
        }
    }

    #[test]
    fn inside_there_is_less_room_by_all_headers() {
        let routes = RouteMtus::open(None).unwrap();
        let inner =
            |to: &str, found| Hop::Direct(to.parse().unwrap()).inner_mtu(OVERHEAD, found, &routes).unwrap();
        assert_eq!(inner("127.0.0.1:9", Some(1500)), 1500 - 20 - 8 - 32);
        assert_eq!(inner("[::1]:9", Some(1500)), 1500 - 40 - 8 - 32);
        assert_eq!(inner("127.0.0.1:9", None), u16::MAX - 60);
    }

    #[test]
    fn a_relayed_path_carries_1280_bytes_inside_whatever_the_first_part_of_it_does() {
        let routes = RouteMtus::open(None).unwrap();
        for hop in [Hop::Relay("127.0.0.1:9".parse().unwrap()), Hop::Stream] {
            let inner = |found| hop.inner_mtu(OVERHEAD, found, &routes).unwrap();
            assert_eq!((inner(None), inner(Some(1000))), (1280, 1000));
        }
    }
}
