//! `status` and `list`.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Serialize;
use twinmesh_lab::folder::{InterfaceState, NodeState};
use twinmesh_lab::scenario::LinkProperties;
use twinmesh_lab::{Lab, Status};

use super::output;

/// `status --json`. Fields are added, never changed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    name: &'a str,
    scenario: Option<&'a Path>,
    folder: PathBuf,
    /// Seconds since 1970.
    started: u64,
    nodes: Vec<Node<'a>>,
}

#[derive(Debug, Serialize)]
struct Node<'a> {
    name: &'a str,
    kind: &'static str,
    /// Pid of the process whose namespaces the node has, for `nsenter`.
    pid: i32,
    interfaces: Vec<Interface<'a>>,
    programs: Vec<Program>,
}

#[derive(Debug, Serialize)]
struct Interface<'a> {
    name: &'a str,
    network: &'a str,
    addresses: &'a [IpNet],
    #[serde(flatten)]
    link: LinkProperties,
    /// The pcap file, if the scenario captures the interface.
    capture: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Program {
    name: String,
    /// Pid outside of the lab, while it runs.
    pid: Option<i32>,
    /// Exit status, or 128 + signal, once it has ended.
    exit_status: Option<i32>,
}

pub(super) fn status(root: &Path, lab: Option<&str>, json: bool) -> anyhow::Result<()> {
    let lab = Lab::select(root, lab)?;
    let report = report(&lab)?;
    if json {
        return output::json(&report);
    }
    output::text(&format!("lab {}\n", report.name))?;
    if let Some(scenario) = report.scenario {
        output::text(&format!("scenario  {}\n", scenario.display()))?;
    }
    output::text(&format!("folder    {}\n\n", report.folder.display()))?;
    output::table(&["NODE", "INTERFACE", "NETWORK", "ADDRESSES", "LINK"], &interface_rows(&report))?;
    let programs = program_rows(&report);
    if programs.is_empty() {
        return Ok(());
    }
    output::text("\n")?;
    output::table(&["NODE", "PROGRAM", "STATE"], &programs)
}

fn report(lab: &Lab) -> anyhow::Result<Report<'_>> {
    let state = lab.state();
    let nodes = state.nodes.iter().map(|node| node_report(lab, node));
    Ok(Report {
        name: &state.name,
        scenario: state.scenario.as_deref(),
        folder: lab.folder(),
        started: state.started,
        nodes: nodes.collect::<anyhow::Result<_>>()?,
    })
}

fn node_report<'a>(lab: &'a Lab, node: &'a NodeState) -> anyhow::Result<Node<'a>> {
    let program = |program: twinmesh_lab::RunningProgram<'_>| {
        let (pid, exit_status) = match program.status() {
            Some(Status::Running(process)) => (Some(process.pid), None),
            Some(Status::Ended(status)) => (None, Some(status)),
            None => (None, None),
        };
        Program { name: program.name().to_owned(), pid, exit_status }
    };
    let interface = |it: &'a InterfaceState| Interface {
        name: &it.name,
        network: &it.network,
        addresses: &it.addresses,
        link: it.link,
        capture: Some(lab.capture(&node.name, &it.name)).filter(|capture| capture.exists()),
    };
    Ok(Node {
        name: &node.name,
        kind: if node.router { "router" } else { "host" },
        pid: node.process.pid,
        interfaces: node.interfaces.iter().map(interface).collect(),
        programs: lab.find_host(&node.name)?.programs().into_iter().map(program).collect(),
    })
}

fn interface_rows(report: &Report<'_>) -> Vec<Vec<String>> {
    let rows = report.nodes.iter().flat_map(|node| {
        node.interfaces.iter().map(move |it| {
            let addresses: Vec<String> = it.addresses.iter().map(ToString::to_string).collect();
            let cells = [node.name, it.name, it.network, &addresses.join(", "), &link_words(it)];
            cells.map(str::to_owned).to_vec()
        })
    });
    rows.collect()
}

fn link_words(interface: &Interface<'_>) -> String {
    let mut words = Vec::new();
    let link = interface.link;
    words.extend(link.mtu.map(|mtu| format!("mtu {mtu}")));
    words.extend(link.rate.map(|rate| format!("rate {rate}")));
    if let Some(impairment) = link.impairment {
        let spans = [("delay", impairment.delay), ("jitter", impairment.jitter)];
        let shares =
            [("loss", impairment.loss), ("reorder", impairment.reorder), ("duplicate", impairment.duplicate)];
        words.extend(spans.iter().filter(|(_, it)| !it.0.is_zero()).map(|(word, it)| format!("{word} {it}")));
        words.extend(shares.iter().filter(|(_, it)| it.0 > 0.0).map(|(word, it)| format!("{word} {it}")));
    }
    if interface.capture.is_some() {
        words.push("captured".to_owned());
    }
    words.join(", ")
}

fn program_rows(report: &Report<'_>) -> Vec<Vec<String>> {
    let rows = report.nodes.iter().flat_map(|node| {
        node.programs.iter().map(move |program| {
            let state = match (program.pid, program.exit_status) {
                (Some(pid), _) => format!("runs, pid {pid}"),
                (None, Some(status)) => format!("ended, status {status}"),
                (None, None) => "never started".to_owned(),
            };
            vec![node.name.to_owned(), program.name.clone(), state]
        })
    });
    rows.collect()
}

pub(super) fn list(root: &Path, json: bool) -> anyhow::Result<()> {
    let labs = twinmesh_lab::list(root);
    if json {
        return output::json(&labs);
    }
    if labs.is_empty() {
        output::remark("no lab is up: start one with `twinmesh-lab up FILE.toml`");
        return Ok(());
    }
    let rows = labs.iter().map(|lab| {
        let scenario = lab.scenario.as_ref().map_or_else(|| "-".to_owned(), |it| it.display().to_string());
        let owner = lab.owner.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        vec![lab.name.clone(), lab.status.to_owned(), lab.nodes.to_string(), owner, scenario]
    });
    output::table(&["NAME", "STATUS", "NODES", "OWNER", "SCENARIO"], &rows.collect::<Vec<_>>())
}
