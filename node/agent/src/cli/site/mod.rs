//! `twinmesh site`.

mod arguments;
mod check;
mod listing;
mod up;

use std::io;
use std::path::{Path, PathBuf};

use super::{CommandError, ask, print, print_json, secret_file, tell_done};
use crate::api::{Request, SecretText, SiteAdd, SiteStatus};
use crate::site::Site;
#[cfg(test)]
pub(crate) use arguments::EXAMPLE;
pub(super) use arguments::SiteArguments;
use arguments::SiteCommand;
pub(super) use up::UpError;

pub(super) fn run(arguments: &SiteArguments) -> Result<(), CommandError> {
    match &arguments.command {
        SiteCommand::Add { file, socket } => add(file, &socket.socket),
        SiteCommand::Check { file, socket } => check::run(file, &socket.socket),
        SiteCommand::Remove { name, socket } => {
            tell_done(&ask(&socket.socket, &Request::SiteRemove { name: name.clone() })?)
        }
        SiteCommand::List { json, socket } => list(&socket.socket, *json),
        SiteCommand::Up { name, timeout, no_wait, socket } => {
            up::run(name, (!no_wait).then_some(*timeout), &socket.socket)
        }
        SiteCommand::Down { name, socket } => {
            tell_done(&ask(&socket.socket, &Request::SiteDown { name: name.clone() })?)
        }
    }
}

/// Also what `up --site` does.
pub(super) fn add(file: &Path, socket: &Path) -> Result<(), CommandError> {
    let (name, text) = secret_file::read(file)?;
    // A mistake is told without a daemon, too.
    let folder = folder_of(file).map_err(|source| CommandError::Read { file: name.clone(), source })?;
    Site::read(&text, &name, &folder)?;
    tell_done(&ask(socket, &Request::SiteAdd(SiteAdd { file: name, folder, text: SecretText::new(text) }))?)
}

/// The daemon runs in another folder.
fn folder_of(file: &Path) -> io::Result<PathBuf> {
    let here = std::env::current_dir()?;
    Ok(file.parent().map_or(here.clone(), |folder| here.join(folder)))
}

fn list(socket: &Path, json: bool) -> Result<(), CommandError> {
    let sites: Vec<SiteStatus> = ask(socket, &Request::Sites)?;
    if json {
        return print_json(&sites);
    }
    print(&listing::page(&sites))
}
