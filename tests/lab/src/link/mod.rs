//! Links with delay, jitter, loss, reordering or duplication.
//!
//! The kernel's `netem` would do this, but not every kernel has it, and a scenario shall behave the same
//! everywhere. So such a link is never a veth: it is a TAP device at each end, and the lab's *link
//! process* carries the frames between them. What happens to a frame is decided in [`lane`], from a
//! seeded source; the threads that carry frames are in [`process`]; [`control`] changes a running link.

pub(crate) mod control;
mod lane;
pub(crate) mod process;

use serde::{Deserialize, Serialize};

use crate::scenario::LinkProperties;

/// links.json: all impaired links of a lab.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Links {
    /// Grows with every change; the link process writes back which one it has applied.
    pub(crate) revision: u64,
    pub(crate) links: Vec<Link>,
}

/// One impaired link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) node: String,
    pub(crate) interface: String,
    /// Pid inside the lab of the node's holder.
    pub(crate) holder: i32,
    /// Name of the TAP at the network's end.
    pub(crate) port: String,
    pub(crate) properties: LinkProperties,
}

/// File with the links, in the lab's folder.
pub(crate) const LINKS: &str = "links.json";
/// File with the revision that the link process has applied.
pub(crate) const APPLIED: &str = "links.applied";
/// Name of the link process among the lab's programs.
pub(crate) const PROGRAM: &str = "links";
