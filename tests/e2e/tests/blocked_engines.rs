//! A firewall on the way lets only one of the two protocols through: the pair goes by the other, by itself.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use twinmesh_e2e::{Mesh, on_mesh, wait_for};

/// Messages 1 and 2 of WireGuard, by their first bytes.
const WIREGUARD_HANDSHAKE: &str = "udp length > 12 @th,64,32 { 0x01000000, 0x02000000 }";
/// The top bit of an SPI; a NAT keepalive has it too, but one byte only.
const ESP: &str = "udp length > 12 @th,64,8 & 0x80 == 0x80";

/// Makes the router between the two networks drop what matches, both ways.
fn block(mesh: &Mesh, rule: &str) -> Result<()> {
    let script = format!(
        "add table inet block; add chain inet block way {{ type filter hook forward priority 0; }}; \
         add rule inet block way {rule} counter drop"
    );
    mesh.run("core", &["nft", &script]).map(drop)
}

/// How many packets the router has dropped.
fn blocked(mesh: &Mesh) -> Result<u64> {
    let chain = mesh.run("core", &["nft", "list", "chain", "inet", "block", "way"])?;
    let count = chain.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    Ok(count.unwrap_or_default())
}

/// Pings of one end are answered, and both send by that protocol. The time to the first answer.
fn goes_by(mesh: &Mesh, protocol: &str) -> Result<Duration> {
    let beta = mesh.overlay_addresses("beta")?[0];
    let start = Instant::now();
    mesh.pings_within("alpha", beta, Duration::from_secs(15))?;
    let first = start.elapsed();
    for (here, there) in [("alpha", "beta"), ("beta", "alpha")] {
        wait_for(&format!("{here} to send by {protocol}"), Duration::from_secs(15), || {
            (mesh.peer(here, there).ok()?["protocol"] == protocol).then_some(())
        })?;
    }
    mesh.run("alpha", &["ping", "-c", "20", "-i", "0.1", "-W", "2", &beta.to_string()])?;
    ensure!(blocked(mesh)? > 0, "the router had nothing to drop");
    Ok(first)
}

#[test]
fn a_pair_whose_wireguard_handshake_is_blocked_goes_by_esp_and_explain_tells() {
    on_mesh("blocked-wireguard", |mesh| {
        block(mesh, WIREGUARD_HANDSHAKE)?;
        // The session that stands is lost with the agent, which has nothing to send.
        mesh.kill_agent("beta")?;
        mesh.start_agent("beta")?;
        println!("an answer by esp after {:?}", goes_by(mesh, "esp")?);
        let page = mesh.run("alpha", &["twinmesh", "explain", "beta"])?;
        ensure!(page.contains("WireGuard: ") && page.contains("traffic goes by ESP now"), "{page}");
        // The others are not touched by it.
        ensure!(mesh.peer("alpha", "gamma")?["protocol"] == "wireguard", "{}", mesh.status("alpha")?);
        Ok(())
    });
}

#[test]
fn a_pair_whose_esp_is_blocked_goes_by_wireguard_and_explain_tells() {
    on_mesh("blocked-esp", |mesh| {
        let beta = mesh.overlay_addresses("beta")?[0];
        mesh.run("alpha", &["twinmesh", "up", "--prefer", "esp"])?;
        for (here, there) in [("alpha", "beta"), ("beta", "alpha")] {
            wait_for("the pair to be in ESP", Duration::from_secs(15), || {
                let peer = mesh.peer(here, there).ok()?;
                (peer["protocol"] == "esp" && peer["state"] == "active").then_some(())
            })?;
        }
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        block(mesh, ESP)?;
        println!("an answer by wireguard after {:?}", goes_by(mesh, "wireguard")?);
        let page = mesh.run("alpha", &["twinmesh", "explain", "beta"])?;
        ensure!(page.contains("ESP: ") && page.contains("traffic goes by WireGuard now"), "{page}");
        Ok(())
    });
}
