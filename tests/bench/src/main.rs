//! twinmesh beside its peers on one machine: throughput, latency, processor time and memory of tunnels between two
//! namespaces.
//!
//! ```text
//!   left ── iperf3, ping ──► tunnel ══ cable (veth) ══ tunnel ──► right
//! ```
//!
//! Each [`candidate`] is brought up in a lab of its own, [`measure`]d and taken down; all candidates once in each round,
//! so that a busy machine hits all alike. [`report`] has the medians.

mod arguments;
mod candidate;
mod figure;
mod interrupt;
mod machine;
mod measure;
mod pair;
mod places;
mod report;
mod run;
mod scale;
mod statistics;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    let done = interrupt::watch().and_then(|()| match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Scale(arguments) => scale::run(&arguments),
        Command::Flows(arguments) => scale::flows::run(&arguments),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            interrupt::leave_if_interrupted();
            tell(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for whoever watches.
fn tell(line: &str) {
    // Standard error is closed, or it is not: there is nothing more to say.
    let _ = writeln!(io::stderr(), "{line}");
}

/// The result itself.
fn print(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    Ok(output.flush()?)
}
