//! `sendmmsg`.

use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use socket2::SockAddr;

/// Messages that one call takes.
const MAX_MESSAGES: usize = 64;
/// Pieces of memory that one call takes.
const MAX_PIECES: usize = 128;

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
    let mut memory = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; MAX_PIECES];
    let mut room = memory.as_mut_slice();
    let mut count = 0;
    for ((header, control), message) in headers.iter_mut().zip(&mut controls).zip(messages) {
        let Message { to, pieces, .. } = message;
        if count > 0 && pieces.len() > room.len() {
            break;
        }
        let vectors;
        (vectors, room) = end_to_end(pieces, room);
        // The kernel only reads through these pointers, although their types say otherwise.
        header.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = to.len();
        header.msg_hdr.msg_iov = vectors.as_mut_ptr();
        header.msg_hdr.msg_iovlen = vectors.len() as _;
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

/// The pieces in as much of the room as they take, those that lie end to end as one, which the kernel copies quicker; and
/// the rest of the room. Pieces beyond the room are left out.
fn end_to_end<'r>(
    pieces: &[IoSlice<'_>],
    room: &'r mut [libc::iovec],
) -> (&'r mut [libc::iovec], &'r mut [libc::iovec]) {
    let mut used = 0;
    for piece in pieces {
        let start = piece.as_ptr().cast_mut();
        match room.get_mut(..used).and_then(<[_]>::last_mut) {
            Some(last) if last.iov_base.wrapping_byte_add(last.iov_len) == start.cast() => {
                last.iov_len += piece.len();
            }
            _ => {
                let Some(next) = room.get_mut(used) else { break };
                *next = libc::iovec { iov_base: start.cast(), iov_len: piece.len() };
                used += 1;
            }
        }
    }
    room.split_at_mut(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_end_to_end_is_one_piece_and_nothing_is_lost_or_moved() {
        let bytes: Vec<u8> = (0..10).collect();
        let none = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let taken = |ranges: &[std::ops::Range<usize>], room: usize| -> Vec<(usize, usize)> {
            let pieces: Vec<_> = ranges.iter().map(|range| IoSlice::new(&bytes[range.clone()])).collect();
            let mut room = vec![none; room];
            let (used, _) = end_to_end(&pieces, &mut room);
            used.iter().map(|it| (it.iov_base.addr() - bytes.as_ptr().addr(), it.iov_len)).collect()
        };
        assert_eq!(taken(&[0..2, 2..5, 5..6], 3), [(0, 6)]);
        assert_eq!(taken(&[0..2, 3..5, 5..6, 2..3], 4), [(0, 2), (3, 3), (2, 1)]);
        assert_eq!(taken(&[4..6, 4..6], 2), [(4, 2), (4, 2)], "the same again");
        assert_eq!(taken(&[0..1, 2..3, 4..5], 2), [(0, 1), (2, 1)], "no room");
    }
}
