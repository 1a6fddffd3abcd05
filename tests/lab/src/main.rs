//! `twinmesh-lab`: see docs/lab.md, or `twinmesh-lab --help`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
