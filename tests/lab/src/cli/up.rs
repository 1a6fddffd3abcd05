//! `up`, `check`, `down`.

use std::path::{Path, PathBuf};

use twinmesh_lab::{Lab, LabError, Options, Scenario, Source, Summary};

use super::arguments;
use super::output::{self, UsageError};

pub(super) fn up(root: PathBuf, arguments: arguments::Up) -> anyhow::Result<()> {
    let scenario = read(&arguments.file)?;
    let bin = arguments.bin.map(|bin| {
        // Programs start in `/`, so that a relative folder would be another one for them.
        bin.canonicalize().map_err(|error| UsageError(format!("--bin {}: {error}", bin.display())))
    });
    let options = Options {
        name: Some(arguments.name.unwrap_or_else(|| scenario.name.clone())),
        keep: true,
        bin: bin.transpose()?,
        variables: arguments.set.into_iter().collect(),
        root: Some(root),
    };
    let lab = Lab::up(&arguments.file, options)?;
    output::text(&greeting(&lab, &scenario))
}

/// What to do next, in lines to copy.
fn greeting(lab: &Lab, scenario: &Scenario) -> String {
    let name = lab.name();
    let routers = scenario.nodes.iter().filter(|node| node.router.is_some()).count();
    let hosts: Vec<&str> =
        scenario.nodes.iter().filter(|node| node.router.is_none()).map(|host| host.name.as_str()).collect();
    let mut text = format!(
        "lab {name} is up: {} networks, {routers} routers, {} hosts\n",
        scenario.networks.len(),
        hosts.len()
    );
    if let Some(host) = hosts.first() {
        text.push_str(&format!("  twinmesh-lab exec --lab {name} {host} -- ip -brief address\n"));
    }
    text.push_str(&format!("  twinmesh-lab status --lab {name}\n  twinmesh-lab down {name}\n"));
    text
}

/// Reads a scenario; a file that is not there is bad usage.
fn read(file: &Path) -> anyhow::Result<Scenario> {
    Source::File(file).read().map_err(|error| {
        if matches!(error, LabError::Io { .. }) { UsageError(error.to_string()).into() } else { error.into() }
    })
}

pub(super) fn check(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut first_error = None;
    for file in files {
        match read(file) {
            Ok(scenario) => {
                let (networks, nodes) = (scenario.networks.len(), scenario.nodes.len());
                output::text(&format!("{}: {networks} networks, {nodes} nodes\n", file.display()))?;
            }
            // All wrong files are told at once; the first one's error ends the command.
            Err(error) if first_error.is_none() => first_error = Some(error),
            Err(error) => output::remark(&format!("error: {error}")),
        }
    }
    first_error.map_or(Ok(()), Err)
}

pub(super) fn down(root: &Path, arguments: &arguments::Down) -> anyhow::Result<()> {
    let labs = twinmesh_lab::list(root);
    let chosen: Vec<&str> = match &arguments.name {
        Some(name) => vec![name],
        None if arguments.all => {
            labs.iter().filter(|lab| !is_in_use(lab)).map(|lab| lab.name.as_str()).collect()
        }
        None => only(&labs)?.into_iter().collect(),
    };
    if chosen.is_empty() {
        output::remark("there is no lab to take down");
    }
    for name in chosen {
        if twinmesh_lab::down(root, name)? {
            output::text(&format!("lab {name} is down\n"))?;
        } else {
            output::remark(&format!("there is no lab {name}"));
        }
    }
    Ok(())
}

/// Whether a program that still runs wants it, such as a test: it takes the lab down itself.
fn is_in_use(lab: &Summary) -> bool {
    if let Some(owner) = lab.owner {
        output::remark(&format!("lab {} is left alone: it belongs to process {owner}", lab.name));
    }
    lab.owner.is_some()
}

fn only(labs: &[Summary]) -> anyhow::Result<Option<&str>> {
    let mut names = labs.iter().filter(|lab| lab.owner.is_none()).map(|lab| lab.name.as_str());
    let (name, another) = (names.next(), names.next());
    if another.is_some() {
        let names: Vec<&str> = labs.iter().map(|lab| lab.name.as_str()).collect();
        return Err(UsageError(format!(
            "there are several labs ({}): name one, or say --all",
            names.join(", ")
        ))
        .into());
    }
    Ok(name)
}
