//! The binary `twinmesh-coordinator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    twinmesh_coordinator::cli::main()
}
