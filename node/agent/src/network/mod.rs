//! This machine's own network: addresses under which the node may be reached, what STUN sees of it, the
//! TUN device's addresses and routes, and word of every change.

mod endpoints;
mod interface;
mod stun;
mod watch;

pub use endpoints::{HostAddress, host_addresses, host_endpoints, read_host_addresses};
pub use interface::{Interface, InterfacePlan, KernelState};
pub use stun::StunClient;
pub use watch::{Changes, NetworkWatch, watch_network};
