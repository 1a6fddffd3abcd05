//! Options of sockets.

use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use socket2::Domain;

use super::check;

/// RFC 8200 §5.
const IPV6_MIN_MTU: libc::c_int = 1280;

/// `linux/icmpv6.h`; `libc` does not have it.
const ICMPV6_FILTER: libc::c_int = 1;

/// Lets a raw ICMPv6 socket have messages of one type alone (RFC 3542 §3.2).
pub(crate) fn pass_only_icmpv6(socket: BorrowedFd<'_>, kind: u8) -> io::Result<()> {
    // Linux blocks the types whose bits are set.
    let mut blocked = [u32::MAX; 8];
    if let Some(word) = blocked.get_mut(usize::from(kind / 32)) {
        *word &= !(1 << (kind % 32));
    }
    let length = libc::socklen_t::try_from(size_of_val(&blocked)).unwrap_or(0);
    // SAFETY: the option reads one `icmp6_filter`, eight words of 32 bits, which `blocked` is.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_ICMPV6,
            ICMPV6_FILTER,
            (&raw const blocked).cast(),
            length,
        )
    })
}

/// Whether a UDP socket's neighbours of one size and sender come joined (`UDP_GRO`).
pub(crate) fn join_received(socket: BorrowedFd<'_>, joined: bool) -> io::Result<()> {
    set_integer(socket, libc::SOL_UDP, libc::UDP_GRO, joined.into())
}

/// MTU of the route that a connected socket has taken, with what routers have said of it lately (`IP_MTU`).
pub(crate) fn route_mtu(socket: BorrowedFd<'_>, destination: IpAddr) -> io::Result<u16> {
    let (level, option) = match destination {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: both options write one `int` and its length, which `value` and `length` are.
    check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut value).cast(), &raw mut length)
    })?;
    // The loopback device has 65,536.
    Ok(u16::try_from(value.max(0)).unwrap_or(u16::MAX))
}

/// Whether a socket's packets may be cut into fragments: on the way, of IPv4; of IPv6 by this machine, into such as every
/// link carries (RFC 8200 §5). If not, that is by "don't fragment", whatever the kernel thinks that the path carries.
pub(crate) fn allow_fragments(socket: BorrowedFd<'_>, domain: Domain, allowed: bool) -> io::Result<()> {
    let [discover_v4, discover_v6, whole, length] = if allowed {
        [libc::IP_PMTUDISC_DONT, libc::IPV6_PMTUDISC_DONT, 0, IPV6_MIN_MTU]
    } else {
        [libc::IP_PMTUDISC_PROBE, libc::IPV6_PMTUDISC_PROBE, 1, 0]
    };
    let options = [
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, discover_v6),
        (libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, whole),
        (libc::IPPROTO_IPV6, libc::IPV6_MTU, length),
        // On a socket of IPv6, for mapped addresses; a raw one has none.
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, discover_v4),
    ];
    for (level, option, value) in options {
        let is_v6 = level == libc::IPPROTO_IPV6;
        match set_integer(socket, level, option, value) {
            Err(error)
                if error.raw_os_error() == Some(libc::ENOPROTOOPT) && is_v6 != (domain == Domain::IPV6) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Lets a connected socket of UDP be as it was before (connect(2)).
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: zero bytes are a valid `sockaddr`, and its family is AF_UNSPEC, which is 0.
    let address: libc::sockaddr = unsafe { mem::zeroed() };
    let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    // SAFETY: the call reads one `sockaddr`, which `address` is.
    check(unsafe { libc::connect(socket.as_raw_fd(), &raw const address, length) })
}

fn set_integer(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the option reads one `int`, which `value` is.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) })
}
