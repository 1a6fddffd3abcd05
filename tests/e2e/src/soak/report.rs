//! What a run showed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::drops::{Drops, EXCEPTIONAL};
use super::{Disturbance, FlowSums, Growth, Stuck};

/// What a run showed; [`SoakReport::problems`] says whether that is right.
#[derive(Debug, Clone)]
pub struct SoakReport {
    pub took: Duration,
    /// How often each thing happened.
    pub happened: BTreeMap<Disturbance, u32>,
    /// ESP tunnels that replaced others.
    pub rekeys: u64,
    pub sums: FlowSums,
    pub stuck: Vec<Stuck>,
    /// By program.
    pub growth: Vec<(String, Growth)>,
    /// By reason.
    pub drops: BTreeMap<String, Drops>,
    /// Lines of logs.
    pub panics: Vec<String>,
    pub errors: Vec<String>,
}

/// Flows that a mesh of four nodes has: to three peers each, by two families, of four kinds.
const FLOWS: usize = 4 * 3 * 2 * 4;

impl SoakReport {
    /// Why the run has failed; empty if it has not.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.sums.flows != FLOWS {
            problems.push(format!("{} flows ran instead of {FLOWS}", self.sums.flows));
        }
        if self.sums.corrupt > 0 {
            problems.push(format!("{} answers were not what was sent", self.sums.corrupt));
        }
        for Stuck { flow, during } in &self.stuck {
            problems.push(format!("{flow} stood still (during {during})"));
        }
        for (program, growth) in &self.growth {
            problems.extend(growth.problems().into_iter().map(|problem| format!("{program}: {problem}")));
        }
        for (reason, drops) in &self.drops {
            let why = drops.why.unwrap_or("not explained");
            if drops.why.is_none() || drops.packets * EXCEPTIONAL > self.sums.done {
                problems.push(format!("{} packets were dropped as {reason} ({why})", drops.packets));
            }
        }
        // Nodes that change their engine all the time replace their keys for that reason alone; these do so every five seconds.
        if self.rekeys < self.took.as_secs() / 5 {
            problems.push(format!("only {} ESP tunnels took the place of others", self.rekeys));
        }
        problems.extend(self.panics.iter().map(|line| format!("a panic: {line}")));
        problems.extend(self.errors.iter().map(|line| format!("an error: {line}")));
        problems
    }
}

impl fmt::Display for SoakReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlowSums { flows, done, bytes, lost, broken, corrupt, longest_pause } = self.sums;
        writeln!(
            out,
            "{} s, {flows} flows: {done} exchanges, {} MB answered",
            self.took.as_secs(),
            bytes / 1_000_000
        )?;
        writeln!(
            out,
            "{corrupt} answers wrong, {lost} datagrams lost, {broken} connections broken, longest pause {:.1} s",
            longest_pause.as_secs_f64()
        )?;
        let happened: Vec<String> =
            self.happened.iter().map(|(what, count)| format!("{what:?} {count}")).collect();
        writeln!(out, "{}; {} new ESP tunnels", happened.join(", "), self.rekeys)?;
        writeln!(
            out,
            "\n{:<20} {:>22} {:>16} {:>12}",
            "after warm-up → end", "memory, KiB", "descriptors", "threads"
        )?;
        for (program, Growth { memory_kib, descriptors, threads, .. }) in &self.growth {
            let both = |[first, last]: [u64; 2]| format!("{first} → {last}");
            writeln!(
                out,
                "{program:<20} {:>22} {:>16} {:>12}",
                both(*memory_kib),
                both(*descriptors),
                both(*threads)
            )?;
        }
        writeln!(out, "\npackets dropped")?;
        for (reason, Drops { packets, why }) in &self.drops {
            writeln!(out, "{packets:>10}  {reason}: {}", why.unwrap_or("NOT EXPLAINED"))?;
        }
        for problem in self.problems() {
            writeln!(out, "FAILED: {problem}")?;
        }
        Ok(())
    }
}
