//! The capture process: writes an interface's packets to a pcap file until the lab ends.
//!
//! `tcpdump` would do this for root, but in a user namespace it fails to change its user, which it
//! insists on.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};

/// The longest packet that is written as a whole: an offloaded segment with its headers.
const SNAP: usize = 65_535 + 64;
/// Room for packets that come faster than they are written.
const BUFFER: usize = 16 << 20;
/// What the process says when no packet can be missed any more.
pub(crate) const LISTENING: &str = "listening on";

/// Captures an interface of the network namespace this program runs in.
///
/// # Errors
/// No such interface, no right to open a packet socket, or the file cannot be written; else it does
/// not return.
pub fn run(interface: &str, file: &Path) -> io::Result<()> {
    let index = usize::try_from(if_nametoindex(interface)?).map_err(io::Error::other)?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    // Beyond the system's limit where that is allowed.
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)
        .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &BUFFER))?;
    let mut file = File::create(file)?;
    file.write_all(&header())?;
    writeln!(io::stderr(), "{LISTENING} {interface}")?;
    let mut buffer = vec![0; SNAP];
    loop {
        let (length, from) = match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok(received) => received,
            // The interface went down; it comes up again or the lab ends.
            Err(Errno::EINTR | Errno::ENETDOWN) => continue,
            Err(error) => return Err(error.into()),
        };
        // The socket is bound to no interface, since that takes unsafe code.
        if from.is_none_or(|from| from.ifindex() != index) {
            continue;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let packet = buffer.get(..length).unwrap_or_default();
        // As one piece, so that a reader of the growing file finds whole packets.
        file.write_all(&record(now, packet))?;
    }
}

/// File header of libpcap's format (draft-ietf-opsawg-pcap §4): little-endian, microseconds, Ethernet.
fn header() -> Vec<u8> {
    let (magic, version, snap, ethernet) = (0xa1b2_c3d4_u32, [2_u16, 4], 262_144_u32, 1_u32);
    let mut header = magic.to_le_bytes().to_vec();
    header.extend(version.iter().flat_map(|part| part.to_le_bytes()));
    header.extend([0; 8]);
    header.extend(snap.to_le_bytes());
    header.extend(ethernet.to_le_bytes());
    header
}

/// One packet (§5): seconds, microseconds, length in the file, length on the wire.
fn record(now: std::time::Duration, packet: &[u8]) -> Vec<u8> {
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    // Seconds wrap around in 2106, as the format has it.
    let seconds = u32::try_from(now.as_secs() & u64::from(u32::MAX)).unwrap_or_default();
    let mut record = Vec::with_capacity(16 + packet.len());
    for field in [seconds, now.subsec_micros(), length, length] {
        record.extend(field.to_le_bytes());
    }
    record.extend(packet);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_the_sizes_and_the_order_of_the_format() {
        assert_eq!(header().len(), 24);
        assert_eq!(header()[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        let record = record(std::time::Duration::from_micros(1_000_002), b"abc");
        assert_eq!(record, [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, b'a', b'b', b'c']);
    }
}
