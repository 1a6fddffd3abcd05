//! Which way the packets to each peer take.
//!
//! ```text
//!   network map ── candidates ─►┌───────┐── checks ─► data port
//!   data plane ── Heard, … ────►│ Pairs │
//!   data port ── STUN ─────────►└───────┘── path ──► data plane, IKE, coordinator, history
//! ```
//!
//! Peers without an agent answer no checks: the data plane follows them wherever they are heard.

mod drive;
mod news;
mod status;
mod stun;
mod sync;
mod why;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use twinmesh_control::NodeId;
use twinmesh_path::pair::Pairs;

pub(super) use self::status::reported_as;
use self::sync::Known;

/// The paths to all agents.
pub(super) struct Paths {
    pairs: Pairs<NodeId>,
    /// What the engine was told of each peer.
    known: BTreeMap<NodeId, Known>,
    traffic_due: Option<Instant>,
    /// STUN messages that name a pair and were not made by its peer.
    refused: u64,
    /// STUN messages that nobody here waits for.
    unclaimed: u64,
}

impl Paths {
    /// `random` makes transaction ids.
    pub(super) fn new(random: fastrand::Rng) -> Self {
        Self {
            pairs: Pairs::new(random),
            known: BTreeMap::new(),
            traffic_due: None,
            refused: 0,
            unclaimed: 0,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pairs.poll_timeout().into_iter().chain(self.traffic_due).min()
    }

    /// Peers that are in use and go by relay, each with its address there.
    pub(super) fn relayed_in_use(&self) -> impl Iterator<Item = (NodeId, SocketAddr)> {
        self.pairs.relayed_in_use()
    }

    /// STUN messages that were dropped, by reason.
    pub(super) fn drops(&self) -> [(&'static str, u64); 2] {
        [("forged-check", self.refused), ("unknown-stun", self.unclaimed)]
    }

    /// The tunnels are down.
    pub(super) fn clear(&mut self) {
        for id in std::mem::take(&mut self.known).into_keys() {
            self.pairs.remove_peer(id);
        }
        self.traffic_due = None;
    }
}
