//! The TUN device: one queue for each worker.
//!
//! The `tun` crate opens single-queue devices only, and a device made that way takes no further queue.
//! `tun-rs` has queues but no `IFF_TUN_EXCL`, without which a second agent would join the first one's device
//! instead of being refused. So the few lines of opening are ours.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use twinmesh_packet::{Offload as Header, Segmented, VIRTIO_HEADER_LEN};

use crate::config::Offload;
use crate::error::StartError;
use crate::holder;
use crate::sys::{self, Creation};

/// The longest that a read gives: a header, and a packet of as many bytes as IP can say.
pub(crate) const MAX_READ: usize = VIRTIO_HEADER_LEN + 65_535;

/// A device and its index; it goes with the last of its queues.
pub(crate) struct Tun {
    pub(crate) index: u32,
    pub(crate) queues: Vec<TunQueue>,
    /// What of the offloads asked for the kernel has.
    pub(crate) offload: Offload,
}

impl Tun {
    /// Makes the device with `queues` queues, sets its MTU and brings it up.
    pub(crate) fn create(name: &str, mtu: u16, queues: usize, wanted: Offload) -> Result<Self, StartError> {
        let failed = |source| StartError::Tun { name: name.to_owned(), source };
        let first = sys::open_tun_queue(name, Creation::Exclusive).map_err(|error| opening(name, error))?;
        let offload = offloads(wanted, |flags| sys::set_tun_offload(first.as_fd(), flags)).map_err(failed)?;
        let mut all = vec![TunQueue { file: first, offload }];
        for _ in 1..queues {
            let file = sys::open_tun_queue(name, Creation::Join).map_err(|error| opening(name, error))?;
            all.push(TunQueue { file, offload });
        }
        let index = if_nametoindex(name).map_err(|errno| failed(errno.into()))?;
        // Interface requests go to any socket of the namespace; IPv6 may be absent, IPv4 never is.
        let socket =
            UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("0.0.0.0:0")).map_err(failed)?;
        sys::set_mtu(socket.as_fd(), name, mtu).map_err(failed)?;
        sys::set_up(socket.as_fd(), name).map_err(failed)?;
        Ok(Self { index, queues: all, offload })
    }
}

/// Asks the kernel for as much of what is wanted as it takes. UDP came in Linux 6.2.
fn offloads(wanted: Offload, ask: impl Fn(libc::c_uint) -> io::Result<()>) -> io::Result<Offload> {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    let udp = libc::TUN_F_USO4 | libc::TUN_F_USO6;
    if wanted.tcp && wanted.udp && ask(tcp | udp).is_ok() {
        return Ok(wanted);
    }
    if wanted.tcp && ask(tcp).is_ok() {
        return Ok(Offload { udp: false, ..wanted });
    }
    // Else it may remember what another had asked of a device that stayed.
    ask(0)?;
    Ok(Offload { tcp: false, udp: false, ..wanted })
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
pub(crate) struct TunQueue {
    file: File,
    offload: Offload,
}

/// What a read gave: the packet, perhaps a super-packet, and what the kernel left to do.
pub(crate) struct Read<'b> {
    pub(crate) header: [u8; VIRTIO_HEADER_LEN],
    pub(crate) packet: &'b [u8],
}

impl TunQueue {
    /// Reads one packet into [`MAX_READ`] bytes; `WouldBlock` when there is none.
    pub(crate) fn read<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Read<'b>> {
        let length = (&self.file).read(buffer)?;
        let (header, packet) =
            buffer.get(..length).and_then(<[u8]>::split_first_chunk).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Read { header: *header, packet })
    }

    pub(crate) fn write(&self, packet: &[u8], header: Header) -> io::Result<()> {
        self.write_pieces(&[IoSlice::new(&header.write()), IoSlice::new(packet)])
    }

    /// Writes one packet or super-packet, its header first.
    pub(crate) fn write_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        (&self.file).write_vectored(pieces).map(drop)
    }

    /// Whether super-packets of that kind are written to it. Not UDP: the kernel cuts it again for every program that has
    /// not asked for more at once, whose buffer then overflows sooner.
    pub(crate) const fn joins(&self, kind: Segmented) -> bool {
        match kind {
            Segmented::Tcp4 | Segmented::Tcp6 => self.offload.tcp,
            Segmented::Udp => false,
        }
    }
}

impl AsRawFd for TunQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_for_less_until_it_agrees() {
        let kernel = |known: libc::c_uint, wanted| {
            let asked = offloads(wanted, |flags| match flags & !known {
                0 => Ok(()),
                _ => Err(Errno::EINVAL.into()),
            });
            asked.map_err(|error| error.raw_os_error())
        };
        let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
        let all = tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6;
        assert_eq!(kernel(all, Offload::ALL), Ok(Offload::ALL));
        assert_eq!(kernel(tcp, Offload::ALL), Ok(Offload { udp: false, ..Offload::ALL }));
        assert_eq!(kernel(0, Offload::ALL), Ok(Offload { tcp: false, udp: false, port: true }));
        assert_eq!(kernel(all, Offload::NONE), Ok(Offload::NONE));
        assert_eq!(
            kernel(all, Offload { tcp: false, ..Offload::ALL }),
            Ok(Offload { port: true, ..Offload::NONE })
        );
    }

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
