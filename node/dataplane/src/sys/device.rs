//! Making TUN queues and setting up their device.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use super::check;

/// Whether a TUN queue may join a device that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// The device must be new: `EBUSY` where it exists. Without this a second program would silently
    /// become another queue of the first one's device.
    Exclusive,
    Join,
}

/// Opens a non-blocking queue of the TUN device `name`: IP packets, one for each read and write, behind the header that
/// tells of offloads (`struct virtio_net_hdr`).
pub(crate) fn open_tun_queue(name: &str, creation: Creation) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    let mut flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE | libc::IFF_VNET_HDR;
    if creation == Creation::Exclusive {
        flags |= libc::IFF_TUN_EXCL;
    }
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_flags = low_16_bits(flags);
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which `request` is, during the call only.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    Ok(file)
}

/// What the device's packets may be like (`TUN_F_…`); `EINVAL` where the kernel does not know all of it.
pub(crate) fn set_tun_offload(queue: BorrowedFd<'_>, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    check(unsafe { libc::ioctl(queue.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(flags)) })
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
