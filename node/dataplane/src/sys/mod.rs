//! The system calls that neither `std` nor `nix` offers in a safe and sound form: making TUN queues, and
//! `sendmmsg` (that of `nix` reads addresses that no send ever wrote).
//!
//! Everything unsafe of the data plane is here, and each function is safe to call.
#![expect(unsafe_code, reason = "ioctl and sendmmsg take pointers")]

mod device;
mod options;
mod send;

use std::io;

pub(crate) use device::{Creation, open_tun_queue, set_mtu, set_tun_offload, set_up};
pub(crate) use options::{allow_fragments, disconnect, join_received, pass_only_icmpv6, route_mtu};
pub(crate) use send::{Message, send_messages};

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
