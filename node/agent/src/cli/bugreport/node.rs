//! What the daemon says, and what its state folder has besides secrets.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use super::archive::Archive;
use crate::api::{self, ClientError, RecentLines, Request, Status};
use crate::cli::PATIENCE;
use crate::state::Glance;

/// Of more peers than these `status` has enough.
const EXPLAINED_PEERS: usize = 64;
/// A measurement takes about three seconds, and another one may run before it.
const NETCHECK_PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn add<W: io::Write>(archive: &mut Archive<W>, socket: &Path, state: &Path) -> io::Result<()> {
    add_answers(archive, socket)?;
    match Glance::at(state) {
        Ok(Glance { files, config, map, sites }) => {
            archive.add_json("state/files.json", Ok::<_, String>(files))?;
            archive.add_json("state/config.json", config)?;
            archive.add_json("state/map.json", map)?;
            archive.add_json("state/sites.json", sites)
        }
        Err(error) => {
            archive.miss("state/", &format!("{}: {error}", state.display()));
            Ok(())
        }
    }
}

fn add_answers<W: io::Write>(archive: &mut Archive<W>, socket: &Path) -> io::Result<()> {
    let status = match api::request::<Status>(socket, &Request::Status, PATIENCE) {
        Ok(status) => status,
        Err(error) => {
            archive.miss("daemon/", &error);
            return Ok(());
        }
    };
    let ask = |request: &Request, patience| api::request::<Value>(socket, request, patience);
    let explanations: Result<Map<String, Value>, ClientError> = status
        .peers
        .iter()
        .take(EXPLAINED_PEERS)
        .map(|peer| {
            let explained = ask(&Request::Explain { peer: peer.name.clone() }, PATIENCE);
            // A peer may have left, or all tunnels have gone, since the status was told.
            let explained = match explained {
                Err(ClientError::Refused(reason)) => Value::String(reason),
                explained => explained?,
            };
            Ok((peer.name.clone(), explained))
        })
        .collect();
    archive.add_json("daemon/status.json", Ok::<_, String>(&status))?;
    archive.add_json("daemon/explain.json", explanations)?;
    archive.add_json("daemon/routes.json", ask(&Request::Routes, PATIENCE))?;
    archive.add_json("daemon/sa.json", ask(&Request::Sa, PATIENCE))?;
    archive.add_json("daemon/sites.json", ask(&Request::Sites, PATIENCE))?;
    archive.add_json("daemon/netcheck.json", ask(&Request::Netcheck { server: None }, NETCHECK_PATIENCE))?;
    match api::request::<RecentLines>(socket, &Request::Log, PATIENCE) {
        Ok(RecentLines { lines }) => archive.add("daemon/log.txt", (lines.join("\n") + "\n").as_bytes()),
        Err(error) => {
            archive.miss("daemon/log.txt", &error);
            Ok(())
        }
    }
}
