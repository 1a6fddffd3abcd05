//! `twinmesh-bench scale`: what peers, routes and busy tunnels cost an agent.

pub(crate) mod flows;
mod goals;
mod growth;
mod table;

use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::growth::Series;
use crate::arguments::ScaleArguments;
use crate::interrupt::leave_if_interrupted;
use crate::machine::{self, Machine};
use crate::places::Places;
use crate::report::Goal;
use crate::tell;

/// One count of one series.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    series: Series,
    count: u32,
    rss_kb: f64,
    idle_cpu_percent: f64,
    ping_ms: f64,
    tcp1: f64,
    #[serde(rename = "cpu_s_per_GB")]
    cpu_s_per_gb: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    date: String,
    revision: String,
    machine: Machine,
    seconds: u16,
    rows: Vec<Row>,
    goals: Vec<Goal>,
    problems: Vec<String>,
}

/// Measures, writes the report and prints it. `false` if something could not be measured.
pub(crate) fn run(arguments: &ScaleArguments) -> Result<bool> {
    let places = Places::of_this_program()?;
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let all = [
        (Series::IdlePeers, &arguments.peers),
        (Series::Routes, &arguments.routes),
        (Series::BusyTunnels, &arguments.busy),
    ];
    for (series, counts) in all {
        let mut counts = counts.clone();
        counts.sort_unstable();
        let seen = |row: Row| {
            tell(&format!("{} {}: {:.0} kB, {:.2} Gb/s", row.count, series.unit(), row.rss_kb, row.tcp1));
            rows.push(row);
        };
        if let Err(error) = series.measure(&places, &counts, arguments.seconds, seen) {
            leave_if_interrupted();
            tell(&format!("failed: {}: {error:#}", series.unit()));
            problems.push(format!("{}: {error:#}", series.unit()));
        }
    }
    leave_if_interrupted();
    let whole = problems.is_empty();
    let report = Report {
        date: machine::date()?,
        revision: machine::revision(),
        machine: Machine::this()?,
        seconds: arguments.seconds,
        goals: goals::of(&rows),
        rows,
        problems,
    };
    let (json, page) = (serde_json::to_string_pretty(&report)?, table::page(&report));
    let folder = places.reports();
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("scale.json"), format!("{json}\n")).context("writing scale.json")?;
    fs::write(folder.join("scale.md"), &page).context("writing scale.md")?;
    crate::print(if arguments.json { &json } else { &page })?;
    Ok(whole)
}
