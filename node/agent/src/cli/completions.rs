//! Completions: the script that a shell takes, and the answers when it asks. Names of peers and sites are the daemon's.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, CompletionCandidate, Shell};
use serde::de::DeserializeOwned;

use super::arguments::{CommandLine, USUAL_SOCKET};
use crate::api::{self, Request, SiteStatus, Status};

/// By which the script has this program complete instead of run.
const VARIABLE: &str = "TWINMESH_COMPLETE";
const PROGRAM: &str = "twinmesh";
/// Who presses a key waits no longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the shell asks, answers and ends the process.
pub(super) fn answer_shell() {
    CompleteEnv::with_factory(CommandLine::command).var(VARIABLE).complete();
}

/// What the shell is to run once.
pub(super) fn script(shell: Shell) -> io::Result<Vec<u8>> {
    let shell = shell.to_string();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell).ok_or(io::ErrorKind::Unsupported)?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    Ok(script)
}

/// Names of the peers.
pub(super) fn peers() -> Vec<CompletionCandidate> {
    let status = ask::<Status>(&Request::Status);
    let peers = status.into_iter().flat_map(|status| status.peers);
    peers
        .map(|peer| {
            let addresses: Vec<String> = peer.addresses.iter().map(ToString::to_string).collect();
            CompletionCandidate::new(peer.name).help(Some(addresses.join(", ").into()))
        })
        .collect()
}

/// Names of the sites.
pub(super) fn sites() -> Vec<CompletionCandidate> {
    let sites = ask::<Vec<SiteStatus>>(&Request::Sites);
    sites.into_iter().flatten().map(|site| CompletionCandidate::new(site.name)).collect()
}

/// Of the daemon that the line names; without one there are no names.
fn ask<T: DeserializeOwned>(request: &Request) -> Option<T> {
    api::request(&socket_of(std::env::args_os()), request, PATIENCE).ok()
}

/// The line that is completed stands behind `--`.
fn socket_of(words: impl Iterator<Item = OsString>) -> PathBuf {
    let mut words = words.skip_while(|word| word != "--").skip(1);
    while let Some(word) = words.next() {
        if word == "--socket"
            && let Some(path) = words.next()
        {
            return path.into();
        }
        if let Some(path) = word.to_str().and_then(|word| word.strip_prefix("--socket=")) {
            return path.into();
        }
    }
    PathBuf::from(USUAL_SOCKET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_gets_a_script_that_asks_this_program() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let script = String::from_utf8(script(shell).unwrap()).unwrap();
            assert!(script.contains(VARIABLE) && script.contains(PROGRAM), "{shell}: {script}");
        }
    }

    #[test]
    fn the_socket_of_the_line_is_asked_and_else_the_usual_one() {
        let socket = |line: &str| socket_of(line.split(' ').map(OsString::from));
        for (line, path) in [
            ("twinmesh -- twinmesh ping --socket /run/mesh.sock al", "/run/mesh.sock"),
            ("twinmesh -- twinmesh --socket=/run/mesh.sock ping al", "/run/mesh.sock"),
            ("twinmesh -- twinmesh ping al", USUAL_SOCKET),
            ("twinmesh -- twinmesh ping --socket", USUAL_SOCKET),
        ] {
            assert_eq!(socket(line).to_str(), Some(path), "{line}");
        }
    }
}
