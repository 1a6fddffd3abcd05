//! The coordinator hears what fails between two nodes, and both do as it says.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{Mesh, on_mesh, wait_for};

/// What alpha sends by WireGuard is lost before beta; handshakes pass.
const LOSS: &str = "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; \
                    add rule inet cut in udp dport 4500 @th,64,32 == 0x04000000 drop";

fn on_hub(mesh: &Mesh, words: &[&str]) -> Result<String> {
    mesh.run("hub", &[&["twinmesh-coordinator"], words].concat())
}

#[test]
fn a_protocol_that_fails_between_two_nodes_is_avoided_by_both_and_the_coordinator_explains() {
    on_mesh("choice-failed", |mesh| {
        let beta = mesh.overlay_addresses("beta")?[0];
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        mesh.run("beta", &["nft", LOSS])?;
        let _traffic = mesh.ping_in_background("alpha", beta, Duration::from_mins(1))?;
        // The node goes over by itself; the choice follows when that has lasted.
        for (here, there) in [("alpha", "beta"), ("beta", "alpha")] {
            wait_for(&format!("{here} to be told of the failure"), Duration::from_secs(40), || {
                let peer = mesh.peer(here, there).ok()?;
                (peer["protocol"] == "esp" && peer["reasons"][0]["code"] == "failed").then_some(())
            })?;
        }
        let page = on_hub(mesh, &["explain", "alpha", "beta"])?;
        println!("{page}");
        ensure!(page.contains("chosen: ESP") && page.contains("failed: WireGuard failed"), "{page}");
        let pair: Value = serde_json::from_str(&on_hub(mesh, &["explain", "alpha", "beta", "--json"])?)?;
        for (here, there) in [("alpha", "beta"), ("beta", "alpha")] {
            let seen: Value =
                serde_json::from_str(&mesh.run(here, &["twinmesh", "explain", there, "--json"])?)?;
            ensure!(seen["generation"] == pair["generation"], "{here} is at {}: {pair}", seen["generation"]);
        }
        // Nobody else is touched by it.
        ensure!(mesh.peer("alpha", "gamma")?["protocol"] == "wireguard", "{}", mesh.status("alpha")?);
        Ok(())
    });
}
