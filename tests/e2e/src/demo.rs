//! `make demo`: a mesh on this machine, with traffic between all pairs.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::Value;
use twinmesh_e2e::{Mesh, Server, pairs};
use twinmesh_lab::Options;

/// Bring up a mesh of three nodes on this machine and show who reaches whom
///
/// Networks, a NAT and hosts are namespaces of this machine; nothing leaves it. With --once it ends after
/// the table, with status 0 only if every pair reached each other; otherwise it stays up until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "twinmesh-demo")]
struct Arguments {
    /// End after the table
    #[arg(long)]
    once: bool,
    /// Seconds of TCP for each pair
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
}

/// The lab's name: `twinmesh-lab` commands find it by that.
const LAB: &str = "demo";
/// For the first packet between two nodes.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Standard error is closed, or it is not: there is nothing more to say.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let start = Instant::now();
    say("Laying networks, a NAT and five hosts on this machine; starting a coordinator and three nodes …")?;
    let mesh = Mesh::with(Options { name: Some(LAB.to_owned()), ..Options::default() })?;
    say(&format!("The mesh stands after {:.1} s.\n", start.elapsed().as_secs_f64()))?;
    say(PICTURE)?;
    say(&format!("{:<14} {:>10} {:>10} {:>14}   over", "from → to", "ping", "ping6", "TCP"))?;
    let mut all = true;
    for (from, to) in pairs() {
        let row = match measure(&mesh, from, to, arguments.seconds) {
            Ok(row) => row,
            Err(error) => {
                all = false;
                format!("NOT REACHED: {error:#}")
            }
        };
        say(&format!("{:<14} {row}", format!("{from} → {to}")))?;
    }
    say(if all { "\nEvery node reaches every other." } else { "\nSome pairs do NOT reach each other." })?;
    if !arguments.once {
        say(&look_inside(&mesh))?;
        wait_for_interrupt()?;
        say("\nTaking it down.")?;
    }
    Ok(all)
}

const PICTURE: &str = concat!(
    "  hub    192.0.2.0/24     coordinator\n",
    "  alpha  192.0.2.0/24     node\n",
    "  beta   198.51.100.0/24  node\n",
    "  gamma  198.18.0.0/24    node, behind a NAT\n",
);

/// One row of the table: round trips over both families, TCP throughput, and the tunnel.
fn measure(mesh: &Mesh, from: &str, to: &str, seconds: u32) -> Result<String> {
    let addresses = mesh.overlay_addresses(to)?;
    let mut pings = Vec::new();
    for address in &addresses {
        mesh.pings_within(from, *address, PATIENCE)?;
        pings.push(round_trip(mesh, from, *address)?);
    }
    let address = *addresses.first().context("no address")?;
    let _server = Server::iperf(mesh, to, address)?;
    let client = ["iperf3", "-c", &address.to_string(), "-t", &seconds.to_string(), "-J"];
    let report = mesh.json(from, &client).context("iperf3")?;
    let bits = report["end"]["sum_received"]["bits_per_second"].as_f64().context("iperf3 gave no figure")?;
    let peer = mesh.peer(from, to)?;
    let pings: Vec<String> = pings.iter().map(|milliseconds| format!("{milliseconds:>7.2} ms")).collect();
    Ok(format!("{} {:>9.0} Mb/s   {}", pings.join(" "), bits / 1e6, over(&peer)))
}

/// Median round trip of some pings, in ms.
fn round_trip(mesh: &Mesh, from: &str, to: IpAddr) -> Result<f64> {
    let text = mesh.run(from, &["ping", "-c", "7", "-i", "0.05", &to.to_string()])?;
    let mut times: Vec<f64> =
        text.lines().filter_map(|line| line.split_once("time=")?.1.split(' ').next()?.parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("ping gave no time")
}

/// What carries a pair's traffic, in words.
fn over(peer: &Value) -> String {
    let protocol = match peer["protocol"].as_str() {
        Some("wireguard") => "WireGuard",
        Some(other) => other,
        None => "?",
    };
    let endpoint = peer["endpoint"].as_str().unwrap_or("an unknown endpoint");
    format!("{protocol}, direct to {endpoint}")
}

fn look_inside(mesh: &Mesh) -> String {
    let lab = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.join("twinmesh-lab").display().to_string()))
        .unwrap_or_else(|| "twinmesh-lab".to_owned());
    // A path below the current folder is shorter, and what the user would type.
    let here = std::env::current_dir().map(|here| format!("{}/", here.display())).unwrap_or_default();
    let lab = lab.strip_prefix(&here).unwrap_or(&lab);
    let data = mesh.lab().folder().join("hosts.d/hub/coordinator");
    let data = data.display();
    format!(
        "
It stays up until Ctrl-C. Look inside from another terminal, in this folder:

  {lab} exec alpha -- twinmesh status --watch
  {lab} exec gamma -- twinmesh ping beta
  {lab} exec beta -- bash
  {lab} exec hub -- twinmesh-coordinator node list --data {data}
  {lab} exec hub -- twinmesh-coordinator token create --data {data}

The API is at http://127.0.0.1:7480/api/v1 on hub, its description at /api/v1/openapi.json:

  {lab} exec hub -- sh -c 'curl -s -H \"Authorization: Bearer $(cat {data}/api-token)\" http://127.0.0.1:7480/api/v1/nodes'

Logs: {}",
        mesh.lab().folder().join("logs").display()
    )
}

/// Until SIGINT or SIGTERM. The lab's own processes are in sessions of their own, so Ctrl-C ends only this one.
fn wait_for_interrupt() -> Result<()> {
    use nix::sys::signal::{SigSet, Signal};
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGHUP);
    signals.thread_block().context("waiting for Ctrl-C")?;
    signals.wait().context("waiting for Ctrl-C")?;
    Ok(())
}

fn say(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    Ok(output.flush()?)
}
