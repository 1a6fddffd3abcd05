//! Several peers send all they can to one node: each has its share, and a ping is answered.

use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use twinmesh_e2e::{Mesh, on_scenario, pair_in, wait_for};

const SECONDS: &str = "8";
/// Whoever waits so long for an answer has none. How long it takes under load is for `make bench` to measure: here builds
/// are slow and four nodes share what cores there are.
const PATIENCE_MS: f64 = 2000.0;

/// A stream, or several, to alpha, for [`SECONDS`].
fn stream(mesh: &Mesh, from: &str, to: &str, port: &str, streams: &str) -> Result<Child> {
    mesh.spawn(from, &["iperf3", "-c", to, "-p", port, "-P", streams, "-t", SECONDS, "-J"])
}

fn megabytes(client: Child) -> Result<u64> {
    let report: Value = serde_json::from_slice(&client.wait_with_output()?.stdout)?;
    let bytes = report["end"]["sum_received"]["bytes"].as_u64();
    Ok(bytes.with_context(|| format!("iperf3: {}", report["error"]))? / 1_000_000)
}

/// The round trip that one answer in a hundred exceeds, and how many of the requests were not answered in time.
fn tail(mesh: &Mesh, from: &str, to: &str) -> Result<(f64, usize)> {
    const COUNT: usize = 200;
    let count = COUNT.to_string();
    let output = mesh.output(from, &["ping", "-n", "-i", "0.02", "-c", &count, "-W", "2", to])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let time = |line: &str| line.split_once("time=")?.1.split(' ').next()?.parse::<f64>().ok();
    let mut times: Vec<f64> = text.lines().filter_map(time).filter(|time| *time < PATIENCE_MS).collect();
    times.sort_by(f64::total_cmp);
    let at = times.len() * 99 / 100;
    let tail = times.get(at).or(times.last()).copied().context("no answer")?;
    Ok((tail, COUNT - times.len().min(COUNT)))
}

#[test]
fn three_peers_that_send_all_they_can_share_a_node_and_a_ping_is_not_kept_waiting() {
    on_scenario("soak.toml", "fairness", |mesh| {
        let alpha = mesh.overlay_addresses("alpha")?[0].to_string();
        for engine in ["wireguard", "esp"] {
            for peer in ["beta", "gamma", "delta"] {
                pair_in(mesh, ["alpha", peer], engine)?;
            }
            // beta asks for four times as much as the others.
            let mut clients = Vec::new();
            let mut servers = Vec::new();
            for (peer, port, streams) in
                [("beta", "5301", "4"), ("gamma", "5302", "1"), ("delta", "5303", "1")]
            {
                servers.push(mesh.spawn("alpha", &["iperf3", "-s", "-1", "-B", &alpha, "-p", port])?);
                let filter = format!("sport = :{port}");
                wait_for("iperf3 to listen", Duration::from_secs(10), || {
                    (!mesh.run("alpha", &["ss", "-Hltn", &filter]).ok()?.is_empty()).then_some(())
                })?;
                clients.push((peer, stream(mesh, peer, &alpha, port, streams)?));
            }
            let (slowest, lost) = tail(mesh, "delta", &alpha)?;
            let carried = clients
                .into_iter()
                .map(|(peer, client)| Ok((peer, megabytes(client).with_context(|| peer.to_owned())?)))
                .collect::<Result<Vec<_>>>()?;
            for mut server in servers {
                server.wait()?;
            }
            println!("{engine}: {carried:?} MB, ping p99 {slowest:.1} ms, {lost} lost");
            let all: u64 = carried.iter().map(|(_, megabytes)| megabytes).sum();
            for (peer, megabytes) in &carried {
                ensure!(megabytes * 20 >= all, "{engine}: {peer} is starved: {carried:?}");
            }
            ensure!(lost <= 4, "{engine}: {lost} pings were not answered, p99 of the others {slowest} ms");
        }
        Ok(())
    });
}
