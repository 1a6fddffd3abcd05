//! Other implementations, driven from tests: their processes, and the packets they are given.
//!
//! `tests/setup.sh test` installs them; a test whose peer is missing fails and says so.

mod packets;
mod scapy;
mod sites;
pub mod strongswan;

pub use packets::{AH, ESP, Encapsulation, Family, NAT_PORT, payload};
pub use scapy::{Request, Scapy, algorithms, integrity};
pub use sites::{BARN, CABIN, NORTH, SOUTH, Site, on_sites, on_sites_with_each_version};
