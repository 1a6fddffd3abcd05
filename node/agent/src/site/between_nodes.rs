//! The child between two nodes of the mesh, of which no file tells.

use std::collections::BTreeSet;

use twinmesh_ike::config::{ChildConfig, SelectorPair};

use super::SiteChild;
use crate::sa;

impl SiteChild {
    pub(crate) fn between_nodes(name: &str, selectors: SelectorPair) -> Self {
        Self {
            config: ChildConfig::new(name, selectors),
            // The map's routes cover every peer.
            routes: Some(BTreeSet::new()),
            rekey_bytes: None,
            path_mtu: sa::DEFAULT_PATH_MTU,
            replay_window: sa::DEFAULT_REPLAY_WINDOW,
        }
    }

    pub(crate) fn config(&self) -> &ChildConfig {
        &self.config
    }
}
