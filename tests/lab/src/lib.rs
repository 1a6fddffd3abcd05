//! A network lab on one machine: a TOML scenario becomes network namespaces, links, routers with a NAT
//! kind, and programs in hosts.
//!
//! ```text
//!   scenario.toml ──► Scenario ──► up ──► state folder ◄── exec, status, link, nat-forget, down
//!                                   │
//!            ┌── pid namespace ─────▼───────────────────────────────────┐
//!            │ init (pid 1; its network namespace holds the bridges)    │
//!            │   ├─ holder of alpha   net + mount + uts   ── programs   │
//!            │   ├─ holder of door    net + mount + uts   ── NAT rules  │
//!            │   └─ link process      TAP ◄─ delay, loss… ─► TAP        │
//!            └──────────────────────────────────────────────────────────┘
//! ```
//!
//! When init ends, everything in the lab ends with it: no crash leaves more than a folder.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use twinmesh_lab::{Lab, Options};
//! let lab = Lab::up(
//!     r#"
//!     name = "pair"
//!     [network.lan]
//!     subnets = ["192.0.2.0/24"]
//!     [host.a]
//!     network = "lan"
//!     [host.b]
//!     network = "lan"
//!     "#,
//!     Options::default(),
//! )?;
//! assert!(lab.host("a").command("ping").args(["-c", "1", "b"]).status()?.success());
//! # Ok(()) }
//! ```
//!
//! docs/lab.md describes scenarios, NAT kinds and the command line.

mod capture;
mod error;
pub mod folder;
mod lab;
mod link;
mod namespace;
mod nat;
mod network;
pub mod process;
mod program;
mod routes;
pub mod scenario;
mod tools;
mod up;

pub use capture::run as run_capture;
pub use error::LabError;
pub use lab::{Host, Lab, Options, RunningProgram, Source, Summary, down, list};
pub use link::control::{ChangeError, LinkChange};
pub use link::process::{LinkProcessError, run as run_link_process};
pub use nix::sys::signal::Signal;
pub use program::Status;
pub use scenario::{IpVersion, Scenario};
