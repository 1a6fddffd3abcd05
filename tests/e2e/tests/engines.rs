//! A pair changes between WireGuard and ESP, and heals when one of them carries nothing.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{Flood, Mesh, on_mesh, wait_for};

/// Waits until both ends send by that protocol.
fn both_send_by(mesh: &Mesh, protocol: &str, deadline: Duration) -> Result<()> {
    for (here, there) in [("alpha", "beta"), ("beta", "alpha")] {
        wait_for(&format!("{here} to send by {protocol}"), deadline, || {
            (mesh.peer(here, there).ok()?["protocol"] == protocol).then_some(())
        })?;
    }
    Ok(())
}

fn set_policy(mesh: &Mesh, protocol: &str) -> Result<()> {
    let set = ["twinmesh-coordinator", "policy", "set", "--pair", "alpha,beta", "--protocol", protocol];
    mesh.run("hub", &set).map(drop)
}

#[test]
fn ten_thousand_packets_a_second_lose_none_while_the_pair_changes_engines_ten_times_and_back() {
    on_mesh("engines-change", |mesh| {
        let beta = mesh.overlay_addresses("beta")?[0].to_string();
        mesh.run("alpha", &["ping", "-c", "2", "-i", "0.2", "-W", "2", &beta])?;
        let flood = Flood::start(mesh, "alpha", "beta", mesh.overlay_addresses("beta")?[0])?;
        for _ in 0..10 {
            for protocol in ["esp", "wireguard"] {
                set_policy(mesh, protocol)?;
                both_send_by(mesh, protocol, Duration::from_secs(15))?;
                let carried = || mesh.peer("alpha", "beta").ok()?["tx_packets"].as_u64();
                let before = carried().context("no counter")?;
                wait_for("2,500 packets more", Duration::from_secs(10), || {
                    (carried()? >= before + 2500).then_some(())
                })?;
            }
        }
        let report = flood.finish()?;
        println!("through 20 changes of engine: {report:?}");
        ensure!(report.sent >= 50_000 && report.received == report.sent, "{report:?}");
        Ok(())
    });
}

/// Drops what comes to a host's data port with such a first byte.
fn cut(mesh: &Mesh, host: &str, rule: &str) -> Result<()> {
    let script = format!(
        "add table inet cut; add chain inet cut in {{ type filter hook input priority 0; }}; add rule inet cut in {rule} drop"
    );
    mesh.run(host, &["nft", &script]).map(drop)
}

fn mend(mesh: &Mesh, host: &str) -> Result<()> {
    mesh.run(host, &["nft", "delete table inet cut"]).map(drop)
}

const ESP: &str = "udp dport 4500 @th,64,8 & 0x80 == 0x80";
const WIREGUARD_DATA: &str = "udp dport 4500 @th,64,32 == 0x04000000";
const IKE: &str = "udp dport 4500 @th,64,32 == 0";

fn has_problem(peer: &Value, text: &str) -> bool {
    peer["problem"].as_str().is_some_and(|problem| problem.contains(text))
}

#[test]
fn what_is_not_up_in_ten_seconds_leaves_the_old_engine_and_the_reason_is_shown() {
    on_mesh("engines-late", |mesh| {
        let beta = mesh.overlay_addresses("beta")?[0];
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        for host in ["alpha", "beta"] {
            cut(mesh, host, IKE)?;
        }
        set_policy(mesh, "esp")?;
        wait_for("the reason", Duration::from_secs(15), || {
            has_problem(&mesh.peer("alpha", "beta").ok()?, "ESP is not up after 10 s").then_some(())
        })?;
        let peer = mesh.peer("alpha", "beta")?;
        ensure!(peer["protocol"] == "wireguard" && peer["state"] == "active", "{peer}");
        mesh.pings_within("alpha", beta, Duration::from_secs(1))?;
        for host in ["alpha", "beta"] {
            mend(mesh, host)?;
        }
        both_send_by(mesh, "esp", Duration::from_mins(1))?;
        ensure!(!has_problem(&mesh.peer("alpha", "beta")?, "not up"), "the reason is still shown");
        Ok(())
    });
}

#[test]
fn one_way_loss_of_either_engine_heals_within_five_seconds_and_explain_tells() {
    on_mesh("engines-one-way", |mesh| {
        let [alpha, beta] = [mesh.overlay_addresses("alpha")?[0], mesh.overlay_addresses("beta")?[0]];
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        set_policy(mesh, "esp")?;
        both_send_by(mesh, "esp", Duration::from_secs(15))?;
        mesh.pings_within("alpha", beta, Duration::from_secs(2))?;
        // What alpha sends is lost, what beta sends is not.
        cut(mesh, "beta", ESP)?;
        let lost = Instant::now();
        mesh.pings_within("alpha", beta, Duration::from_secs(5)).context("ESP to beta is lost")?;
        println!("one-way loss of ESP: traffic back after {:?}", lost.elapsed());
        let page = mesh.run("alpha", &["twinmesh", "explain", "beta"])?;
        ensure!(page.contains("ESP: keys are agreed, but what is sent has no answer"), "{page}");
        ensure!(page.contains("traffic goes by WireGuard now"), "{page}");
        mend(mesh, "beta")?;
        both_send_by(mesh, "esp", Duration::from_mins(1))?;
        set_policy(mesh, "wireguard")?;
        both_send_by(mesh, "wireguard", Duration::from_secs(15))?;
        cut(mesh, "beta", WIREGUARD_DATA)?;
        let lost = Instant::now();
        mesh.pings_within("alpha", beta, Duration::from_secs(5)).context("WireGuard to beta is lost")?;
        println!("one-way loss of WireGuard: traffic back after {:?}", lost.elapsed());
        mesh.pings_within("beta", alpha, Duration::from_secs(5))
    });
}

/// A ping a second from alpha, until one is answered: after how long.
fn traffic_is_back(mesh: &Mesh, beta: IpAddr) -> Result<Duration> {
    let lost = Instant::now();
    mesh.run("alpha", &["ping", "-n", "-i", "1", "-c", "1", "-w", "5", &beta.to_string()])?;
    Ok(lost.elapsed())
}

#[test]
fn one_way_loss_heals_within_five_seconds_although_the_other_end_has_nothing_to_send() {
    on_mesh("engines-idle-end", |mesh| {
        let beta = mesh.overlay_addresses("beta")?[0];
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        // ESP was never spoken here.
        cut(mesh, "beta", WIREGUARD_DATA)?;
        let back = traffic_is_back(mesh, beta).context("WireGuard to beta is lost")?;
        println!("one-way loss of WireGuard, idle end: traffic back after {back:?}");
        let page = mesh.run("alpha", &["twinmesh", "explain", "beta"])?;
        ensure!(page.contains("WireGuard: keys are agreed, but what is sent has no answer"), "{page}");
        ensure!(page.contains("traffic goes by ESP now"), "{page}");
        mend(mesh, "beta")?;
        set_policy(mesh, "esp")?;
        both_send_by(mesh, "esp", Duration::from_secs(15))?;
        cut(mesh, "beta", ESP)?;
        let back = traffic_is_back(mesh, beta).context("ESP to beta is lost")?;
        println!("one-way loss of ESP, idle end: traffic back after {back:?}");
        let page = mesh.run("alpha", &["twinmesh", "explain", "beta"])?;
        ensure!(page.contains("ESP: keys are agreed, but what is sent has no answer"), "{page}");
        ensure!(page.contains("traffic goes by WireGuard now"), "{page}");
        Ok(())
    });
}

#[test]
fn a_peer_restored_from_an_old_snapshot_of_its_state_is_reached_within_five_seconds() {
    on_mesh("engines-snapshot", |mesh| {
        let [alpha, beta] = [mesh.overlay_addresses("alpha")?[0], mesh.overlay_addresses("beta")?[0]];
        mesh.pings_within("alpha", beta, Duration::from_secs(5))?;
        let state = mesh.state_dir("beta")?;
        mesh.run("beta", &["sh", "-ec", &format!("cp -a {state} {state}.old")])?;
        for protocol in ["esp", "wireguard"] {
            set_policy(mesh, protocol)?;
            both_send_by(mesh, protocol, Duration::from_secs(15))?;
            mesh.pings_within("alpha", beta, Duration::from_secs(2))?;
            mesh.kill_agent("beta")?;
            mesh.run("beta", &["sh", "-ec", &format!("rm -r {state}; cp -a {state}.old {state}")])?;
            mesh.start_agent("beta")?;
            let back = Instant::now();
            mesh.pings_within("alpha", beta, Duration::from_secs(5))
                .with_context(|| format!("in {protocol}"))?;
            mesh.pings_within("beta", alpha, Duration::from_secs(5))?;
            println!("restored from an old snapshot in {protocol}: traffic back after {:?}", back.elapsed());
            both_send_by(mesh, protocol, Duration::from_mins(1))?;
        }
        Ok(())
    });
}
