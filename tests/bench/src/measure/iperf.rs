//! Throughput, by iperf3.

use std::process::{Child, Command};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use twinmesh_e2e::Server;

use super::Bench;
use crate::pair::{LEFT, RIGHT};

/// What iperf3 may take beyond the time of the test; a flooded tunnel may lose what its two ends have to say.
const GRACE: u16 = 10;

/// What one test carried, as received.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flow {
    /// Of payload.
    pub(super) bytes: f64,
    /// A second.
    pub(super) gigabits: f64,
    /// Of UDP only.
    pub(super) lost_percent: Option<f64>,
}

/// One test from left to right, with further flags of iperf3.
pub(super) fn run(bench: &Bench<'_>, flags: &[&str]) -> Result<Flow> {
    let _server = Server::iperf(bench.mesh, RIGHT, bench.tunnel.to)?;
    finish(&mut command(bench, bench.seconds, flags)?)
}

/// The client, to be run while [`Server::iperf`] serves.
pub(super) fn command(bench: &Bench<'_>, seconds: u16, flags: &[&str]) -> Result<Command> {
    let (from, to) = (bench.tunnel.from.to_string(), bench.tunnel.to.to_string());
    let (limit, seconds) = ((seconds + GRACE).to_string(), seconds.to_string());
    let limited = ["timeout", "--kill-after=1", &limit];
    let client = ["iperf3", "-B", &from, "-c", &to, "-t", &seconds, "-J"];
    bench.mesh.command(LEFT, &[&limited[..], &client, flags].concat())
}

/// Runs a client, or a command that runs one, to its end.
pub(super) fn finish(command: &mut Command) -> Result<Flow> {
    let output = command.output().context("iperf3")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(124) {
        bail!("iperf3 did not come to an end");
    }
    parse(&text).with_context(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// A TCP stream beside something else.
pub(super) struct Background {
    client: Child,
    _server: Server,
}

impl Background {
    pub(super) fn start(bench: &Bench<'_>) -> Result<Self> {
        /// Longer than what it runs beside, which ends it.
        const SECONDS: u16 = 20;
        let server = Server::iperf(bench.mesh, RIGHT, bench.tunnel.to)?;
        let mut client = command(bench, SECONDS, &[])?;
        let client = client.stdout(std::process::Stdio::null()).spawn().context("iperf3")?;
        Ok(Self { client, _server: server })
    }

    /// # Errors
    /// It had ended before, so there was no load.
    pub(super) fn end(mut self) -> Result<()> {
        let ended = self.client.try_wait()?;
        ensure!(ended.is_none(), "the TCP stream ended early");
        Ok(())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        self.client.kill().ok();
        self.client.wait().ok();
    }
}

fn parse(text: &str) -> Result<Flow> {
    let report: Value = serde_json::from_str(text).context("iperf3 printed no JSON")?;
    if let Some(error) = report["error"].as_str() {
        bail!("iperf3: {error}");
    }
    let end = &report["end"];
    let received = &end["sum_received"];
    let (Some(bytes), Some(bits)) = (received["bytes"].as_f64(), received["bits_per_second"].as_f64()) else {
        bail!("iperf3 gave no figure: {end}");
    };
    // `sum` is there with UDP only.
    let lost_percent = end["sum"]["lost_percent"].as_f64();
    Ok(Flow { bytes, gigabits: bits / 1e9, lost_percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_tcp_counts_what_was_received() {
        let flow = parse(
            r#"{"start": {}, "end": {"sum_sent": {"bytes": 5000, "bits_per_second": 4e9},
                "sum_received": {"start": 0, "bytes": 4000, "bits_per_second": 3.2e9, "sender": true}}}"#,
        )
        .unwrap();
        assert_eq!(flow, Flow { bytes: 4000.0, gigabits: 3.2, lost_percent: None });
    }

    #[test]
    fn of_udp_the_loss_is_known_too() {
        let flow = parse(
            r#"{"end": {"sum": {"bytes": 62361600, "bits_per_second": 498885815.59, "lost_percent": 12.02},
                "sum_received": {"bytes": 54826800, "bits_per_second": 435207594.9}}}"#,
        )
        .unwrap();
        let wanted = Flow { bytes: 54_826_800.0, gigabits: 0.435_207_594_9, lost_percent: Some(12.02) };
        assert_eq!(flow, wanted);
    }

    #[test]
    fn its_own_errors_are_told() {
        let error = parse(r#"{"end": {}, "error": "unable to connect to server"}"#).unwrap_err();
        assert!(error.to_string().contains("unable to connect"), "{error}");
        assert!(parse("").is_err());
        assert!(parse(r#"{"end": {}}"#).is_err());
    }
}
