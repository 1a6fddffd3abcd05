//! A node whose UDP is blocked.

use std::time::Duration;

use anyhow::{Result, ensure};
use twinmesh_e2e::{on_scenario, wait_for};

#[test]
fn it_joins_by_tcp_and_hears_of_changes_and_is_missed_when_it_goes() {
    on_scenario("nat-kinds.toml", "blocked", |mesh| {
        let token = mesh.token(&[])?.text;
        let up =
            ["twinmesh", "up", "--coordinator", "192.0.2.10", "--hostname", "blocked", "--token", &token];
        mesh.run("blocked", &up)?;
        let peers = |mesh: &twinmesh_e2e::Mesh| -> Result<usize> {
            Ok(mesh.status("blocked")?["peers"].as_array().map_or(0, Vec::len))
        };
        ensure!(peers(mesh)? == 8, "{}", mesh.status("blocked")?);
        mesh.run("hub", &["twinmesh-coordinator", "node", "remove", "open"])?;
        wait_for("the node to hear of it", Duration::from_secs(5), || {
            (peers(mesh).ok()? == 7).then_some(())
        })?;

        let connected = || {
            let shown = mesh.json("hub", &["twinmesh-coordinator", "node", "show", "blocked", "--json"]);
            shown.ok()?["connected"].as_bool()
        };
        ensure!(connected() == Some(true), "it is not connected");
        let pid = mesh.agent_pid("blocked")?;
        mesh.run("blocked", &["kill", "-9", &pid])?;
        wait_for("it to be missed", Duration::from_secs(5), || (connected() == Some(false)).then_some(()))
    });
}
