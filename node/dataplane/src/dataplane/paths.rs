//! The agent's calls about where peers are reached.

use twinmesh_wireguard::PublicKey;

use super::Dataplane;
use crate::config::PeerPath;

impl Dataplane {
    /// Sends to a managed peer this way from now on, whatever engine is in use, and wherever it is heard from. False
    /// where there is no such peer.
    pub fn set_path(&self, key: &PublicKey, path: PeerPath) -> bool {
        self.control.set_path(key, Some(path))
    }

    /// No path to a managed peer is known: until there is one, its datagrams go to wherever it was heard from last, and
    /// packets call for a path ([`crate::Event::Needed`]). False where there is no such peer.
    pub fn clear_path(&self, key: &PublicKey) -> bool {
        self.control.set_path(key, None)
    }
}
