//! Other implementations, driven from tests: their processes, and the packets they are given.
//!
//! `setup.sh` installs them, called by `tests/setup.sh test`; a test whose peer is missing fails and says so.

mod packets;
mod scapy;

pub use packets::{AH, ESP, Encapsulation, Family, NAT_PORT, payload};
pub use scapy::{Request, Scapy, algorithms, integrity};
