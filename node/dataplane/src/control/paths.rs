//! Where peers are reached.

use twinmesh_wireguard::PublicKey;

use super::Control;
use crate::config::PeerPath;

impl Control {
    pub(crate) fn set_path(&self, key: &PublicKey, path: Option<PeerPath>) -> bool {
        self.shared.table.load().by_key(key).is_some_and(|slot| slot.set_path(path))
    }
}
