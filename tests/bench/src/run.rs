//! `twinmesh-bench run`.

use anyhow::{Context as _, Result};

use crate::arguments::RunArguments;
use crate::candidate::{Candidate, Found};
use crate::figure::{Figure, Sample};
use crate::interrupt::leave_if_interrupted;
use crate::measure::{self, Bench, Round};
use crate::pair::Pair;
use crate::places::Places;
use crate::report::{LeftOut, Report};
use crate::tell;

/// A candidate whose program is there, and its rounds.
pub(crate) struct Entrant {
    pub(crate) candidate: Candidate,
    found: Found,
    pub(crate) samples: Vec<Sample>,
}

impl Entrant {
    pub(crate) fn version(&self) -> Option<&str> {
        self.found.version.as_deref()
    }
}

/// Measures, writes the report and prints it. `false` if nothing could be measured.
pub(crate) fn run(arguments: &RunArguments) -> Result<bool> {
    let places = Places::of_this_program()?;
    if arguments.syscalls {
        measure::find_syscall_counter(&places)?;
    }
    let (mut entrants, left_out) = find(&Candidate::chosen(&arguments.only), &places);
    let mut problems = Vec::new();
    for round in 1..=arguments.rounds {
        for entrant in &mut entrants {
            let place = format!("round {round} of {}: {}", arguments.rounds, entrant.candidate.name());
            match once(entrant, &places, arguments) {
                Ok(Round { sample, problems: failed }) => {
                    tell(&format!("{place}: {}", in_short(&sample)));
                    problems.extend(failed.into_iter().map(|problem| format!("{place}: {problem}")));
                    entrant.samples.push(sample);
                }
                Err(error) => {
                    leave_if_interrupted();
                    problems.push(format!("{place}: {error:#}"));
                }
            }
        }
    }
    leave_if_interrupted();
    for problem in &problems {
        tell(&format!("failed: {problem}"));
    }
    let measured = entrants.iter().any(|entrant| !entrant.samples.is_empty());
    let report = Report::new(arguments, &entrants, left_out, problems)?;
    report.write(&places).context("writing the report")?;
    crate::print(&if arguments.json { report.json()? } else { report.markdown() })?;
    Ok(measured)
}

/// Who is there, and who is not.
fn find(candidates: &[Candidate], places: &Places) -> (Vec<Entrant>, Vec<LeftOut>) {
    let (mut entrants, mut left_out) = (Vec::new(), Vec::new());
    for &candidate in candidates {
        match candidate.find(places) {
            Ok(found) => entrants.push(Entrant { candidate, found, samples: Vec::new() }),
            Err(reason) => {
                let reason = format!("{reason:#}");
                tell(&format!("left out: {}: {reason}", candidate.name()));
                left_out.push(LeftOut { name: candidate.name(), reason });
            }
        }
    }
    (entrants, left_out)
}

fn once(entrant: &Entrant, places: &Places, arguments: &RunArguments) -> Result<Round> {
    let pair = Pair::up(&entrant.found.folder)?;
    let tunnel = entrant.candidate.start(&pair, places)?;
    let bench = Bench { mesh: pair.mesh(), tunnel: &tunnel, seconds: arguments.seconds };
    let round = bench.measure(arguments.syscalls);
    entrant.candidate.verify(&pair)?;
    Ok(round)
}

fn in_short(sample: &Sample) -> String {
    let shown = [Figure::Tcp1, Figure::Cpu, Figure::PingLoadTail].into_iter().filter_map(|figure| {
        let value = *sample.get(&figure)?;
        Some(format!("{} {}", figure.heading(), figure.show(value)))
    });
    shown.collect::<Vec<_>>().join("; ")
}
