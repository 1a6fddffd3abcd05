//! `make soak`: a mesh under mixed load for ten minutes, then gigabytes over a rough line.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use twinmesh_e2e::{Mesh, bulk, pair_in, run_traffic, soak};
use twinmesh_lab::Options;

/// Load a mesh on this machine with mixed traffic while engines change, keys are replaced, peers come and go and ways are
/// lost; then send files of a gigabyte over a line that loses, doubles and reorders
///
/// Networks, a NAT and hosts are namespaces of this machine; nothing leaves it. Ends with a report, and with status 0 only
/// if no flow stood still, no answer was wrong, nothing grew, panicked or was dropped without a reason.
#[derive(Debug, Parser)]
#[command(name = "twinmesh-soak")]
struct Arguments {
    /// Seconds of mixed load; 0 for none
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
    /// Megabytes of each file; 0 for none
    #[arg(long, value_name = "N", default_value_t = 1000)]
    megabytes: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What runs on the nodes
    #[command(hide = true)]
    Traffic {
        own: String,
        /// NAME=ADDRESS
        peers: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Some(Command::Traffic { own, peers }) => traffic(own, peers).map(|()| true),
        None => run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Standard error is closed, or it is not: there is nothing more to say.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn traffic(own: &str, peers: &[String]) -> Result<()> {
    let peers: Vec<(String, IpAddr)> = peers
        .iter()
        .map(|peer| {
            let (name, address) = peer.split_once('=').context("NAME=ADDRESS")?;
            Ok((name.to_owned(), address.parse()?))
        })
        .collect::<Result<_>>()?;
    run_traffic(own, &peers)
}

fn run(arguments: &Arguments) -> Result<bool> {
    let mut good = true;
    if arguments.seconds > 0 {
        let mut mesh = Mesh::of("soak.toml", Options::default())?;
        let report = soak(&mut mesh, Duration::from_secs(arguments.seconds), &mut say)?;
        say(&format!("\n{report}"));
        good = report.problems().is_empty();
    }
    if arguments.megabytes > 0 {
        files(arguments.megabytes * 1_000_000)?;
    }
    Ok(good)
}

/// By both engines and both families.
fn files(bytes: u64) -> Result<()> {
    let mesh = Mesh::of("rough.toml", Options::default())?;
    for protocol in ["wireguard", "esp"] {
        pair_in(&mesh, ["alpha", "beta"], protocol)?;
        for address in mesh.overlay_addresses("beta")? {
            let report = bulk(&mesh, ["alpha", "beta"], address, bytes, Duration::from_mins(10))?;
            say(&format!(
                "{protocol} to {address}: {} MB arrived whole, {:.0} Mb/s, {} segments sent again, {} out of order",
                bytes / 1_000_000,
                report.megabits(),
                report.retransmitted,
                report.out_of_order
            ));
        }
    }
    Ok(())
}

fn say(text: &str) {
    // A reader that has gone does not end the run.
    let _ = writeln!(io::stdout(), "{text}");
}
