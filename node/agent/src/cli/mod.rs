//! The command line.

mod arguments;
mod bugreport;
mod completions;
mod debug;
mod explain;
mod netcheck;
mod ping;
mod routes;
mod sa;
mod secret_file;
mod site;
mod status;
mod trace;
mod up;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use serde::Serialize;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::api::{self, ClientError, Done, Request};
use crate::daemon::{self, DaemonError, Settings};
use crate::log::{RecentLog, log_filter};
use arguments::{AgentArguments, Command, CommandLine};
#[cfg(test)]
pub(crate) use sa::EXAMPLE as SA_EXAMPLE;
#[cfg(test)]
pub(crate) use site::EXAMPLE as SITE_EXAMPLE;

/// For answers that the daemon has at hand.
const PATIENCE: Duration = Duration::from_secs(10);
/// The daemon gives the coordinator some time to hear of a logout.
const LOGOUT_PATIENCE: Duration = Duration::from_secs(40);

/// A command that failed: exit status 1.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error("{0}")]
    Token(#[from] twinmesh_control::TokenError),
    #[error(transparent)]
    SaFile(#[from] crate::sa::SaFileError),
    #[error(transparent)]
    SiteFile(#[from] crate::site::SiteFileError),
    #[error(transparent)]
    SiteUp(#[from] site::UpError),
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error(transparent)]
    Ping(#[from] ping::PingError),
    #[error(transparent)]
    Bugreport(#[from] bugreport::BugreportError),
    #[error("cannot write the key log {file}: {source}")]
    KeyLog { file: String, source: io::Error },
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
}

/// Runs the program: 0 done, 1 failed, 2 bad usage.
pub fn main() -> ExitCode {
    completions::answer_shell();
    let CommandLine { command } = CommandLine::parse();
    match run(command) {
        Ok(code) => code,
        // The reader of a pipe has seen enough.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, CommandError> {
    match command {
        Command::Agent(arguments) => agent(arguments)?,
        Command::Up(arguments) => up::run(arguments)?,
        Command::Down { socket } => tell_done(&api::request(&socket.socket, &Request::Down, PATIENCE)?)?,
        Command::Logout { socket } => {
            tell_done(&api::request(&socket.socket, &Request::Logout, LOGOUT_PATIENCE)?)?;
        }
        Command::Status { json, watch, socket } => status::run(&socket.socket, json, watch)?,
        Command::Explain { peer, json, socket } => explain::run(&socket.socket, peer, json)?,
        Command::Trace(arguments) => return trace::run(&arguments),
        Command::Ping(arguments) => return ping::run(&arguments),
        Command::Netcheck { server, json, socket } => netcheck::run(&socket.socket, server, json)?,
        Command::Routes { json, socket } => routes::run(&socket.socket, json)?,
        Command::Sa(arguments) => sa::run(&arguments)?,
        Command::Site(arguments) => site::run(&arguments)?,
        Command::Debug(arguments) => debug::run(&arguments)?,
        Command::Bugreport(arguments) => bugreport::run(&arguments)?,
        Command::Version => print(concat!("twinmesh ", env!("CARGO_PKG_VERSION"), "\n"))?,
        Command::Completions { shell } => {
            let script = completions::script(shell).map_err(CommandError::Output)?;
            io::stdout().write_all(&script).map_err(CommandError::Output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn agent(arguments: AgentArguments) -> Result<(), CommandError> {
    let log = start_logging();
    let settings = Settings {
        state: arguments.state,
        socket: arguments.socket.socket,
        tun: arguments.tun,
        port: arguments.port,
        workers: arguments.workers,
        offload: arguments::NoOffload::without(&arguments.no_offload),
        esp_rekey: arguments.esp_rekey,
        allow_manual_sa: arguments.allow_manual_sa,
        log,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Runtime)?;
    Ok(runtime.block_on(daemon::run(settings))?)
}

/// Text on a terminal, JSON otherwise. `RUST_LOG` says how much. The last of it is kept, as text.
fn start_logging() -> RecentLog {
    let filter = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|wanted| !wanted.is_empty());
    let filter = log_filter(filter.as_deref());
    let shown = fmt::layer().with_writer(io::stderr);
    let shown = if io::stderr().is_terminal() { shown.boxed() } else { shown.json().boxed() };
    let recent = RecentLog::default();
    let kept = fmt::layer().with_ansi(false).with_writer(recent.clone());
    tracing_subscriber::registry().with(filter).with(shown).with(kept).init();
    recent
}

fn tell_done(done: &Done) -> Result<(), CommandError> {
    print(&format!("{}\n", done.message))
}

fn ask<T: serde::de::DeserializeOwned>(socket: &Path, request: &Request) -> Result<T, CommandError> {
    Ok(api::request(socket, request, PATIENCE)?)
}

fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CommandError::Output)
}

fn print_json<T: Serialize>(value: &T) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| CommandError::Output(error.into()))?;
    print(&format!("{text}\n"))
}

/// Columns as wide as their widest cell, two blanks between them.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
