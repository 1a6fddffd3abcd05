//! The whole system in the lab: real programs, TUN devices, sockets and NATs.
//!
//! [`Mesh`] is `tests/scenarios/three-nodes.toml`, running: a coordinator on `hub`, the nodes `alpha`
//! and `beta` on two public networks, and `gamma` behind a NAT. Each test has a mesh of its own.

mod background;
mod bulk;
mod flood;
mod mesh;
mod policy;
mod soak;
mod transfer;
mod wait;

pub use background::{BackgroundPing, Capture, PingReport, Server, over_capture};
pub use bulk::{BulkReport, bulk};
pub use flood::{Flood, FloodReport};
pub use mesh::{Mesh, Token, on_mesh, on_scenario};
pub use policy::{pair_in, set_policy};
pub use soak::{Disturbance, FlowSums, Growth, SoakReport, Stuck, run_traffic, soak};
pub use transfer::{fetch_100_mb, iperf};
pub use twinmesh_lab::IpVersion;
pub use wait::wait_for;

use std::net::IpAddr;

/// The nodes that run an agent.
pub const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Where [`Server::http`] answers, as a URL has it.
pub fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:8000"),
        IpAddr::V6(address) => format!("[{address}]:8000"),
    }
}

/// Every ordered pair of different nodes.
pub fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    NODES
        .into_iter()
        .flat_map(|from| NODES.into_iter().map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
}
