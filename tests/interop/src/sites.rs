//! The hosts of `tests/scenarios/two-sites.toml`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use twinmesh_e2e::{IpVersion, Mesh, Server, on_scenario, wait_for};

use crate::strongswan::Version;

/// A host with an inner address behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    pub host: &'static str,
    pub inner: Ipv4Addr,
    /// The NAT that it is behind.
    pub gateway: Option<&'static str>,
}

pub const NORTH: Site = Site { host: "north", inner: Ipv4Addr::new(10, 1, 0, 1), gateway: None };
pub const SOUTH: Site = Site { host: "south", inner: Ipv4Addr::new(10, 2, 0, 1), gateway: None };
/// Behind a NAT that keeps one outer port for an inner one.
pub const BARN: Site = Site { host: "barn", inner: Ipv4Addr::new(10, 3, 0, 1), gateway: Some("gate") };
/// Behind a NAT with a port for each destination.
pub const CABIN: Site = Site { host: "cabin", inner: Ipv4Addr::new(10, 4, 0, 1), gateway: Some("door") };

impl Site {
    /// The network behind it.
    pub fn network(self) -> String {
        let [a, b, ..] = self.inner.octets();
        format!("{a}.{b}.0.0/16")
    }

    /// Its identity.
    pub fn id(self) -> String {
        format!("{}.example", self.host)
    }

    /// Where its packets come from, as others see them.
    pub fn outer(self, mesh: &Mesh) -> Result<IpAddr> {
        mesh.outer_address(self.gateway.unwrap_or(self.host), IpVersion::V4)
    }

    /// The same by IPv6, which only the sites without NAT have.
    pub fn outer6(self, mesh: &Mesh) -> Result<IpAddr> {
        mesh.outer_address(self.host, IpVersion::V6)
    }

    /// Lets strangers reach its ports of IKE through the NAT.
    ///
    /// # Errors
    /// It is behind none.
    pub fn forward_ports(self, mesh: &Mesh) -> Result<()> {
        let gateway = self.gateway.context("no gateway")?;
        let inside = mesh.outer_address(self.host, IpVersion::V4)?;
        let rules = format!(
            "table ip forwarded {{
               chain pre {{ type nat hook prerouting priority dstnat - 1;
                 iifname wan udp dport {{ 500, 4500 }} dnat to {inside}\n}}\n}}"
        );
        mesh.run(gateway, &["nft", &rules]).map(drop)
    }

    /// Waits until another site's inner address answers this one's.
    pub fn reaches_within(self, mesh: &Mesh, other: Self, deadline: Duration) -> Result<()> {
        wait_for(&format!("{} to answer {}", other.host, self.host), deadline, || {
            self.ping(mesh, other, 1).ok()
        })
    }

    /// Pings until so many answers have come.
    pub fn ping(self, mesh: &Mesh, other: Self, count: u32) -> Result<()> {
        let (from, to) = (self.inner.to_string(), other.inner.to_string());
        // With a deadline ping does not give up on an answer that takes longer than those before it.
        let (deadline, count) = ((2 + count / 5).to_string(), count.to_string());
        mesh.run(self.host, &["ping", "-I", &from, "-c", &count, "-w", &deadline, "-i", "0.1", &to])?;
        Ok(())
    }

    /// One ping, which nothing may answer.
    pub fn does_not_reach(self, mesh: &Mesh, other: Self) -> Result<()> {
        ensure!(self.ping(mesh, other, 1).is_err(), "{} still reaches {}", self.host, other.host);
        Ok(())
    }

    /// TCP in both directions and UDP, two seconds each.
    pub fn iperf(self, mesh: &Mesh, other: Self) -> Result<()> {
        let (from, to) = (self.inner.to_string(), other.inner.to_string());
        for direction in [&[][..], &["-R"], &["-u", "-b", "8M", "-l", "1200"]] {
            // Between two tests iperf3 closes its port for a moment, so each has a server of its own.
            let _server = Server::iperf(mesh, other.host, other.inner.into())?;
            let client = [&["iperf3", "-B", &from, "-c", &to, "-t", "2", "-J"], direction].concat();
            let report = mesh.json(self.host, &client)?;
            let sum = if direction.contains(&"-u") { "sum" } else { "sum_received" };
            let bytes = report["end"][sum]["bytes"].as_u64().unwrap_or_default();
            ensure!(bytes > 500_000, "{direction:?}: only {bytes} bytes: {report}");
        }
        Ok(())
    }
}

/// Runs a test on the sites, in a lab of its own.
///
/// # Panics
/// The lab does not come up, or the test returns an error.
pub fn on_sites(name: &str, test: impl FnOnce(&mut Mesh) -> Result<()>) {
    on_scenario("two-sites.toml", name, test);
}

/// The same with each version of strongSwan, one after the other.
///
/// # Panics
/// As [`on_sites`].
pub fn on_sites_with_each_version(name: &str, test: impl Fn(&mut Mesh, Version) -> Result<()>) {
    for version in Version::ALL {
        on_sites(&format!("{name}-{}", version.name()), |mesh| {
            test(mesh, version).with_context(|| format!("strongSwan: {version:?}"))
        });
    }
}
