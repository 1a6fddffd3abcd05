//! A router with NAT that loses its mappings, as one does that was switched off and on.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use twinmesh_e2e::{Flood, FloodReport, IpVersion, Mesh, on_mesh, wait_for};

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

/// Both ends send by that protocol.
fn pair_goes_by(mesh: &Mesh, protocol: &str) -> Result<()> {
    let policy = ["policy", "set", "--pair", "alpha,gamma", "--protocol", protocol];
    mesh.run("hub", &[&["twinmesh-coordinator"], &policy[..]].concat())?;
    for (here, there) in [("alpha", "gamma"), ("gamma", "alpha")] {
        wait_for(&format!("{here} to send by {protocol}"), Duration::from_secs(15), || {
            (mesh.peer(here, there).ok()?["protocol"] == protocol).then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn traffic_from_either_side_is_back_within_five_seconds_after_a_nat_forgot_and_explain_tells() {
    on_mesh("nat-forgets", |mesh| {
        let door = format!("{}:", mesh.outer_address("door", IpVersion::V4)?);
        for protocol in ["wireguard", "esp"] {
            pair_goes_by(mesh, protocol)?;
            for (from, to) in [("gamma", "alpha"), ("alpha", "gamma")] {
                let address = overlay(mesh, to)?;
                mesh.pings_within(from, address, Duration::from_secs(5))?;
                mesh.forget_nat("door")?;
                let forgot = Instant::now();
                // One a second; the other end only answers.
                mesh.run(from, &["ping", "-n", "-i", "1", "-c", "1", "-w", "5", &address.to_string()])?;
                println!("{from} → {to} in {protocol}: traffic back after {:?}", forgot.elapsed());
            }
            let page = mesh.run("alpha", &["twinmesh", "explain", "gamma"])?;
            ensure!(page.matches(&door).count() > 1, "{page}");
        }
        Ok(())
    });
}
