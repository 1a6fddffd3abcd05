//! Two agents in a mesh, with a coordinator on right; by WireGuard, or by ESP with SAs keyed by hand.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::{IpVersion, Mesh, wait_for};

use super::manual_sa::{self, ManualSa, Suite};
use super::{Found, Tunnel, log_tail, processes};
use crate::pair::{LEFT, Pair, RIGHT};
use crate::places::Places;

const HOSTS: [&str; 2] = [LEFT, RIGHT];
pub(crate) const AGENT: &str = "agent";
const COORDINATOR: &str = "coordinator";
const PATIENCE: Duration = Duration::from_secs(30);
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Wireguard,
    Aes128Gcm16,
    ChaCha20Poly1305,
    /// Framing without cryptography.
    Null,
}

impl Engine {
    /// `None`: WireGuard.
    const fn suite(self) -> Option<Suite> {
        match self {
            Self::Wireguard => None,
            Self::Aes128Gcm16 => Some(manual_sa::AES_128_GCM_16),
            Self::ChaCha20Poly1305 => Some(manual_sa::CHACHA20_POLY1305),
            Self::Null => Some(manual_sa::NULL),
        }
    }

    pub(super) fn find(self, places: &Places) -> Result<Found> {
        let (folder, build) = match self {
            Self::Null => (
                places.null_programs(),
                "cargo build --release -p twinmesh-agent --features null --target-dir target/bench-null",
            ),
            Self::Wireguard | Self::Aes128Gcm16 | Self::ChaCha20Poly1305 => {
                (places.programs.clone(), "cargo build --release --bins")
            }
        };
        for program in [folder.join("twinmesh"), coordinator(places)] {
            ensure!(program.is_file(), "there is no {}; `{build}` makes it", program.display());
        }
        Ok(Found { folder, version: Some(format!("twinmesh {}", env!("CARGO_PKG_VERSION"))) })
    }

    pub(super) fn start(self, pair: &Pair, places: &Places) -> Result<Tunnel> {
        let addresses = join_both(pair, places)?;
        if let Some(suite) = self.suite() {
            let outer = outer(pair.mesh())?;
            add_sas(pair.mesh(), &[ManualSa { number: 0, suite, outer, selectors: addresses }])?;
        }
        Ok(Tunnel { from: addresses[0], to: addresses[1], processes: processes(pair, AGENT)? })
    }

    /// A tunnel that fell back to another engine would be measured as if it were this one.
    pub(super) fn verify(self, pair: &Pair) -> Result<()> {
        /// Less than any test sends.
        const LEAST: u64 = 10_000_000;
        let mesh = pair.mesh();
        if self.suite().is_some() {
            let sas = mesh.json(LEFT, &["twinmesh", "sa", "--json"])?;
            let bytes = sas[0]["outbound"]["bytes"].as_u64();
            ensure!(bytes > Some(LEAST), "the traffic did not go by ESP: {sas}");
        } else {
            let peer = mesh.peer(LEFT, RIGHT)?;
            let bytes = peer["tx_bytes"].as_u64();
            ensure!(
                peer["protocol"] == "wireguard" && bytes > Some(LEAST),
                "the traffic did not go by WireGuard: {peer}"
            );
        }
        Ok(())
    }
}

/// A coordinator and two agents that talk directly; the agents' addresses in the mesh, left and right.
pub(crate) fn join_both(pair: &Pair, places: &Places) -> Result<[IpAddr; 2]> {
    let mesh = pair.mesh();
    let token = start_coordinator(mesh, places).context("the coordinator")?;
    for host in HOSTS {
        join(mesh, host, &token).with_context(|| match log_tail(pair, host, AGENT) {
            Ok(log) => format!("the agent of {host}, whose log ends with:\n{log}"),
            Err(_) => format!("the agent of {host}"),
        })?;
    }
    let addresses = [mesh.overlay_addresses(LEFT)?[0], mesh.overlay_addresses(RIGHT)?[0]];
    mesh.pings_within(LEFT, addresses[1], PATIENCE)?;
    for (host, peer) in [(LEFT, RIGHT), (RIGHT, LEFT)] {
        wait_for(&format!("{host} to send directly"), PATIENCE, || {
            let path = mesh.peer(host, peer).ok()?["path"].clone();
            (path["relayed"] == false && path["proven"] == true).then_some(())
        })?;
    }
    Ok(addresses)
}

/// At both ends.
pub(crate) fn add_sas(mesh: &Mesh, sas: &[ManualSa]) -> Result<()> {
    for (me, host) in HOSTS.into_iter().enumerate() {
        let tables: String = sas.iter().map(|sa| sa.table(me)).collect();
        let file = mesh.write(host, "sa.toml", &tables)?;
        mesh.run(host, &["twinmesh", "sa", "add", &file])?;
    }
    Ok(())
}

/// Addresses outside, left and right.
pub(crate) fn outer(mesh: &Mesh) -> Result<[IpAddr; 2]> {
    Ok([mesh.outer_address(LEFT, IpVersion::V4)?, mesh.outer_address(RIGHT, IpVersion::V4)?])
}

/// It stands beside what may be another build's agent.
fn coordinator(places: &Places) -> PathBuf {
    places.programs.join("twinmesh-coordinator")
}

/// Starts it on right; a join token.
fn start_coordinator(mesh: &Mesh, places: &Places) -> Result<String> {
    let program = coordinator(places).display().to_string();
    let host = mesh.lab().find_host(RIGHT)?;
    let data = host.folder().join("coordinator").display().to_string();
    let serve = [&program, "serve", "--data", &data, "--advertise", RIGHT];
    host.spawn(COORDINATOR, &serve, &[("RUST_LOG", "warn")])?;
    let create = [&program, "token", "create", "--data", &data, "--reusable", "--json"];
    let created = wait_for("a join token", PATIENCE, || mesh.json(RIGHT, &create).ok())
        .with_context(|| host.program(COORDINATOR).map(|it| it.log()).unwrap_or_default())?;
    Ok(created["secret"].as_str().context("no secret")?.to_owned())
}

fn join(mesh: &Mesh, host: &str, token: &str) -> Result<()> {
    let state = mesh.state_dir(host)?;
    let agent = ["twinmesh", "agent", "--state", &state, "--allow-manual-sa"];
    mesh.lab().find_host(host)?.spawn(AGENT, &agent, &[("RUST_LOG", "warn")])?;
    wait_for("it to answer", PATIENCE, || mesh.status(host).ok())?;
    mesh.run(host, &["twinmesh", "up", "--coordinator", RIGHT, "--token", token])?;
    wait_for("it to run its tunnels", PATIENCE, || {
        (mesh.status(host).ok()?["state"] == "running").then_some(())
    })
}
