//! User-space WireGuard programs that `wg` configures.

use std::time::Duration;

use anyhow::{Context as _, Result};
use twinmesh_e2e::{IpVersion, wait_for};

use super::{Found, INNER, MTU, Tunnel, log_tail, processes, version_line};
use crate::pair::{LEFT, Pair, RIGHT};
use crate::places::Places;

const HOSTS: [&str; 2] = [LEFT, RIGHT];
const DEVICE: &str = "wg0";
const PROGRAM: &str = "wireguard";
const PORT: &str = "51820";
/// As each of the programs calls it.
const QUIET: [(&str, &str); 2] = [("LOG_LEVEL", "error"), ("WG_LOG_LEVEL", "error")];
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    WireguardGo,
    Boringtun,
    Gotatun,
}

impl Program {
    /// All of them run with what they take by default, in the foreground.
    const fn command(self) -> &'static [&'static str] {
        match self {
            Self::WireguardGo => &["wireguard-go", "--foreground", DEVICE],
            Self::Boringtun => &["boringtun-cli", "--foreground", "--disable-drop-privileges", DEVICE],
            Self::Gotatun => &["gotatun", "--foreground", "--disable-drop-privileges", DEVICE],
        }
    }

    pub(super) fn find(self, places: &Places) -> Result<Found> {
        places.program("wg").context("wireguard-tools is not installed")?;
        let name = self.command()[0];
        let path = places.program(name).with_context(|| {
            format!("there is no {name}; tests/bench/peers.sh installs it, or says why not")
        })?;
        // What Debian's package is called tells more than the program does.
        let packaged = std::fs::read_to_string(path.with_extension("version")).ok();
        let version =
            packaged.map(|text| text.trim().to_owned()).or_else(|| version_line(&path, &["--version"]));
        Ok(Found { folder: path.parent().context("a program in no folder")?.to_owned(), version })
    }

    pub(super) fn start(self, pair: &Pair) -> Result<Tunnel> {
        let mesh = pair.mesh();
        let mut keys = Vec::new();
        for host in HOSTS {
            let private = mesh.write(host, "private", &mesh.run(host, &["wg", "genkey"])?)?;
            let public = mesh.run(host, &["sh", "-c", "wg pubkey < \"$1\"", "pubkey", &private])?;
            keys.push((private, public.trim().to_owned()));
            mesh.lab().find_host(host)?.spawn(PROGRAM, self.command(), &QUIET)?;
        }
        for (me, host) in HOSTS.into_iter().enumerate() {
            let peer = 1 - me;
            let endpoint = format!("{}:{PORT}", mesh.outer_address(HOSTS[peer], IpVersion::V4)?);
            let inside = format!("{}/32", INNER[peer]);
            wait_for(&format!("{DEVICE} on {host}"), PATIENCE, || {
                mesh.run(host, &["wg", "show", DEVICE]).ok()
            })
            .with_context(|| log_tail(pair, host, PROGRAM).unwrap_or_default())?;
            let (own, other) = (&keys[me].0, &keys[peer].1);
            let set = ["wg", "set", DEVICE, "listen-port", PORT, "private-key", own];
            let with = ["peer", other, "endpoint", &endpoint, "allowed-ips", &inside];
            mesh.run(host, &[&set[..], &with].concat())?;
            let address = format!("{}/24", INNER[me]);
            mesh.run(host, &["ip", "address", "add", &address, "dev", DEVICE])?;
            mesh.run(host, &["ip", "link", "set", DEVICE, "mtu", MTU, "up"])?;
        }
        Ok(Tunnel { from: INNER[0].into(), to: INNER[1].into(), processes: processes(pair, PROGRAM)? })
    }
}
