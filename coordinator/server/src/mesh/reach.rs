//! Where nodes say that they can be reached, and through what NAT.

use std::collections::BTreeSet;
use std::net::IpAddr;

use twinmesh_control::NodeId;

use super::{Mesh, to_the_end};
use crate::endpoints::{Surroundings, usable};
use crate::nat::legible;
use crate::store::{Reach, StoreError};

impl Mesh {
    /// Nodes are told of relays at these addresses; to be said before the first node is served.
    pub fn announce_relays(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        // What was said first holds.
        self.0.relays.set(addresses.into_iter().collect()).ok();
    }

    /// A node says where it can be reached. True if its peers hear of it.
    pub async fn report_reach(&self, id: NodeId, said: Reach) -> Result<bool, StoreError> {
        let none = BTreeSet::new();
        let relays = self.0.relays.get().unwrap_or(&none);
        let checked = {
            let state = self.state();
            usable(said.endpoints, Surroundings { overlay: state.network(), relays })
        };
        if let Some(presence) = self.presences().get_mut(&id) {
            presence.refused_endpoints = checked.refused;
        }
        let reach = Reach { endpoints: checked.endpoints, nat: legible(said.nat) };
        if self.state().node(id).is_none_or(|node| reach.is_of(node)) {
            return Ok(false);
        }
        let mesh = self.clone();
        to_the_end(async move { mesh.report_reach_now(id, reach).await }).await
    }

    async fn report_reach_now(&self, id: NodeId, reach: Reach) -> Result<bool, StoreError> {
        let _changing = self.0.changing.lock().await;
        let Some(revision) = self.0.store.store_reach(id, &reach).await? else { return Ok(false) };
        tracing::debug!(node = %id, ?reach, "a node can be reached elsewhere");
        self.change(id, revision, |record| {
            record.endpoints = reach.endpoints;
            record.nat = reach.nat;
        });
        Ok(true)
    }
}
