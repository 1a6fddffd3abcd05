//! Memory, descriptors and threads of the programs that stay, and whether they grow.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use twinmesh_lab::Status;
use twinmesh_lab::process::Process;

use crate::Mesh;

/// So much of a run is warming up: pools are made, caches fill, peers meet.
const WARM_UP: f64 = 0.3;
/// So much after it, and so much at the end, is compared.
const WINDOW: f64 = 0.2;
/// So much the least memory of the last window may lie above that of the first: the allocator keeps what it once had, in
/// pieces.
const MEMORY_SLACK_KIB: u64 = 2048;
/// In a shorter run everything is still warming up: queues are filled for the first time when the first ways are lost.
const SHORT: Duration = Duration::from_mins(5);
const SHORT_MEMORY_SLACK_KIB: u64 = 16 * 1024;
/// Descriptors and threads come and go with ways and guests: at the end there are, at the least, no more than there ever were in
/// so much of the run.
const FIRST_HALF: f64 = 0.5;
/// And a few more: the runtime keeps a thread that blocks, with what it opened, while it is used now and then. What leaks at
/// each rekey or guest is hundreds in ten minutes.
const COUNT_SLACK: u64 = 4;

/// A program of the mesh that must not grow.
pub(super) struct Watched {
    pub(super) name: String,
    process: Process,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    memory_kib: u64,
    descriptors: u64,
    threads: u64,
}

/// What a program had early, and what at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// The least after warming up, and the least at the end.
    pub memory_kib: [u64; 2],
    /// The most in the first half, and the least at the end.
    pub descriptors: [u64; 2],
    pub threads: [u64; 2],
    memory_slack_kib: u64,
}

impl Watched {
    /// A program of a host, as the lab started it.
    pub(super) fn find(mesh: &Mesh, host: &str, program: &str) -> Result<Self> {
        match mesh.lab().find_host(host)?.program(program)?.status() {
            Some(Status::Running(process)) => {
                Ok(Self { name: format!("{host} {program}"), process, samples: Vec::new() })
            }
            Some(Status::Ended(_)) | None => anyhow::bail!("{program} of {host} does not run"),
        }
    }

    /// # Errors
    /// It has ended.
    pub(super) fn sample(&mut self) -> Result<()> {
        let gone = || format!("{} has ended", self.name);
        let status = fs::read_to_string(self.process.proc("status")).with_context(gone)?;
        let descriptors = fs::read_dir(self.process.proc("fd")).with_context(gone)?.count();
        let sample = Sample {
            at: Instant::now(),
            memory_kib: field(&status, "VmRSS:")?,
            descriptors: u64::try_from(descriptors)?,
            threads: field(&status, "Threads:")?,
        };
        self.samples.push(sample);
        Ok(())
    }

    pub(super) fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// # Errors
    /// There are too few samples.
    pub(super) fn growth(&self) -> Result<Growth> {
        let (first, last) = self.samples.first().zip(self.samples.last()).context("no samples")?;
        let whole = last.at - first.at;
        let within = |from: f64, part: f64, value: fn(&Sample) -> u64| {
            let window = first.at + whole.mul_f64(from)..=first.at + whole.mul_f64(from + part);
            self.samples.iter().filter(move |sample| window.contains(&sample.at)).map(value)
        };
        let least =
            |from, value| -> Result<u64> { within(from, WINDOW, value).min().context("too few samples") };
        let most = |value| -> Result<u64> { within(0.0, FIRST_HALF, value).max().context("too few samples") };
        let memory: fn(&Sample) -> u64 = |sample| sample.memory_kib;
        let descriptors: fn(&Sample) -> u64 = |sample| sample.descriptors;
        let threads: fn(&Sample) -> u64 = |sample| sample.threads;
        Ok(Growth {
            memory_kib: [least(WARM_UP, memory)?, least(1.0 - WINDOW, memory)?],
            descriptors: [most(descriptors)?, least(1.0 - WINDOW, descriptors)?],
            threads: [most(threads)?, least(1.0 - WINDOW, threads)?],
            memory_slack_kib: if whole < SHORT { SHORT_MEMORY_SLACK_KIB } else { MEMORY_SLACK_KIB },
        })
    }
}

impl Growth {
    /// What has grown too much, in words.
    pub(super) fn problems(&self) -> Vec<String> {
        let grown = |[first, last]: [u64; 2], slack: u64, what: &str| {
            (last > first + slack).then(|| format!("{what} grew from {first} to {last}"))
        };
        [
            grown(self.memory_kib, self.memory_slack_kib, "memory in KiB"),
            grown(self.descriptors, COUNT_SLACK, "descriptors"),
            grown(self.threads, COUNT_SLACK, "threads"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn field(status: &str, name: &str) -> Result<u64> {
    let value =
        status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(memory: impl Fn(u64) -> u64, threads: impl Fn(u64) -> u64) -> Watched {
        let start = Instant::now();
        let sample = |second| Sample {
            at: start + Duration::from_secs(second),
            memory_kib: memory(second),
            descriptors: 20 + second % 5,
            threads: threads(second),
        };
        let process = Process { pid: 1, start: 0 };
        Watched { name: "alpha agent".to_owned(), process, samples: (0..=600).map(sample).collect() }
    }

    #[test]
    fn what_is_reached_while_warming_up_and_what_comes_and_goes_is_no_leak() {
        let growth =
            watched(|second| 10_000 + 30 * second.min(180) + 900 * (second % 7), |second| 3 + second / 500)
                .growth()
                .unwrap();
        assert_eq!(growth.problems(), Vec::<String>::new());
        assert_eq!(growth.descriptors, [24, 20]);
    }

    #[test]
    fn what_grows_all_the_time_is_one() {
        let growth = watched(|second| 10_000 + 10 * second, |second| 3 + second / 20).growth().unwrap();
        let problems = ["memory in KiB grew from 11800 to 14800", "threads grew from 18 to 27"];
        assert_eq!(growth.problems(), problems);
    }
}
