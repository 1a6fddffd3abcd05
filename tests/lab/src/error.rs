//! Why a lab does not come up, or a command on it fails.

use std::io;
use std::time::Duration;

use crate::scenario::ScenarioError;

/// A failure of the lab. Whose fault it is: the scenario's ([`Scenario`](Self::Scenario),
/// [`UnknownVariable`](Self::UnknownVariable)), a program's of the scenario, the machine's, or the
/// caller's (names of labs, nodes and interfaces that do not exist).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The scenario is wrong.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error("line {line}: the command of `{program}` uses ${{{variable}}}, which is not set; known are: {}; set more with --set NAME=VALUE", .known.join(", "))]
    UnknownVariable { program: String, variable: String, line: usize, known: Vec<String> },
    #[error("`{program}` on `{host}` is not ready after {deadline:?}: {condition}\n{log}")]
    NotReady { host: String, program: String, deadline: Duration, condition: String, log: String },
    #[error("`{program}` on `{host}` ended with status {status} before it was ready\n{log}")]
    EndedEarly { host: String, program: String, status: String, log: String },
    #[error("these programs are missing: {}; on Debian: apt-get install {}", programs(.0), packages(.0))]
    MissingPrograms(Vec<(&'static str, &'static str)>),
    #[error(
        "the program twinmesh-lab is needed for captures and for links with delay, loss and the like, and was not found: cargo build -p twinmesh-lab"
    )]
    NoBinary,
    #[error(
        "this user may not make namespaces ({0}).\nRun as root, or allow unprivileged user namespaces:\n  \
         sysctl -w user.max_user_namespaces=15000\n  \
         sysctl -w kernel.unprivileged_userns_clone=1              (Debian before 11)\n  \
         sysctl -w kernel.apparmor_restrict_unprivileged_userns=0  (Ubuntu from 24.04 on)\n\
         In a container: give it CAP_SYS_ADMIN and CAP_NET_ADMIN, or --privileged."
    )]
    NamespacesRefused(String),
    #[error(
        "/dev/net/tun cannot be opened ({0}), and links with delay, loss and the like need it.\n  \
         If it is missing: modprobe tun; in a container: --device /dev/net/tun\n  \
         If this user may not open it: chmod 0666 /dev/net/tun, as most distributions have it"
    )]
    NoTun(io::Error),
    #[error("setting up `{node}` failed: {message}")]
    Setup { node: String, message: String },
    #[error("lab `{0}` is up already: `twinmesh-lab down {0}` first, or choose another name with --name")]
    AlreadyUp(String),
    #[error("another twinmesh-lab is working on lab `{0}`; it did not finish within {1:?}")]
    Busy(String, Duration),
    #[error("lab `{0}` is not up; `twinmesh-lab list` shows those that are")]
    NotUp(String),
    #[error("no lab is up: start one with `twinmesh-lab up FILE.toml`")]
    NoneUp,
    #[error("several labs are up ({}): choose one with --lab NAME", .0.join(", "))]
    SeveralUp(Vec<String>),
    #[error(
        "`{0}` cannot be the name of a lab: use lower-case letters, digits, hyphens and underscores, at most 80 characters"
    )]
    BadName(String),
    #[error("lab `{lab}` has no node `{node}`; it has: {}", .known.join(", "))]
    UnknownNode { lab: String, node: String, known: Vec<String> },
    #[error("`{node}` has no interface `{interface}`; it has: {}", .known.join(", "))]
    UnknownInterface { node: String, interface: String, known: Vec<String> },
    #[error("`{0}` translates nothing: it has no NAT whose mappings could be forgotten")]
    NoNat(String),
    #[error(
        "the link of {0} is a plain one: give the interface a delay, loss or seed in the scenario (\"0%\" will do), and it can be impaired while up"
    )]
    PlainLink(String),
    #[error("there is no program `{program}` on `{host}`")]
    UnknownProgram { host: String, program: String },
    #[error("`{host}` runs a program `{program}` already")]
    ProgramRuns { host: String, program: String },
    #[error("the link process does not answer; {0}")]
    LinkProcess(String),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

impl LabError {
    /// For `map_err` on file and process operations: says on what the operation failed.
    pub(crate) fn io(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { what, source }
    }

    /// Whether the input was wrong (exit status 2) rather than the doing (1).
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Scenario(_) | Self::UnknownVariable { .. } | Self::BadName(_))
    }
}

fn programs(missing: &[(&str, &str)]) -> String {
    missing.iter().map(|(program, _)| *program).collect::<Vec<_>>().join(", ")
}

fn packages(missing: &[(&str, &str)]) -> String {
    let packages: std::collections::BTreeSet<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.into_iter().collect::<Vec<_>>().join(" ")
}
