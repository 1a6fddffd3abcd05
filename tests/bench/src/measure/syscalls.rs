//! How many system calls a tunnel makes, by perf's counter: strace would slow it down, and with it change its batches.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::Server;

use super::Bench;
use super::iperf::{self, Flow};
use crate::pair::RIGHT;
use crate::places::Places;

const EVENT: &str = "raw_syscalls:sys_enter";

/// Whether they can be counted here.
///
/// # Errors
/// Why not.
pub(crate) fn find(places: &Places) -> Result<()> {
    let perf = places.program("perf").context("there is no perf; Debian's package is linux-perf")?;
    let tried = Command::new(perf).args(["stat", "-e", EVENT, "--", "true"]).output()?;
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    ensure!(tried.status.success(), "perf cannot count {EVENT}: {}", said.trim());
    Ok(())
}

/// Those of both ends during a TCP test.
pub(super) fn count(bench: &Bench<'_>) -> Result<(f64, Flow)> {
    let _server = Server::iperf(bench.mesh, RIGHT, bench.tunnel.to)?;
    let client = iperf::command(bench, bench.seconds, &[])?;
    let pids: Vec<String> = bench.tunnel.processes.iter().map(|process| process.pid.to_string()).collect();
    let counts = bench.mesh.lab().folder().join("syscalls");
    let mut command = Command::new("perf");
    command.args(["stat", "-x,", "-e", EVENT, "-p", &pids.join(","), "-o"]).arg(&counts).arg("--");
    command.arg(client.get_program()).args(client.get_args());
    for (name, value) in client.get_envs() {
        command.env(name, value.unwrap_or(OsStr::new("")));
    }
    let flow = iperf::finish(&mut command)?;
    let text = std::fs::read_to_string(&counts).context("perf wrote no counts")?;
    Ok((parse(&text)?, flow))
}

fn parse(text: &str) -> Result<f64> {
    let line = text.lines().find(|line| line.contains(EVENT)).context("perf counted nothing")?;
    let count = line.split(',').next().unwrap_or_default();
    count.parse().with_context(|| format!("perf counted nothing: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfs_count_is_the_first_field_of_its_line() {
        let text =
            "# started on Sat Nov 28 10:00:00 2026\n\n123456,,raw_syscalls:sys_enter,8000000,100.00,,\n";
        assert_eq!(parse(text).ok(), Some(123_456.0));
        assert!(parse("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n").is_err());
        assert!(parse("").is_err());
    }
}
