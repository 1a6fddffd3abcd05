//! What the relay beside the coordinator asks of the network.

use twinmesh_control::NodeId;

use super::Mesh;
use crate::relay::Peering;

impl Peering for Mesh {
    fn has(&self, node: NodeId) -> bool {
        self.state().node(node).is_some()
    }

    fn are_peers(&self, one: NodeId, other: NodeId) -> bool {
        self.state().are_peers(one, other)
    }
}
