//! What the mesh lives through: restarts, a coordinator that is away, removal, roaming.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use twinmesh_e2e::{on_mesh, wait_for};

#[test]
fn a_node_that_restarts_is_back_with_its_address() {
    on_mesh("restart", |mesh| {
        let before = mesh.overlay_addresses("beta")?;
        mesh.kill_agent("beta")?;
        mesh.start_agent("beta")?;
        ensure!(mesh.overlay_addresses("beta")? == before, "the address changed");
        mesh.pings_within("alpha", before[0], Duration::from_secs(8))?;
        mesh.pings_within("beta", mesh.overlay_addresses("gamma")?[0], Duration::from_secs(8))
    });
}

#[test]
fn traffic_goes_on_and_a_node_reboots_while_the_coordinator_is_away_for_60_s() {
    on_mesh("away", |mesh| {
        let (beta, gamma) = (mesh.overlay_addresses("beta")?[0], mesh.overlay_addresses("gamma")?[0]);
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        mesh.stop_coordinator()?;
        let away = Instant::now();

        let stream = mesh.ping_in_background("alpha", beta, Duration::from_secs(58))?;
        mesh.kill_agent("gamma")?;
        mesh.start_agent("gamma")?;
        mesh.pings_within("gamma", beta, Duration::from_secs(15))
            .context("after a reboot without coordinator")?;
        mesh.pings_within("alpha", gamma, Duration::from_secs(15))?;
        let connected = mesh.status("gamma")?["coordinator"]["connected"].as_bool();
        ensure!(connected == Some(false), "the status claims a connection: {connected:?}");

        let report = stream.finish()?;
        ensure!(away.elapsed() >= Duration::from_secs(58), "the stream ended early");
        ensure!(report.sent > 500 && report.lost == 0, "{report:?}");

        mesh.start_coordinator()?;
        wait_for("every node's connection to return", Duration::from_secs(40), || {
            let connected = |node: &&str| {
                mesh.status(node).is_ok_and(|status| status["coordinator"]["connected"] == true)
            };
            twinmesh_e2e::NODES.iter().all(connected).then_some(())
        })
    });
}

#[test]
fn a_removed_node_is_cut_off_within_2_s() {
    on_mesh("removed", |mesh| {
        let gamma = mesh.overlay_addresses("gamma")?[0];
        mesh.pings_within("alpha", gamma, Duration::from_secs(5))?;
        mesh.run("hub", &["twinmesh-coordinator", "node", "remove", "gamma"])?;
        let removed = Instant::now();
        wait_for("gamma to be gone from alpha", Duration::from_secs(2), || {
            let status = mesh.status("alpha").ok()?;
            let peers = status["peers"].as_array()?;
            peers.iter().all(|peer| peer["name"] != "gamma").then_some(())
        })?;
        ensure!(removed.elapsed() <= Duration::from_secs(2), "{:?}", removed.elapsed());
        mesh.fails("alpha", &["ping", "-c", "1", "-W", "1", &gamma.to_string()])?;

        wait_for("gamma to know", Duration::from_secs(5), || {
            (mesh.status("gamma").ok()?["state"] == "removed").then_some(())
        })?;
        let status = mesh.run("gamma", &["twinmesh", "status"])?;
        ensure!(status.contains("up --coordinator"), "the status does not say what to do: {status}");
        let list = mesh.json("hub", &["twinmesh-coordinator", "node", "list", "--json"])?;
        ensure!(!list.to_string().contains("gamma"), "{list}");
        Ok(())
    });
}

#[test]
fn traffic_resumes_within_2_s_when_a_roaming_node_changes_its_address() {
    on_mesh("roaming", |mesh| {
        let (alpha, beta) = (mesh.overlay_addresses("alpha")?[0], mesh.overlay_addresses("beta")?[0]);
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        mesh.pings_within("beta", alpha, Duration::from_secs(5))?;
        mesh.move_node("alpha")?;
        // One way each: the node that moved speaks first, and the other must find it by itself.
        mesh.pings_within("beta", alpha, Duration::from_secs(2))?;
        mesh.pings_within("alpha", beta, Duration::from_secs(2))
    });
}

#[test]
fn down_stops_traffic_and_up_without_token_brings_it_back() {
    on_mesh("down-up", |mesh| {
        let beta = mesh.overlay_addresses("beta")?[0];
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        mesh.run("alpha", &["twinmesh", "down"])?;
        mesh.fails("alpha", &["ping", "-c", "1", "-W", "1", &beta.to_string()])?;
        ensure!(mesh.status("alpha")?["state"] == "stopped", "{}", mesh.status("alpha")?);
        mesh.run("alpha", &["twinmesh", "up"])?;
        mesh.pings_within("alpha", beta, Duration::from_secs(8))
    });
}

#[test]
fn a_node_that_logs_out_is_forgotten_by_all() {
    on_mesh("logout", |mesh| {
        mesh.run("beta", &["twinmesh", "logout"])?;
        ensure!(mesh.status("beta")?["state"] == "needs-login", "{}", mesh.status("beta")?);
        wait_for("beta to be gone from alpha", Duration::from_secs(3), || {
            let status = mesh.status("alpha").ok()?;
            status["peers"].as_array()?.iter().all(|peer| peer["name"] != "beta").then_some(())
        })
    });
}
