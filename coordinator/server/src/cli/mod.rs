//! The command line.

mod arguments;
mod client;
mod explain;
mod node;
mod output;
mod peer;
mod policy;
mod relay;
mod serve;
mod token;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::serve::ServeError;
use arguments::{Command, CommandLine};
use client::ClientError;

/// A command that failed: exit status 1.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot read the policy {}: {source}", .path.display())]
    PolicyFile { path: PathBuf, source: io::Error },
    #[error("{} is no policy: {source} (see `policy get --json`)", .path.display())]
    PolicyFormat { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    RelaySecret(#[from] crate::relay::SecretError),
    #[error(transparent)]
    Relay(#[from] crate::relay::RelayError),
    #[error(
        "nodes must be told at which address their relayed ports are: give --relay-address IP, or let the relay \
         listen at one address"
    )]
    NoRelayAddress,
    #[error("no random numbers from the operating system")]
    Random,
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    #[error("cannot catch signals: {0}")]
    Signals(#[source] io::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
}

/// Runs the program: 0 done, 1 failed, 2 bad usage.
pub fn main() -> ExitCode {
    let CommandLine { command } = CommandLine::parse();
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe has seen enough.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Relay(arguments) => relay::run(&arguments),
        Command::Token(command) => wait_for(token::run(command)),
        Command::Node(command) => wait_for(node::run(command)),
        Command::Peer(command) => wait_for(peer::run(command)),
        Command::Explain(arguments) => wait_for(explain::run(arguments)),
        Command::Policy(command) => wait_for(policy::run(command)),
        Command::Openapi => output::json(&crate::http::openapi_document()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "twinmesh-coordinator", &mut script);
            output::bytes(&script)
        }
        Command::Version => output::text(concat!("twinmesh-coordinator ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn wait_for(work: impl Future<Output = Result<(), CommandError>>) -> Result<(), CommandError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Runtime)?;
    runtime.block_on(work)
}
