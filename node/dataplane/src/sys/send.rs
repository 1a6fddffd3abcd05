//! `sendmmsg`.

use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use socket2::SockAddr;

/// Messages that one call takes.
const MAX_MESSAGES: usize = 64;

/// A datagram in its pieces, or several of one size; whither, from where if not as the kernel routes it, and the DSCP and
/// ECN bits of the outer header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) to: &'a SockAddr,
    pub(crate) from: Option<IpAddr>,
    pub(crate) pieces: &'a [IoSlice<'a>],
    /// The kernel cuts the bytes into datagrams of this size, of which the last may be shorter (`UDP_SEGMENT`).
    pub(crate) segment: Option<u16>,
    pub(crate) traffic_class: u8,
}

impl Message<'_> {
    const fn needs_controls(&self) -> bool {
        self.traffic_class != 0 || self.from.is_some() || self.segment.is_some()
    }
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
    const WORDS: usize = words::<libc::c_int>() + words::<libc::in6_pktinfo>() + words::<u16>();

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
        if let Some(segment) = message.segment {
            controls.push(Control::new(libc::SOL_UDP, libc::UDP_SEGMENT, segment));
        }
        controls
    }

    fn push<T>(&mut self, control: Control<T>) {
        let words = words::<T>();
        let Some(place) = self.words.get_mut(self.used..self.used + words) else { return };
        // SAFETY: the place has room for a `Control<T>`, whose alignment is that of `cmsghdr`, that of a word at
        // most; whatever is overwritten needs no drop.
        unsafe { ptr::write(place.as_mut_ptr().cast::<Control<T>>(), control) };
        self.used += words;
    }
}

/// What one control message takes, with the padding behind it.
const fn words<T>() -> usize {
    size_of::<Control<T>>().div_ceil(size_of::<usize>())
}

/// Sends up to [`MAX_MESSAGES`] messages; returns how many went, at least one. An error concerns the first.
pub(crate) fn send_messages<'a>(
    socket: BorrowedFd<'_>,
    messages: impl Iterator<Item = Message<'a>>,
) -> io::Result<usize> {
    // SAFETY: zero bytes are a valid `mmsghdr`: null pointers with lengths of 0.
    let mut headers: [libc::mmsghdr; MAX_MESSAGES] = unsafe { mem::zeroed() };
    let mut controls: [MaybeUninit<Controls>; MAX_MESSAGES] = [const { MaybeUninit::uninit() }; MAX_MESSAGES];
    let mut count = 0;
    for ((header, control), message) in headers.iter_mut().zip(&mut controls).zip(messages) {
        let Message { to, pieces, .. } = message;
        // The kernel only reads through these pointers, although their types say otherwise.
        header.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = to.len();
        header.msg_hdr.msg_iov = pieces.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_iovlen = pieces.len() as _;
        if message.needs_controls() {
            let control = control.write(Controls::of(&message));
            header.msg_hdr.msg_control = control.words.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = (control.used * size_of::<usize>()) as _;
        }
        count += 1;
    }
    // SAFETY: the first `count` headers point to addresses and pieces that are borrowed for 'a, `IoSlice` being an
    // `iovec` by its documentation, and some to control messages in `controls`, written above; all outlive the call.
    // The kernel writes `msg_len` of the headers only.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
