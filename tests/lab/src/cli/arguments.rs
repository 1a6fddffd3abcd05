//! What may be written on the command line, and the help that explains it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use twinmesh_lab::{LinkChange, Signal};

/// Network labs on one machine.
///
/// A scenario, written in TOML, becomes network namespaces, links with delay and loss, routers with a NAT
/// kind, and programs in hosts. Several labs run side by side, and none touches the machine's own network.
///
/// It needs no root where unprivileged user namespaces are allowed. docs/lab.md describes scenarios.
#[derive(Debug, Parser)]
#[command(
    name = "twinmesh-lab",
    version,
    max_term_width = 100,
    after_long_help = "\
EXAMPLES
  twinmesh-lab up tests/scenarios/examples/two-offices.toml
  twinmesh-lab exec desk -- ping -c 3 web
  twinmesh-lab link south-door:wan delay=80ms loss=2%
  twinmesh-lab status
  twinmesh-lab down

EXIT STATUS
  0  done
  1  failed
  2  bad usage, or a scenario that is wrong
  `exec` ends with the status of its program, or 128 + the signal that killed it.

ENVIRONMENT
  TWINMESH_LAB_DIR  folder of all labs; else $XDG_RUNTIME_DIR/twinmesh-lab or /tmp/twinmesh-lab-UID
  TWINMESH_LAB_BIN  the twinmesh-lab binary, for programs that use the library and keep it elsewhere"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Up(Up),
    Exec(Exec),
    /// Shows hosts, addresses, links and programs of a lab
    #[command(after_long_help = "\
EXAMPLES
  twinmesh-lab status
  twinmesh-lab status --json | jq -r '.nodes[] | select(.name == \"alpha\").interfaces[0].addresses[]'")]
    Status {
        #[command(flatten)]
        which: Which,
        /// As JSON, whose fields docs/lab.md describes
        #[arg(long)]
        json: bool,
    },
    Down(Down),
    /// Lists all labs of this user, also what interrupted ones left
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    Link(Link),
    /// Makes a router forget its NAT mappings, as if switched off and on
    ///
    /// Flows that were translated get new outer ports; what comes in for the old ones is dropped.
    #[command(after_long_help = "EXAMPLE\n  twinmesh-lab nat-forget door")]
    NatForget {
        #[command(flatten)]
        which: Which,
        /// Name of the router
        router: String,
    },
    Logs(Logs),
    /// Starts a program of the scenario again, after it has ended, and waits until it is ready
    #[command(after_long_help = "EXAMPLE\n  twinmesh-lab start alpha agent")]
    Start {
        #[command(flatten)]
        which: Which,
        /// Host or router that it runs on
        host: String,
        /// Its name in the scenario
        program: String,
    },
    Stop(Stop),
    /// Checks scenarios without starting anything
    #[command(after_long_help = "EXAMPLE\n  twinmesh-lab check tests/scenarios/*.toml")]
    Check {
        /// The scenarios
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Prints the completions of a shell
    #[command(
        after_long_help = "EXAMPLE\n  twinmesh-lab completions bash >/etc/bash_completion.d/twinmesh-lab"
    )]
    Completions {
        shell: clap_complete::Shell,
    },
    /// Carries the lab's impaired links; `up` starts it inside the lab.
    #[command(hide = true)]
    LinkProcess {
        folder: PathBuf,
    },
    /// Captures an interface; `up` starts it inside the lab.
    #[command(hide = true)]
    Capture {
        interface: String,
        file: PathBuf,
    },
}

/// Which lab.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Name of the lab; may be left out when only one is up
    #[arg(long, value_name = "NAME")]
    pub(super) lab: Option<String>,
}

/// Brings a scenario up, and leaves it up
///
/// Returns when all programs of the scenario are ready. If one is not, or `up` is interrupted, everything is
/// ended again and only the logs stay.
#[derive(Debug, Args)]
#[command(after_long_help = "\
EXAMPLES
  twinmesh-lab up office.toml
  twinmesh-lab up office.toml --name rehearsal-2 --set release=/opt/twinmesh-next
  twinmesh-lab up tests/scenarios/three-nodes.toml --bin target/release")]
pub(super) struct Up {
    /// The scenario
    #[arg(value_name = "FILE.toml")]
    pub(super) file: PathBuf,
    /// Name of the lab; else the scenario's own
    #[arg(long)]
    pub(super) name: Option<String>,
    /// What ${bin} stands for in commands; else the folder of this program
    #[arg(long, value_name = "DIR")]
    pub(super) bin: Option<PathBuf>,
    /// Sets ${NAME} for the scenario's commands; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = variable)]
    pub(super) set: Vec<(String, String)>,
}

/// Runs a program inside a host
///
/// Standard input, output and error are the caller's, signals are passed on, and the exit status is the
/// program's. The host's own folder is in $TWINMESH_LAB_HOST_DIR.
#[derive(Debug, Args)]
#[command(after_long_help = "\
EXAMPLES
  twinmesh-lab exec alpha -- ping -c 3 beta
  twinmesh-lab exec --lab rehearsal-2 door -- nft list ruleset
  twinmesh-lab exec alpha -- bash")]
pub(super) struct Exec {
    #[command(flatten)]
    pub(super) which: Which,
    /// Host or router
    pub(super) host: String,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(super) command: Vec<std::ffi::OsString>,
}

/// Takes labs down: ends all their processes and removes their folders
///
/// Also cleans what an interrupted run left. Nothing outside the lab is touched. A lab that is not there is
/// no error.
#[derive(Debug, Args)]
#[command(
    after_long_help = "EXAMPLES\n  twinmesh-lab down\n  twinmesh-lab down rehearsal-2\n  twinmesh-lab down --all"
)]
pub(super) struct Down {
    /// Name of the lab; may be left out when there is only one
    #[arg(conflicts_with = "all")]
    pub(super) name: Option<String>,
    /// All labs of this user, except those of programs that still run (tests)
    #[arg(long)]
    pub(super) all: bool,
}

/// Changes a link while the lab is up
///
/// CHANGES
///   down, up                      pulls the cable, plugs it in
///   mtu=N                         largest packet
///   rate=10mbit, rate=none        limit of each direction
///   delay=T jitter=T              such as 20ms
///   loss=P reorder=P duplicate=P  share of the frames, such as 2%
///   seed=N                        start of the random numbers
///
/// Delay to seed need a link to which the scenario gives any of them; "0%" will do.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
EXAMPLES
  twinmesh-lab link alpha down
  twinmesh-lab link south-door:wan delay=80ms jitter=10ms loss=2%
  twinmesh-lab link --lab rehearsal-2 alpha:eth1 rate=2mbit"
)]
pub(super) struct Link {
    #[command(flatten)]
    pub(super) which: Which,
    /// The node, and the interface if it has several
    #[arg(value_name = "NODE[:INTERFACE]")]
    pub(super) end: String,
    /// What to change, as listed above
    #[arg(required = true, value_name = "CHANGE")]
    pub(super) changes: Vec<LinkChange>,
}

/// Prints what programs have written
///
/// Without a program: all of the host, each line with the program's name in front. Without a host: all of
/// the lab.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES\n  twinmesh-lab logs\n  twinmesh-lab logs alpha agent")]
pub(super) struct Logs {
    #[command(flatten)]
    pub(super) which: Which,
    /// Host or router
    pub(super) host: Option<String>,
    /// Name of the program
    pub(super) program: Option<String>,
}

/// Stops a program of a host
///
/// Sends SIGTERM, and SIGKILL if the program has not ended in time. With --signal it sends just that and
/// does not wait.
#[derive(Debug, Args)]
#[command(after_long_help = "\
EXAMPLES
  twinmesh-lab stop alpha agent
  twinmesh-lab stop alpha agent --signal KILL")]
pub(super) struct Stop {
    #[command(flatten)]
    pub(super) which: Which,
    /// Host or router that it runs on
    pub(super) host: String,
    /// Its name
    pub(super) program: String,
    /// Sends this signal only, such as HUP or KILL
    #[arg(long, value_parser = signal)]
    pub(super) signal: Option<Signal>,
    /// Seconds until SIGKILL
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(super) patience: u64,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("the name has letters, digits and underscores only".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn signal(text: &str) -> Result<Signal, String> {
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse().map_err(|_| "no such signal: write a name such as HUP, TERM or KILL".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn variables_need_a_name_and_signals_exist() {
        assert_eq!(variable("a_1=b=c"), Ok(("a_1".to_owned(), "b=c".to_owned())));
        assert!(variable("a").is_err() && variable("=b").is_err() && variable("a b=c").is_err());
        assert_eq!(signal("hup"), Ok(Signal::SIGHUP));
        assert_eq!(signal("SIGKILL"), Ok(Signal::SIGKILL));
        assert!(signal("nothing").is_err());
    }
}
