//! `twinmesh debug`.

mod arguments;
mod key_log;
mod listing;

use serde::Serialize;
use zeroize::Zeroizing;

use super::{CommandError, PATIENCE, print};
use crate::api::{self, DebugIke, IkeTrace, Request};
pub(super) use arguments::DebugArguments;
use arguments::{DebugCommand, IkeArguments};
use key_log::KeyLog;

pub(super) fn run(arguments: &DebugArguments) -> Result<(), CommandError> {
    match &arguments.command {
        DebugCommand::Ike(arguments) => ike(arguments),
    }
}

fn ike(arguments: &IkeArguments) -> Result<(), CommandError> {
    let mut key_log = arguments.key_log.as_deref().map(KeyLog::open).transpose()?;
    let wanted = DebugIke {
        site: arguments.site.clone(),
        follow: arguments.follow,
        keys: arguments.keys || key_log.is_some(),
    };
    let mut shown = false;
    api::stream(&arguments.socket.socket, &Request::DebugIke(wanted), PATIENCE, |mut told: IkeTrace| {
        if let Some(key_log) = &mut key_log {
            key_log.write(&told.keys)?;
        }
        if !told.keys.is_empty() && !arguments.keys {
            return Ok(());
        }
        shown = true;
        let text = if arguments.json { json(&mut told)? } else { listing::text(&told) };
        print(&text)
    })?;
    if !shown && !arguments.json && !arguments.follow {
        print("No IKE messages: none since the daemon began, or none of this site.\n")?;
    }
    Ok(())
}

/// As the daemon sends it, but with legible keys.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    told: &'a IkeTrace,
    #[serde(rename = "keys", skip_serializing_if = "Vec::is_empty")]
    legible: Vec<Legible<'a>>,
}

#[derive(Serialize)]
struct Legible<'a> {
    table: &'a str,
    line: &'a str,
}

fn json(told: &mut IkeTrace) -> Result<Zeroizing<String>, CommandError> {
    let keys = std::mem::take(&mut told.keys);
    let legible = keys.iter().map(|key| Legible { table: &key.table, line: key.line.expose() }).collect();
    let shown = Shown { told, legible };
    let mut line = serde_json::to_string(&shown).map_err(|error| CommandError::Output(error.into()))?;
    line.push('\n');
    Ok(Zeroizing::new(line))
}
