//! `twinmesh site up`: asks, and looks until it is decided.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::super::{CommandError, ask, print, tell_done};
use crate::api::{Done, Request, SiteChildState, SiteState, SiteStatus};

const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// It did not come up.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum UpError {
    #[error("the site `{name}` did not come up: {reason}")]
    Failed { name: String, reason: String },
    #[error("the site `{name}` is not up after {seconds} s: it {state}, and the daemon goes on trying")]
    Late { name: String, seconds: u64, state: &'static str },
    #[error("the site `{0}` was removed meanwhile")]
    Removed(String),
}

/// `patience`: how many seconds to wait for the SAs; `None`: not at all.
pub(super) fn run(name: &str, patience: Option<u64>, socket: &Path) -> Result<(), CommandError> {
    let done: Done = ask(socket, &Request::SiteUp { name: name.to_owned() })?;
    let Some(seconds) = patience else { return tell_done(&done) };
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        let sites: Vec<SiteStatus> = ask(socket, &Request::Sites)?;
        let Some(site) = sites.into_iter().find(|site| site.name == name) else {
            return Err(UpError::Removed(name.to_owned()).into());
        };
        if let Some(decided) = decided(&site) {
            return decided.and_then(|message| print(&message));
        }
        if Instant::now() >= end {
            let state = if site.state == SiteState::Established {
                "has an IKE SA, but not all children"
            } else {
                "is still connecting"
            };
            return Err(UpError::Late { name: name.to_owned(), seconds, state }.into());
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

fn decided(site: &SiteStatus) -> Option<Result<String, CommandError>> {
    let name = &site.name;
    let failed =
        |reason: &String| Some(Err(UpError::Failed { name: name.clone(), reason: reason.clone() }.into()));
    let installed = |child: &crate::api::SiteChildStatus| child.state == SiteChildState::Installed;
    match (site.state, &site.last_error) {
        (SiteState::Established, _) if site.children.iter().all(installed) => {
            let peer = site.ike_sa.as_ref().map(|sa| format!(", peer {}", sa.remote_id)).unwrap_or_default();
            Some(Ok(format!("the site `{name}` is up{peer}\n")))
        }
        (_, Some(reason)) => failed(reason),
        (SiteState::Waiting, None) => {
            Some(Ok(format!("the site `{name}` waits for its peer, which alone can begin\n")))
        }
        (_, None) => None,
    }
}
