//! `logs`, `start`, `stop`: the programs that run in hosts.

use std::path::Path;
use std::time::Duration;

use twinmesh_lab::{Host, Lab, RunningProgram};

use super::arguments::{Logs, Stop};
use super::output;

pub(super) fn logs(root: &Path, arguments: &Logs) -> anyhow::Result<()> {
    let lab = Lab::select(root, arguments.which.lab.as_deref())?;
    match (&arguments.host, &arguments.program) {
        (Some(host), Some(program)) => output::text(&lab.find_host(host)?.program(program)?.log()),
        (Some(host), None) => {
            output::text(&marked(lab.find_host(host)?, &|program| program.name().to_owned()))
        }
        (None, _) => {
            let nodes = &lab.state().nodes;
            let hosts = nodes.iter().map(|node| lab.find_host(&node.name)).collect::<Result<Vec<_>, _>>()?;
            let logs = hosts
                .into_iter()
                .map(|host| marked(host, &|program| format!("{} {}", host.name(), program.name())));
            output::text(&logs.collect::<String>())
        }
    }
}

/// The logs of all programs of a host, each line behind a mark that tells whose it is.
fn marked<M: std::fmt::Display>(host: Host<'_>, mark: &dyn Fn(&RunningProgram<'_>) -> M) -> String {
    let lines = |program: RunningProgram<'_>| {
        let mark = mark(&program).to_string();
        program.log().lines().map(|line| format!("{mark}: {line}\n")).collect::<String>()
    };
    host.programs().into_iter().map(lines).collect()
}

pub(super) fn start(root: &Path, lab: Option<&str>, host: &str, program: &str) -> anyhow::Result<()> {
    let lab = Lab::select(root, lab)?;
    lab.find_host(host)?.restart(program)?;
    Ok(())
}

pub(super) fn stop(root: &Path, arguments: &Stop) -> anyhow::Result<()> {
    let lab = Lab::select(root, arguments.which.lab.as_deref())?;
    let program = lab.find_host(&arguments.host)?.program(&arguments.program)?;
    if let Some(signal) = arguments.signal {
        return Ok(program.signal(signal)?);
    }
    let status = program.stop(Duration::from_secs(arguments.patience))?;
    output::remark(&format!("{} ended with status {status}", arguments.program));
    Ok(())
}
