//! This machine's own network: addresses under which the node may be reached, what STUN sees of it, a port of its
//! router, the TUN device's addresses and routes, policy routes, and word of every change.

mod detour;
mod endpoints;
mod interface;
mod lifetime;
mod measure;
mod plain_ike;
mod port_mapping;
mod reverse_path;
mod sockets;
mod source;
mod watch;

pub use detour::{DETOUR_MARK, DetourError, Detours, sweep_detours};
pub use endpoints::{HostAddress, host_addresses, host_endpoints, read_host_addresses};
pub use interface::{Interface, InterfacePlan, KernelState, is_covered};
pub use lifetime::measure_lifetime;
pub use measure::measure;
pub use plain_ike::{PLAIN_IKE_PORT, PlainIke, PlainMessage};
pub use port_mapping::{MappingProtocol, PortMapper, PortMapping};
pub use reverse_path::strict_interfaces;
pub use sockets::{Transport, is_listening};
pub use source::{program_source, source_address};
pub use watch::{Changes, NetworkWatch, watch_network};
