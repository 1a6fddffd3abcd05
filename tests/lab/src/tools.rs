//! Programs that the lab is built from, and the Debian packages that bring them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::LabError;
use crate::scenario::Scenario;

/// Folders that hold `ip`, `tc` and `nft` but are not in everybody's PATH.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// PATH for what sets a lab up.
pub(crate) fn search_path() -> OsString {
    search_path_with(None)
}

/// PATH for what runs in a lab: a folder of programs under test before all others.
pub(crate) fn search_path_with(first: Option<&Path>) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let given = first.map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(given.chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))).unwrap_or(path)
}

/// Whether a program is there.
fn is_installed(program: &str) -> bool {
    std::env::split_paths(&search_path()).any(|folder| folder.join(program).is_file())
}

/// Checks that all programs which a scenario needs are there.
///
/// # Errors
/// [`LabError::MissingPrograms`] with all missing ones and their packages.
pub(crate) fn check(scenario: &Scenario) -> Result<(), LabError> {
    let routers = scenario.nodes.iter().any(|node| node.router.is_some());
    let needed = [
        ("unshare", "util-linux", true),
        ("nsenter", "util-linux", true),
        ("setsid", "util-linux", true),
        ("setpriv", "util-linux", true),
        ("mount", "mount", true),
        ("hostname", "hostname", true),
        ("env", "coreutils", true),
        ("ip", "iproute2", true),
        ("tc", "iproute2", true),
        ("nft", "nftables", routers),
    ];
    let missing: Vec<(&str, &str)> = needed
        .iter()
        .filter(|(program, _, needed)| *needed && !is_installed(program))
        .map(|(program, package, _)| (*program, *package))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(LabError::MissingPrograms(missing)) }
}

/// The `twinmesh-lab` binary, which carries impaired links and captures packets: this program itself, or where Cargo puts it
/// beside a test binary, or in PATH. `TWINMESH_LAB_BIN` overrides the search.
///
/// # Errors
/// [`LabError::NoBinary`] with the command that builds it.
pub(crate) fn lab_binary() -> Result<PathBuf, LabError> {
    if let Some(path) = std::env::var_os("TWINMESH_LAB_BIN") {
        return Ok(path.into());
    }
    let name = "twinmesh-lab";
    let executable = std::env::current_exe().unwrap_or_default();
    if executable.file_name().is_some_and(|it| it == name) {
        return Ok(executable);
    }
    let search_path = search_path();
    let in_path = std::env::split_paths(&search_path);
    binary_folder()
        .into_iter()
        .chain(in_path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or(LabError::NoBinary)
}

/// The folder with this build's binaries: that of this program, without Cargo's `deps`.
pub(crate) fn binary_folder() -> Option<PathBuf> {
    let executable = std::env::current_exe().ok()?;
    let folder = executable.parent()?;
    let folder = if folder.ends_with("deps") { folder.parent()? } else { folder };
    Some(folder.to_owned())
}

/// Cargo's target folder, if this program lies in one.
pub(crate) fn target_folder() -> Option<PathBuf> {
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
        return Some(target.into());
    }
    let executable = std::env::current_exe().ok()?;
    executable.ancestors().find(|folder| folder.ends_with("target")).map(Path::to_owned)
}
