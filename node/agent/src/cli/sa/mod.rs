//! `twinmesh sa`.

mod arguments;
mod listing;

use std::path::Path;

use super::{CommandError, ask, print, print_json, secret_file, tell_done};
use crate::api::{Request, SaAdd, SaPair, SecretText};
use crate::sa::ManualSa;
#[cfg(test)]
pub(crate) use arguments::EXAMPLE;
pub(super) use arguments::SaArguments;
use arguments::SaCommand;

pub(super) fn run(arguments: &SaArguments) -> Result<(), CommandError> {
    match &arguments.command {
        None => list(&arguments.socket.socket, arguments.json),
        Some(SaCommand::Add { file, socket }) => add(file, &socket.socket),
        Some(SaCommand::Remove { name, socket }) => {
            tell_done(&ask(&socket.socket, &Request::SaRemove { name: name.clone() })?)
        }
    }
}

fn list(socket: &Path, json: bool) -> Result<(), CommandError> {
    let pairs: Vec<SaPair> = ask(socket, &Request::Sa)?;
    if json {
        return print_json(&pairs);
    }
    print(&listing::page(&pairs))
}

fn add(file: &Path, socket: &Path) -> Result<(), CommandError> {
    let (name, text) = secret_file::read(file)?;
    // A mistake is told without a daemon, too.
    ManualSa::read(&text, &name)?;
    tell_done(&ask(socket, &Request::SaAdd(SaAdd { file: name, text: SecretText::new(text) }))?)
}
