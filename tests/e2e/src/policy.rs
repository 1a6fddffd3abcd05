//! Which engine carries a pair's traffic, as the coordinator's policy has it.

use std::time::Duration;

use anyhow::Result;

use crate::{Mesh, wait_for};

/// An end that is asked for the other engine has ten seconds to change (docs/choice.md).
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks for an engine for one pair.
pub fn set_policy(mesh: &Mesh, [one, other]: [&str; 2], protocol: &str) -> Result<()> {
    let pair = format!("{one},{other}");
    let set = ["twinmesh-coordinator", "policy", "set", "--pair", &pair, "--protocol", protocol];
    mesh.run("hub", &set).map(drop)
}

/// Asks for it, and waits until both ends send by it and are heard.
///
/// # Errors
/// They still do not after 20 seconds.
pub fn pair_in(mesh: &Mesh, [one, other]: [&str; 2], protocol: &str) -> Result<()> {
    set_policy(mesh, [one, other], protocol)?;
    for (here, there) in [(one, other), (other, one)] {
        wait_for(&format!("{here} to send to {there} by {protocol}"), PATIENCE, || {
            (mesh.peer(here, there).ok()?["protocol"] == protocol).then_some(())
        })?;
    }
    let address = mesh.overlay_addresses(other)?[0];
    mesh.pings_within(one, address, PATIENCE)
}
