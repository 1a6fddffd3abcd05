//! What is measured: tunnels of twinmesh and of other programs.

pub(crate) mod manual_sa;
mod strongswan;
pub(crate) mod twinmesh;
mod wireguard;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use clap::builder::PossibleValue;
use twinmesh_e2e::IpVersion;
use twinmesh_lab::Status;
use twinmesh_lab::process::Process;

use self::twinmesh::Engine;
use self::wireguard::Program;
use crate::pair::{LEFT, Pair, RIGHT};
use crate::places::Places;

/// For a tunnel to carry its first packet.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of every TUN device: what twinmesh has by default.
const MTU: &str = "1420";
/// Addresses inside the peers' tunnels, left and right.
const INNER: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)];

/// One of those that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidate {
    Veth,
    TwinmeshNull,
    TwinmeshWireguard,
    TwinmeshEspAes,
    TwinmeshEspChacha,
    WireguardGo,
    Boringtun,
    Gotatun,
    StrongswanLibipsec,
}

/// A way between the two hosts that is up.
pub(crate) struct Tunnel {
    /// Left's address in it.
    pub(crate) from: IpAddr,
    /// Right's.
    pub(crate) to: IpAddr,
    /// What carries the packets, at both ends.
    pub(crate) processes: Vec<Process>,
}

impl Candidate {
    const ALL: [Self; 9] = [
        Self::Veth,
        Self::TwinmeshNull,
        Self::TwinmeshWireguard,
        Self::TwinmeshEspAes,
        Self::TwinmeshEspChacha,
        Self::WireguardGo,
        Self::Boringtun,
        Self::Gotatun,
        Self::StrongswanLibipsec,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::TwinmeshNull => "twinmesh-null",
            Self::TwinmeshWireguard => "twinmesh-wireguard",
            Self::TwinmeshEspAes => "twinmesh-esp-aes128gcm16",
            Self::TwinmeshEspChacha => "twinmesh-esp-chacha20poly1305",
            Self::WireguardGo => "wireguard-go",
            Self::Boringtun => "boringtun",
            Self::Gotatun => "gotatun",
            Self::StrongswanLibipsec => "strongswan-libipsec",
        }
    }

    /// Those that were asked for, else all; each once.
    pub(crate) fn chosen(only: &[Self]) -> Vec<Self> {
        Self::ALL.into_iter().filter(|candidate| only.is_empty() || only.contains(candidate)).collect()
    }

    fn kind(self) -> Kind {
        match self {
            Self::Veth => Kind::None,
            Self::TwinmeshNull => Kind::Twinmesh(Engine::Null),
            Self::TwinmeshWireguard => Kind::Twinmesh(Engine::Wireguard),
            Self::TwinmeshEspAes => Kind::Twinmesh(Engine::Aes128Gcm16),
            Self::TwinmeshEspChacha => Kind::Twinmesh(Engine::ChaCha20Poly1305),
            Self::WireguardGo => Kind::Wireguard(Program::WireguardGo),
            Self::Boringtun => Kind::Wireguard(Program::Boringtun),
            Self::Gotatun => Kind::Wireguard(Program::Gotatun),
            Self::StrongswanLibipsec => Kind::Strongswan,
        }
    }

    /// What it needs on this machine.
    ///
    /// # Errors
    /// It is not there: why, and what to do.
    pub(crate) fn find(self, places: &Places) -> Result<Found> {
        match self.kind() {
            Kind::None => Ok(Found { folder: places.programs.clone(), version: None }),
            Kind::Twinmesh(engine) => engine.find(places),
            Kind::Wireguard(program) => program.find(places),
            Kind::Strongswan => strongswan::find(places),
        }
    }

    /// Brings it up between the two hosts and waits until it carries packets.
    pub(crate) fn start(self, pair: &Pair, places: &Places) -> Result<Tunnel> {
        let tunnel = match self.kind() {
            Kind::None => {
                let outer = |host| pair.mesh().outer_address(host, IpVersion::V4);
                Tunnel { from: outer(LEFT)?, to: outer(RIGHT)?, processes: Vec::new() }
            }
            Kind::Twinmesh(engine) => engine.start(pair, places)?,
            Kind::Wireguard(program) => program.start(pair)?,
            Kind::Strongswan => strongswan::start(pair)?,
        };
        pair.mesh().pings_within(LEFT, tunnel.to, PATIENCE)?;
        Ok(tunnel)
    }

    /// Looks whether the packets went the way that was to be measured.
    pub(crate) fn verify(self, pair: &Pair) -> Result<()> {
        match self.kind() {
            Kind::Twinmesh(engine) => engine.verify(pair),
            Kind::None | Kind::Wireguard(_) | Kind::Strongswan => Ok(()),
        }
    }
}

impl ValueEnum for Candidate {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// By what it is run.
enum Kind {
    None,
    Twinmesh(Engine),
    Wireguard(Program),
    Strongswan,
}

/// A candidate's program.
pub(crate) struct Found {
    /// Comes first in the hosts' PATH.
    pub(crate) folder: PathBuf,
    pub(crate) version: Option<String>,
}

/// The first line with a number that a program prints for these arguments, wherever it prints it.
fn version_line(program: &PathBuf, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.contains(|letter: char| letter.is_ascii_digit())).map(str::to_owned)
}

/// A running program of both hosts.
pub(crate) fn processes(pair: &Pair, program: &str) -> Result<Vec<Process>> {
    let process = |host| {
        let program = pair.mesh().lab().find_host(host)?.program(program)?;
        match program.status() {
            Some(Status::Running(process)) => Ok(process),
            Some(Status::Ended(status)) => {
                bail!("{} ended on {host} with status {status}: {}", program.name(), tail(&program.log()))
            }
            None => bail!("{} was never started on {host}", program.name()),
        }
    };
    [LEFT, RIGHT].into_iter().map(process).collect()
}

/// The end of a program's log on a host.
fn log_tail(pair: &Pair, host: &str, program: &str) -> Result<String> {
    let log = pair.mesh().lab().find_host(host)?.program(program).context("it never ran")?.log();
    Ok(tail(&log))
}

fn tail(log: &str) -> String {
    const LINES: usize = 10;
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_report() {
        let names: Vec<&str> = Candidate::ALL.iter().map(|candidate| candidate.name()).collect();
        for name in ["twinmesh-wireguard", "twinmesh-null", "wireguard-go", "strongswan-libipsec"] {
            assert!(names.contains(&name), "{names:?}");
        }
    }

    #[test]
    fn only_those_asked_for_are_chosen_and_each_once() {
        let only = [Candidate::Gotatun, Candidate::Veth, Candidate::Gotatun];
        assert_eq!(Candidate::chosen(&only), [Candidate::Veth, Candidate::Gotatun]);
        assert_eq!(Candidate::chosen(&[]).len(), Candidate::ALL.len());
    }
}
