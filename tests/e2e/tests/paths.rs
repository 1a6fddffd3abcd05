//! Two nodes behind NATs talk by the relay at once, directly as soon as that is proven, and by the relay again when
//! the direct path dies.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{Flood, Mesh, on_scenario, wait_for};

const ENDS: [(&str, &str); 2] = [("alpha", "beta"), ("beta", "alpha")];

/// Nothing passes straight between the two networks any more; the relay's is not touched.
fn block(mesh: &Mesh) -> Result<()> {
    let [east, north] = ["198.51.100.0/24", "203.0.113.0/24"];
    let script = format!(
        "add table inet block; add chain inet block way {{ type filter hook forward priority 0; }}; \
         add rule inet block way ip saddr {east} ip daddr {north} drop; \
         add rule inet block way ip saddr {north} ip daddr {east} drop"
    );
    mesh.run("core", &["nft", &script]).map(drop)
}

fn unblock(mesh: &Mesh) -> Result<()> {
    mesh.run("core", &["nft", "delete table inet block"]).map(drop)
}

fn path(mesh: &Mesh, here: &str, there: &str) -> Option<Value> {
    Some(mesh.peer(here, there).ok()?["path"].clone())
}

/// Both ends have an address at the relay, and know the other's.
fn both_have_relays(mesh: &Mesh) -> Result<()> {
    for (here, there) in ENDS {
        wait_for(&format!("{here} to know where {there} is relayed"), Duration::from_secs(20), || {
            let page = mesh.json(here, &["twinmesh", "explain", there, "--json"]).ok()?;
            let candidates = page["candidates"].as_array()?.clone();
            candidates.iter().any(|candidate| candidate["kind"] == "relayed").then_some(())
        })?;
    }
    Ok(())
}

/// Both ends send that way.
fn both_go(mesh: &Mesh, relayed: bool, deadline: Duration) -> Result<Duration> {
    let start = Instant::now();
    for (here, there) in ENDS {
        let way = if relayed { "by relay" } else { "directly" };
        wait_for(&format!("{here} to send {way}"), deadline, || {
            let path = path(mesh, here, there)?;
            (path["relayed"] == relayed && path["proven"] == true).then_some(())
        })?;
    }
    Ok(start.elapsed())
}

#[test]
fn a_pair_behind_nats_goes_by_relay_until_a_direct_path_is_proven_and_again_when_it_dies() {
    on_scenario("paths.toml", "paths", |mesh| {
        block(mesh)?;
        both_have_relays(mesh)?;
        let beta = mesh.overlay_addresses("beta")?[0];
        let start = Instant::now();
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        println!("first answer by relay after {:?}", start.elapsed());
        both_go(mesh, true, Duration::from_secs(10))?;
        let page = mesh.run("alpha", &["twinmesh", "explain", "beta"])?;
        ensure!(page.contains("The path goes by relay: ") && page.contains("Why: "), "{page}");
        let json = mesh.json("alpha", &["twinmesh", "ping", "beta", "-c", "1", "--json"])?;
        ensure!(json["path"] == "relayed" && json["received"] == 1, "{json}");

        let told = mesh.write("alpha", "told", "")?;
        let script = format!("exec twinmesh ping beta -c 300 -i 0.1 > {told}");
        let mut pinging = mesh.spawn("alpha", &["sh", "-c", &script])?;
        let tells = |text: &str| std::fs::read_to_string(&told).ok()?.contains(text).then_some(());
        wait_for("ping to tell of the relay", Duration::from_secs(10), || tells(", relayed)\nreply"))?;
        unblock(mesh)?;
        println!("direct {:?} after the way was free", both_go(mesh, false, Duration::from_secs(30))?);
        wait_for("ping to tell of it", Duration::from_secs(10), || tells("the path is direct now, to "))?;
        pinging.kill()?;
        pinging.wait()?;

        let flood = Flood::start(mesh, "alpha", "beta", beta)?;
        wait_for("the stream to flow", Duration::from_secs(10), || {
            (mesh.peer("beta", "alpha").ok()?["rx_packets"].as_u64()? > 5_000).then_some(())
        })?;
        block(mesh)?;
        both_go(mesh, true, Duration::from_secs(10)).context("after the direct path died")?;
        let page = mesh.run("alpha", &["twinmesh", "explain", "beta"])?;
        ensure!(page.contains("the path goes by relay now, to "), "{page}");
        unblock(mesh)?;
        both_go(mesh, false, Duration::from_secs(45)).context("after the way was free again")?;
        let report = flood.finish()?;
        println!("10,000 packets a second while the direct path died and came back: {report:?}");
        ensure!(report.longest_pause < Duration::from_secs(3), "{report:?}");
        Ok(())
    });
}
