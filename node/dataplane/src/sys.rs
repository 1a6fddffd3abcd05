//! The system calls that neither `std` nor `nix` offers in a safe and sound form: making TUN queues, and
//! `sendmmsg` (that of `nix` reads addresses that no send ever wrote).
//!
//! Everything unsafe of the data plane is here, and each function is safe to call.
#![expect(unsafe_code, reason = "ioctl and sendmmsg take pointers")]

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::ptr;

use socket2::{Domain, SockAddr};

/// Datagrams that one call of `sendmmsg` takes.
const MAX_MESSAGES: usize = 64;

/// RFC 8200 §5.
const IPV6_MIN_MTU: libc::c_int = 1280;

/// `linux/icmpv6.h`; `libc` does not have it.
const ICMPV6_FILTER: libc::c_int = 1;

/// Whether a TUN queue may join a device that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// The device must be new: `EBUSY` where it exists. Without this a second program would silently
    /// become another queue of the first one's device.
    Exclusive,
    Join,
}

/// Opens a non-blocking queue of the TUN device `name`: bare IP packets, one for each read and write.
/// `IFF_VNET_HDR` and `TUNSETOFFLOAD` belong here once super-packets are cut and joined.
pub(crate) fn open_tun_queue(name: &str, creation: Creation) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    let mut flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE;
    if creation == Creation::Exclusive {
        flags |= libc::IFF_TUN_EXCL;
    }
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_flags = low_16_bits(flags);
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which `request` is, during the call only.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    Ok(file)
}

/// Sets an interface's MTU; `socket` may be any.
pub(crate) fn set_mtu(socket: BorrowedFd<'_>, name: &str, mtu: u16) -> io::Result<()> {
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_mtu = mtu.into();
    // SAFETY: SIOCSIFMTU reads one `ifreq` with `ifru_mtu` set, which `request` is.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFMTU as libc::Ioctl, &raw const request) })
}

/// Brings an interface up; `socket` may be any.
pub(crate) fn set_up(socket: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let mut request = interface_request(name)?;
    // SAFETY: SIOCGIFFLAGS reads the name in one `ifreq` and writes `ifru_flags`.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as libc::Ioctl, &raw mut request) })?;
    // SAFETY: the call above has set `ifru_flags`.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | low_16_bits(libc::IFF_UP);
    // SAFETY: SIOCSIFFLAGS reads one `ifreq` with `ifru_flags` set, which `request` is.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request) })
}

/// A datagram, whither, from where if not as the kernel routes it, and the DSCP and ECN bits of its outer header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) to: &'a SockAddr,
    pub(crate) from: Option<IpAddr>,
    pub(crate) datagram: &'a [u8],
    pub(crate) traffic_class: u8,
}

/// One control message, as `sendmsg` takes it (cmsg(3)).
#[repr(C)]
struct Control<T> {
    header: libc::cmsghdr,
    value: T,
}

impl<T> Control<T> {
    fn new(level: libc::c_int, kind: libc::c_int, value: T) -> Self {
        // SAFETY: zero bytes are a valid `cmsghdr`: integers of 0, and on some systems padding.
        let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
        (header.cmsg_level, header.cmsg_type) = (level, kind);
        // Without the padding behind the value.
        header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<T>()) as _;
        Self { header, value }
    }
}

/// Room for the control messages of one message.
struct Controls {
    /// Whole words, so that each header is aligned.
    words: [MaybeUninit<usize>; Self::WORDS],
    used: usize,
}

impl Controls {
    const WORDS: usize = (size_of::<Control<libc::c_int>>() + size_of::<Control<libc::in6_pktinfo>>())
        .div_ceil(size_of::<usize>());

    fn of(message: &Message<'_>) -> Self {
        let mut controls = Self { words: [MaybeUninit::uninit(); Self::WORDS], used: 0 };
        // On a dual-stack socket IPv4 destinations take IPv4's options.
        let v6 = message.to.as_socket_ipv6().is_some_and(|to| to.ip().to_ipv4_mapped().is_none());
        if message.traffic_class != 0 {
            let value = libc::c_int::from(message.traffic_class);
            controls.push(if v6 {
                Control::new(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, value)
            } else {
                Control::new(libc::IPPROTO_IP, libc::IP_TOS, value)
            });
        }
        match message.from {
            Some(IpAddr::V4(from)) => {
                let ipi_spec_dst = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
                let none = libc::in_addr { s_addr: 0 };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: none };
                controls.push(Control::new(libc::IPPROTO_IP, libc::IP_PKTINFO, info));
            }
            Some(IpAddr::V6(from)) => {
                let ipi6_addr = libc::in6_addr { s6_addr: from.octets() };
                let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
                controls.push(Control::new(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info));
            }
            None => {}
        }
        controls
    }

    fn push<T>(&mut self, control: Control<T>) {
        let words = size_of::<Control<T>>().div_ceil(size_of::<usize>());
        let Some(place) = self.words.get_mut(self.used..self.used + words) else { return };
        // SAFETY: the place has room for a `Control<T>`, whose alignment is that of `cmsghdr`, that of a word at
        // most; whatever is overwritten needs no drop.
        unsafe { ptr::write(place.as_mut_ptr().cast::<Control<T>>(), control) };
        self.used += words;
    }
}

/// Sends up to [`MAX_MESSAGES`] datagrams; returns how many went, at least one. An error concerns the first.
pub(crate) fn send_messages<'a>(
    socket: BorrowedFd<'_>,
    messages: impl Iterator<Item = Message<'a>>,
) -> io::Result<usize> {
    // SAFETY: zero bytes are a valid `iovec` and a valid `mmsghdr`: null pointers with lengths of 0.
    let mut pieces: [libc::iovec; MAX_MESSAGES] = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; MAX_MESSAGES] = unsafe { mem::zeroed() };
    let mut controls: [MaybeUninit<Controls>; MAX_MESSAGES] = [const { MaybeUninit::uninit() }; MAX_MESSAGES];
    let mut count = 0;
    for (((piece, header), control), message) in
        pieces.iter_mut().zip(&mut headers).zip(&mut controls).zip(messages)
    {
        let Message { to, datagram, .. } = message;
        // The kernel only reads through these pointers, although their types say otherwise.
        *piece = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
        header.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = to.len();
        header.msg_hdr.msg_iov = piece;
        header.msg_hdr.msg_iovlen = 1;
        if message.traffic_class != 0 || message.from.is_some() {
            let control = control.write(Controls::of(&message));
            header.msg_hdr.msg_control = control.words.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = (control.used * size_of::<usize>()) as _;
        }
        count += 1;
    }
    // SAFETY: the first `count` headers point to one `iovec` each in `pieces`, some to control messages in
    // `controls`, written above, and to addresses and datagrams that are borrowed for 'a; all outlive the call. The kernel writes `msg_len` of the headers only.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

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

fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: zero bytes are a valid `ifreq`: an empty name and integers of 0.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays 0.
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}

/// Interface flags are defined as `int` and passed as `short`.
fn low_16_bits(flags: libc::c_int) -> libc::c_short {
    let [.., high, low] = flags.to_be_bytes();
    libc::c_short::from_be_bytes([high, low])
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
