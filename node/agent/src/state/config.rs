//! The `config` file: what this node was told by its administrator.

use serde::{Deserialize, Serialize};
use twinmesh_control::{Fingerprint, Preference};

use crate::control::CoordinatorAddress;

/// Whether the tunnels should run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    Up,
    #[default]
    Down,
}

/// Which coordinator this node belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinator {
    pub address: CoordinatorAddress,
    /// Its key, as the join token named it.
    pub fingerprint: Fingerprint,
}

/// Contents of the `config` file. The default is that of a node that never joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// None: this node belongs to no network.
    #[serde(default)]
    pub coordinator: Option<Coordinator>,
    /// Host name that the administrator asked for.
    #[serde(default)]
    pub hostname: Option<String>,
    /// What the administrator wishes for the tunnels to other agents.
    #[serde(default)]
    pub preference: Preference,
    #[serde(default)]
    pub wanted: Wanted,
    /// Why the coordinator removed this node, if it did.
    #[serde(default)]
    pub removed: Option<String>,
}
