//! Who is connected, and what each node last said of its tunnels.

use std::collections::hash_map::Entry;
use std::sync::PoisonError;

use twinmesh_control::{NodeId, PathKind, Protocol, TunnelReport};

use super::Mesh;
use crate::clock::now;
use crate::name::is_word;

/// Tunnels of one node that are kept; an agent reports no more.
const MOST_TUNNELS: usize = 1_000;
/// Failures of one tunnel that are kept: there are two protocols.
const MOST_FAILURES: usize = 2;
/// Characters of a failure's text that are kept.
const MAX_TEXT: usize = 200;

/// A node's connections and what it last said about its tunnels.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    /// Open control connections; a node that has moved may have an old one for a while.
    pub connections: usize,
    pub tunnels: Vec<TunnelReport>,
    /// How many of the endpoints that it last reported were not taken.
    pub refused_endpoints: usize,
}

impl Mesh {
    /// A node says what its tunnels do.
    pub fn report(&self, id: NodeId, mut tunnels: Vec<TunnelReport>) {
        tunnels.truncate(MOST_TUNNELS);
        for tunnel in &mut tunnels {
            legible(tunnel);
        }
        if let Some(presence) = self.presences().get_mut(&id) {
            presence.tunnels = tunnels;
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

/// Leaves nothing in a report that fills our memory or writes to an administrator's terminal.
fn legible(tunnel: &mut TunnelReport) {
    let unknown = || "unknown".to_owned();
    if !is_word(tunnel.protocol.as_str()) {
        tunnel.protocol = Protocol::from(unknown());
    }
    if let Some(path) = tunnel.path.as_mut().filter(|path| !is_word(path.kind.as_str())) {
        path.kind = PathKind::from(unknown());
    }
    tunnel.failed.retain(|failed| is_word(failed.protocol.as_str()) && is_word(failed.code.as_str()));
    tunnel.failed.truncate(MOST_FAILURES);
    for failed in &mut tunnel.failed {
        failed.text = failed.text.chars().filter(|char| !char.is_control()).take(MAX_TEXT).collect();
    }
}
