//! A mesh under mixed load for a set time, with something happening to it all the while.
//!
//! ```text
//!   soak() ──► Disturber: engines, guest, ways ──► Mesh (tests/scenarios/soak.toml)
//!     │                                              ▲
//!     ├──► Flows: `twinmesh-soak traffic` on each node, tallies each second
//!     └──► Watched: memory, descriptors and threads of every agent and the coordinator
//! ```
//!
//! It fails if a flow stands still, an answer is not what was sent, a program grows, ends or panics, or packets are dropped
//! for a reason that nothing of the above explains.

mod disturbance;
mod drops;
mod echo;
mod flow;
mod flows;
mod report;
mod samples;
mod traffic;

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

pub use disturbance::Disturbance;
pub use flows::{FlowSums, Stuck};
pub use report::SoakReport;
pub use samples::Growth;
pub use traffic::run_traffic;

use self::disturbance::{Disturber, ROUND};
use self::flows::{Flows, LONGEST_PAUSE};
use self::samples::Watched;
use crate::Mesh;

pub(crate) const NODES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
const GUEST: &str = "guest";
/// Between two disturbances.
const REST: Duration = Duration::from_secs(1);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// The time in which nothing new happens: flows are looked after and programs measured.
pub(crate) struct Pause<'a> {
    flows: &'a Flows,
    watched: &'a mut [Watched],
    sampled: Instant,
    during: String,
}

impl Pause<'_> {
    fn flows(&self) -> &Flows {
        self.flows
    }

    /// # Errors
    /// A program has ended.
    fn rest(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            self.look()?;
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            thread::sleep((end - now).min(Duration::from_millis(100)));
        }
    }

    fn look(&mut self) -> Result<()> {
        self.flows.look(&self.during);
        if self.sampled.elapsed() >= SAMPLE_INTERVAL {
            self.sampled = Instant::now();
            self.watched.iter_mut().try_for_each(Watched::sample)?;
        }
        Ok(())
    }
}

/// Loads the mesh of `soak.toml` for so long; `say` is told what happens.
///
/// # Errors
/// A disturbance does not go as it should: a guest is not reached, a pair does not change its engine, a program ends. What
/// is found otherwise is in the report.
pub fn soak(mesh: &mut Mesh, time: Duration, say: &mut dyn FnMut(&str)) -> Result<SoakReport> {
    let mut disturber = Disturber::new(mesh)?;
    let rekeys_before = esp_generations(mesh)?;
    let flows = Flows::start(mesh, &NODES)?;
    let programs = NODES.iter().map(|node| (*node, "agent")).chain([("hub", "coordinator")]);
    let mut watched: Vec<Watched> =
        programs.map(|(host, program)| Watched::find(mesh, host, program)).collect::<Result<_>>()?;
    let mut pause =
        Pause { flows: &flows, watched: &mut watched, sampled: Instant::now(), during: "start".to_owned() };
    let (start, mut happened) = (Instant::now(), BTreeMap::new());
    for what in ROUND.into_iter().cycle() {
        pause.rest(REST)?;
        if start.elapsed() >= time {
            break;
        }
        say(&format!("{:>4} s  {what:?}", start.elapsed().as_secs()));
        pause.during = format!("{what:?}");
        disturber
            .carry_out(mesh, what, &mut pause)
            .with_context(|| format!("{what:?} after {} s", start.elapsed().as_secs()))?;
        *happened.entry(what).or_default() += 1;
    }
    // Whoever was disturbed last has its time to go on.
    "end".clone_into(&mut pause.during);
    pause.rest(LONGEST_PAUSE)?;
    let took = start.elapsed();
    let rekeys = esp_generations(mesh)?.saturating_sub(rekeys_before);
    let (sums, stuck) = (flows.sums(), flows.stuck());
    drop(flows);
    let mut growth = Vec::new();
    for program in &watched {
        ensure!(program.is_alive(), "{} has ended", program.name);
        growth.push((program.name.clone(), program.growth()?));
    }
    let (panics, errors) = read_logs(mesh)?;
    let drops = drops::of_all(mesh, &NODES)?;
    Ok(SoakReport { took, happened, rekeys, sums, stuck, growth, drops, panics, errors })
}

/// Each child SA with another node has a number, which counts up: the sum of the highest that each node has.
fn esp_generations(mesh: &Mesh) -> Result<u64> {
    let mut sum = 0;
    for node in NODES {
        let list = mesh.json(node, &["twinmesh", "sa", "--json"])?;
        let names = list.as_array().into_iter().flatten().filter_map(|sa| sa["name"].as_str());
        let numbers = names.filter_map(|name| name.rsplit_once('#')?.1.parse::<u64>().ok());
        sum += numbers.max().unwrap_or(0);
    }
    Ok(sum)
}

/// What a guest that was removed says, and rightly so.
const EXPECTED_ERROR: &str = "this node was removed from its network";

/// Lines of all logs that tell of a panic, and those of the level of an error.
fn read_logs(mesh: &Mesh) -> Result<(Vec<String>, Vec<String>)> {
    let (mut panics, mut errors) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(mesh.lab().folder().join("logs"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(bytes) = fs::read(&path) else { continue };
        for line in String::from_utf8_lossy(&bytes).lines() {
            let told = || format!("{name}: {line}");
            if line.contains("panicked at") {
                panics.push(told());
            } else if line.contains("\"level\":\"ERROR\"") && !line.contains(EXPECTED_ERROR) {
                errors.push(told());
            }
        }
    }
    Ok((panics, errors))
}
