//! SAs keyed by hand, for tests and static interop: a TOML file of `[[sa]]` tables becomes tunnels for the data
//! plane, or an error that names the line.
//!
//! [`ManualSa::read`] is the way in; the command line uses it before it asks the daemon, and the daemon again,
//! since it trusts nobody's reading but its own. `twinmesh sa add --help` describes the file.

mod check;
mod error;
mod file;
mod hex;
mod key;
mod quantity;
mod suite;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::BTreeSet;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use twinmesh_dataplane::EspConfig;

pub(crate) use check::{
    DEFAULT_PATH_MTU, DEFAULT_REPLAY_WINDOW, Fault, is_name, needs_alignment_of_8, path_mtu, replay_window,
};
pub use error::{Problem, SaFileError};
pub(crate) use file::Number;
pub(crate) use hex::{decode, encode};
pub(crate) use quantity::{bytes, time};
pub(crate) use traffic::{destinations_of, is_a_machine};

/// A pair of SAs, checked.
pub struct ManualSa {
    pub config: EspConfig,
    /// Tunnel mode: what lies behind the peer, as prefixes. Transport mode: the peer itself.
    pub destinations: BTreeSet<IpNet>,
    /// Of both keys.
    pub keys: [KeyDigest; 2],
}

impl ManualSa {
    /// Reads a whole file; `file` is its name in messages.
    pub fn read(text: &str, file: &str) -> Result<Vec<Self>, SaFileError> {
        check::check(text, file)
    }
}

/// Tells that a key is used again without keeping it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }
}
