//! Who is connected, and what each node last said of its tunnels and its NAT.

use std::collections::hash_map::Entry;
use std::sync::PoisonError;

use twinmesh_control::{NatReport, NodeId, TunnelReport};

use super::Mesh;
use crate::clock::now;

/// Tunnels of one node that are kept; an agent reports no more.
const MOST_TUNNELS: usize = 1_000;

/// A node's connections and what it last said about its tunnels and its NAT.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    /// Open control connections; a node that has moved may have an old one for a while.
    pub connections: usize,
    pub tunnels: Vec<TunnelReport>,
    pub nat: NatReport,
}

impl Mesh {
    /// A node says what its tunnels do, and what NAT it is behind.
    pub fn report(&self, id: NodeId, mut tunnels: Vec<TunnelReport>, nat: NatReport) {
        tunnels.truncate(MOST_TUNNELS);
        if let Some(presence) = self.presences().get_mut(&id) {
            presence.tunnels = tunnels;
            presence.nat = nat;
        }
    }

    /// A node's connection opened.
    pub fn connected(&self, id: NodeId) {
        self.presences().entry(id).or_default().connections += 1;
    }

    /// A node's connection ended.
    pub async fn disconnected(&self, id: NodeId) {
        self.hung_up(id);
        self.state_mut().put_unseen(id, |record| record.last_seen_at = Some(now()));
        if let Err(error) = self.0.store.touch_node(id, now()).await {
            tracing::warn!(%error, node = %id, "when the node was last seen is not stored");
        }
    }

    /// As [`Self::disconnected`], without a note in the store.
    pub fn hung_up(&self, id: NodeId) {
        if let Entry::Occupied(mut presence) = self.presences().entry(id) {
            presence.get_mut().connections = presence.get().connections.saturating_sub(1);
            if presence.get().connections == 0 {
                presence.remove();
            }
        }
    }

    /// How many nodes are connected.
    pub fn online(&self) -> usize {
        self.0.presence.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A node's connections and tunnels.
    pub fn presence(&self, id: NodeId) -> Presence {
        let presences = self.0.presence.read().unwrap_or_else(PoisonError::into_inner);
        presences.get(&id).cloned().unwrap_or_default()
    }
}
