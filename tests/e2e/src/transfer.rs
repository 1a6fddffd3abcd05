//! Ordinary programs between two hosts, with enough traffic to find what a ping does not.

use std::net::IpAddr;

use anyhow::{Result, ensure};

use crate::{Mesh, Server, bracketed};

/// A file of 100 MB from one node to another, compared by hash.
pub fn fetch_100_mb(mesh: &Mesh, from: &str, to: &str, address: IpAddr) -> Result<()> {
    mesh.run(to, &["sh", "-c", "head -c 104857600 /dev/urandom > $TWINMESH_LAB_HOST_DIR/file"])?;
    let hash = mesh.run(to, &["sh", "-c", "sha256sum < $TWINMESH_LAB_HOST_DIR/file"])?;
    let _server = Server::http(mesh, to, address)?;
    let fetch = format!("curl -sSf --max-time 100 http://{}/file | sha256sum", bracketed(address));
    let got = mesh.run(from, &["sh", "-c", &fetch])?;
    ensure!(got == hash, "{from} ← {to} ({address}): {got} is not {hash}");
    Ok(())
}

/// TCP in both directions and UDP, two seconds each.
pub fn iperf(mesh: &Mesh, from: &str, to: &str, address: IpAddr) -> Result<()> {
    let server = address.to_string();
    for direction in [&[][..], &["-R"], &["-u", "-b", "8M", "-l", "1200"]] {
        // Between two tests iperf3 closes its port for a moment, so each has a server of its own.
        let _server = Server::iperf(mesh, to, address)?;
        let client = [&["iperf3", "-c", &server, "-t", "2", "-J"], direction].concat();
        let report = mesh.json(from, &client)?;
        let sum = if direction.contains(&"-u") { "sum" } else { "sum_received" };
        let bytes = report["end"][sum]["bytes"].as_u64().unwrap_or_default();
        ensure!(bytes > 500_000, "{direction:?}: only {bytes} bytes");
    }
    Ok(())
}
