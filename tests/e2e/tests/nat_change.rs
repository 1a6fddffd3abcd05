//! A router with NAT that loses its mappings, as one does that was switched off and on.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use twinmesh_e2e::{Flood, FloodReport, Mesh, on_mesh, wait_for};

/// Checks of a path in use find out much sooner than a keepalive of 20 s would.
const MOST_PAUSE: Duration = Duration::from_secs(5);
/// The mappings change so often in one stream.
const CHANGES: u32 = 3;

fn overlay(mesh: &Mesh, node: &str) -> Result<IpAddr> {
    Ok(mesh.overlay_addresses(node)?[0])
}

/// Waits until so many more packets have come from a peer.
fn receives_more(mesh: &Mesh, node: &str, peer: &str, packets: u64) -> Result<()> {
    let count = || mesh.peer(node, peer).ok()?["rx_packets"].as_u64();
    let before = count().unwrap_or_default();
    wait_for(&format!("{node} to hear of {peer}"), Duration::from_secs(20), || {
        (count()? >= before + packets).then_some(())
    })
}

/// A stream while the mappings of gamma's router change.
fn flood_through_changes(mesh: &mut Mesh, from: &str, to: &str) -> Result<FloodReport> {
    let address = overlay(mesh, to)?;
    mesh.pings_within(from, address, Duration::from_secs(5))?;
    let flood = Flood::start(mesh, from, to, address)?;
    receives_more(mesh, to, from, 5000)?;
    for _ in 0..CHANGES {
        let before = mesh.peer("alpha", "gamma")?["endpoint"].clone();
        mesh.forget_nat("door")?;
        wait_for("alpha to hear gamma from another port", Duration::from_secs(20), || {
            let endpoint = mesh.peer("alpha", "gamma").ok()?["endpoint"].clone();
            (!endpoint.is_null() && endpoint != before).then_some(())
        })?;
        receives_more(mesh, to, from, 5000)?;
    }
    flood.finish()
}

#[test]
fn ten_thousand_packets_a_second_from_behind_a_nat_go_on_when_its_mapping_changes() {
    on_mesh("nat-change-out", |mesh| {
        let report = flood_through_changes(mesh, "gamma", "alpha")?;
        println!("from behind the NAT, {CHANGES} changes of the mapping: {report:?}");
        // Each packet makes the new mapping: what is lost was inside the router.
        ensure!(report.longest_pause < Duration::from_millis(100), "{report:?}");
        Ok(())
    });
}

#[test]
fn ten_thousand_packets_a_second_to_behind_a_nat_are_lost_only_until_the_next_checks() {
    on_mesh("nat-change-in", |mesh| {
        let report = flood_through_changes(mesh, "alpha", "gamma")?;
        println!("to behind the NAT, {CHANGES} changes of the mapping: {report:?}");
        ensure!(report.longest_pause < MOST_PAUSE, "{report:?}");
        Ok(())
    });
}

#[test]
fn traffic_from_behind_a_nat_is_back_within_five_seconds_after_it_forgot_and_explain_tells() {
    on_mesh("nat-forgets", |mesh| {
        let alpha = overlay(mesh, "alpha")?;
        mesh.pings_within("gamma", alpha, Duration::from_secs(5))?;
        mesh.forget_nat("door")?;
        let forgot = Instant::now();
        mesh.pings_within("gamma", alpha, Duration::from_secs(5))?;
        println!("traffic back after {:?}", forgot.elapsed());
        let page = mesh.run("alpha", &["twinmesh", "explain", "gamma"])?;
        let door = mesh.outer_address("door", twinmesh_e2e::IpVersion::V4)?;
        ensure!(page.matches(&format!("{door}:")).count() > 1, "{page}");
        Ok(())
    });
}
