//! The binary `twinmesh`.

use std::process::ExitCode;

fn main() -> ExitCode {
    twinmesh_agent::cli::main()
}
