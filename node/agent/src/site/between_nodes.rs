//! The child between two nodes of the mesh, of which no file tells.

use std::collections::BTreeSet;
use std::time::Duration;

use twinmesh_ike::config::{ChildConfig, Lifetime, SelectorPair};

use super::SiteChild;
use crate::sa;

impl SiteChild {
    /// `rekey`: age at which its keys are replaced.
    pub(crate) fn between_nodes(name: &str, selectors: SelectorPair, rekey: Duration) -> Self {
        Self {
            config: ChildConfig { lifetime: Lifetime::of(rekey), ..ChildConfig::new(name, selectors) },
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
