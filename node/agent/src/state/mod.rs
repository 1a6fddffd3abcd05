//! What a node keeps on disk: its keys, who its coordinator is, and the last network map.
//!
//! ```text
//! /var/lib/twinmesh/           0700
//!     lock                     pid of the agent that holds the folder (flock)
//!     identity-key             Ed25519, PKCS#8 DER
//!     wireguard-key            X25519, 32 bytes
//!     config                   JSON: coordinator, pinned fingerprint, preferences, wanted up or down
//!     map                      JSON: the last network map
//!     sites                    JSON: the sites, with their secrets
//!     <name>.corrupt-<unix time>
//! ```
//!
//! Each file starts with a line that names its kind, version and check sum (`envelope`). Files are
//! mode 0600 and replaced whole: written beside, synced, renamed.
//!
//! SAs keyed by hand are not kept: after a restart their sequence numbers would start at 1 again, under the same keys,
//! and packets would share nonces (RFC 4106 §2). A site negotiates new keys each time.

mod config;
mod envelope;
mod folder;
mod glance;
mod lock;
mod sites;

pub use config::{Config, Coordinator, Wanted};
pub use folder::{Kept, StateFolder};
pub use glance::{FileFacts, Glance, SiteFacts};
pub use sites::{StoredSite, StoredSites};

use std::io;
use std::path::PathBuf;

/// The state folder cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    #[error("another twinmesh agent{} uses the state folder {}", pid_words(*.pid), .folder.display())]
    Locked { folder: PathBuf, pid: Option<u32> },
    #[error(
        "{} was written by a newer twinmesh (its version is {found}, this program knows {known}): update this program",
        .path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("cannot {action} {}: {source}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

fn pid_words(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}
