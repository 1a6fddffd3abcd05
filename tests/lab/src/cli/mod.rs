//! The command line: one file for each group of commands.

mod arguments;
mod change;
mod exec;
mod output;
mod overview;
mod programs;
mod up;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use twinmesh_lab::{LabError, folder};

use arguments::{Arguments, Command};

/// Runs what the command line asks for. Exit status 0 done, 1 failed, 2 bad usage or a wrong scenario;
/// of `exec` it is the program's.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments.command) {
        Ok(status) => status,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::remark(&format!("error: {error}"));
            let usage = error.is::<output::UsageError>()
                || error.downcast_ref::<LabError>().is_some_and(LabError::is_usage);
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    let root = folder::root();
    match command {
        Command::Exec(arguments) => return exec::exec(&root, &arguments),
        Command::Up(arguments) => up::up(root, arguments),
        Command::Check { files } => up::check(&files),
        Command::Down(arguments) => up::down(&root, &arguments),
        Command::Status { which, json } => overview::status(&root, which.lab.as_deref(), json),
        Command::List { json } => overview::list(&root, json),
        Command::Link(arguments) => change::link(&root, &arguments),
        Command::NatForget { which, router } => change::nat_forget(&root, which.lab.as_deref(), &router),
        Command::Logs(arguments) => programs::logs(&root, &arguments),
        Command::Start { which, host, program } => {
            programs::start(&root, which.lab.as_deref(), &host, &program)
        }
        Command::Stop(arguments) => programs::stop(&root, &arguments),
        Command::Completions { shell } => completions(shell),
        Command::LinkProcess { folder } => link_process(&folder),
        Command::Capture { interface, file } => Ok(twinmesh_lab::run_capture(&interface, &file)?),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "twinmesh-lab", &mut script);
    output::bytes(&script)
}

fn link_process(folder: &Path) -> anyhow::Result<()> {
    Ok(twinmesh_lab::run_link_process(folder)?)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
