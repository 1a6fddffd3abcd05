//! Whom the network's map lets talk to each other.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use twinmesh_control::NodeId;

/// How long an answer of the map counts: so long a removed node's packets may still pass.
const FRESH: Duration = Duration::from_secs(1);
/// Pairs that are remembered; beyond that the map is asked again.
const MOST_PAIRS: usize = 65_536;

/// What a relay that runs beside the coordinator can ask of the network.
pub trait Peering: Send {
    /// Whether the node is in the network.
    fn has(&self, node: NodeId) -> bool;
    /// Whether the two are peers, and may exchange packets.
    fn are_peers(&self, one: NodeId, other: NodeId) -> bool;
}

/// The map's answers of the last second. A relay alone has no map: there a credential says all.
pub(super) struct Peers {
    map: Option<Box<dyn Peering>>,
    known: HashMap<(NodeId, NodeId), bool>,
    since: Instant,
}

impl Peers {
    pub(super) fn new(map: Option<Box<dyn Peering>>, now: Instant) -> Self {
        Self { map, known: HashMap::new(), since: now }
    }

    pub(super) fn has(&self, node: NodeId) -> bool {
        self.map.as_ref().is_none_or(|map| map.has(node))
    }

    pub(super) fn may_talk(&mut self, one: NodeId, other: NodeId, now: Instant) -> bool {
        let Some(map) = &self.map else { return true };
        if now.saturating_duration_since(self.since) >= FRESH || self.known.len() >= MOST_PAIRS {
            self.known.clear();
            self.since = now;
        }
        let pair = (one.min(other), one.max(other));
        *self.known.entry(pair).or_insert_with(|| map.are_peers(one, other))
    }
}
