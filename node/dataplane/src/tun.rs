//! The TUN device: one queue for each worker.
//!
//! The `tun` crate opens single-queue devices only, and a device made that way takes no further queue.
//! `tun-rs` has queues but no `IFF_TUN_EXCL`, without which a second agent would join the first one's device
//! instead of being refused. So the few lines of opening are ours.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use crate::error::StartError;
use crate::holder;
use crate::sys::{self, Creation};

/// A device and its index; it goes with the last of its queues.
pub(crate) struct Tun {
    pub(crate) index: u32,
    pub(crate) queues: Vec<TunQueue>,
}

impl Tun {
    /// Makes the device with `queues` queues, sets its MTU and brings it up.
    pub(crate) fn create(name: &str, mtu: u16, queues: usize) -> Result<Self, StartError> {
        let first = sys::open_tun_queue(name, Creation::Exclusive).map_err(|error| opening(name, error))?;
        let mut all = vec![TunQueue(first)];
        for _ in 1..queues {
            let next = sys::open_tun_queue(name, Creation::Join).map_err(|error| opening(name, error))?;
            all.push(TunQueue(next));
        }
        let failed = |source| StartError::Tun { name: name.to_owned(), source };
        let index = if_nametoindex(name).map_err(|errno| failed(errno.into()))?;
        // Interface requests go to any socket of the namespace; IPv6 may be absent, IPv4 never is.
        let socket =
            UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("0.0.0.0:0")).map_err(failed)?;
        sys::set_mtu(socket.as_fd(), name, mtu).map_err(failed)?;
        sys::set_up(socket.as_fd(), name).map_err(failed)?;
        Ok(Self { index, queues: all })
    }
}

fn opening(name: &str, error: io::Error) -> StartError {
    match error.raw_os_error().map(Errno::from_raw) {
        // ENODEV and ENXIO: the device file is there, the driver is not.
        Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => StartError::TunMissing,
        // Whatever lies there, it does not know the driver's requests.
        Some(Errno::ENOTTY) => StartError::TunForeign,
        Some(Errno::EPERM | Errno::EACCES) => StartError::TunPermission,
        Some(Errno::EBUSY) => StartError::TunBusy { name: name.to_owned(), pid: holder::of_tun(name) },
        _ => StartError::Tun { name: name.to_owned(), source: error },
    }
}

/// One queue; the kernel keeps a flow on the queue that last carried its other direction.
pub(crate) struct TunQueue(File);

impl TunQueue {
    /// Reads one packet; `WouldBlock` when there is none.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }

    pub(crate) fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.0).write(packet).map(drop)
    }
}

impl AsRawFd for TunQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_having_no_tun_says_what_to_do() {
        let message = |errno: Errno| opening("mesh0", errno.into()).to_string();
        assert!(message(Errno::ENOENT).contains("modprobe tun"));
        assert!(message(Errno::ENOENT).contains("--device /dev/net/tun"));
        assert!(message(Errno::ENOTTY).contains("/dev/net/tun"));
        assert!(message(Errno::EPERM).contains("setcap cap_net_admin+ep"));
        assert!(message(Errno::EBUSY).contains("mesh0"));
    }
}
