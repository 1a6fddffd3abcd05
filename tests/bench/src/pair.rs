//! The two hosts.

use std::path::Path;

use anyhow::{Context as _, Result};
use twinmesh_e2e::Mesh;
use twinmesh_lab::Options;

use crate::interrupt;

pub(crate) const LEFT: &str = "left";
pub(crate) const RIGHT: &str = "right";
/// The end of the cable, on both.
const INTERFACE: &str = "eth0";

/// `tests/scenarios/bench.toml`, with a cable between the hosts. It ends with the value.
pub(crate) struct Pair {
    mesh: Mesh,
}

impl Pair {
    /// Programs of that folder come first in the hosts.
    pub(crate) fn up(programs: &Path) -> Result<Self> {
        let name = format!("bench-{}", std::process::id());
        interrupt::lab_begins(&name)?;
        let options = Options { name: Some(name), bin: Some(programs.to_owned()), ..Options::default() };
        let pair = Self { mesh: Mesh::of("bench.toml", options)? };
        pair.lay_cable().context("laying a cable between the two hosts")?;
        Ok(pair)
    }

    pub(crate) fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// A veth pair in place of the two links to the lab's bridge, with their addresses.
    fn lay_cable(&self) -> Result<()> {
        let state = self.mesh.lab().state();
        for host in [LEFT, RIGHT] {
            self.mesh.run(host, &["ip", "link", "delete", INTERFACE])?;
        }
        let far = state.node(RIGHT)?.inner_pid.to_string();
        let cable = ["type", "veth", "peer", "name", INTERFACE, "netns", &far];
        self.mesh.run(LEFT, &[&["ip", "link", "add", INTERFACE], &cable[..]].concat())?;
        for host in [LEFT, RIGHT] {
            let node = state.node(host)?;
            for address in node.interfaces.iter().flat_map(|interface| &interface.addresses) {
                self.mesh.run(host, &["ip", "address", "add", &address.to_string(), "dev", INTERFACE])?;
            }
            self.mesh.run(host, &["ip", "link", "set", INTERFACE, "up"])?;
        }
        Ok(())
    }
}
