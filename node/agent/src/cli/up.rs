//! `twinmesh up`.

use std::time::Duration;

use twinmesh_control::JoinToken;

use super::arguments::UpArguments;
use super::{CommandError, print, site};
use crate::api::{self, Request, Up, UpDone, UpHow};

/// The daemon answers when the time is over; this much later it is dead.
const GRACE: Duration = Duration::from_secs(10);

pub(super) fn run(arguments: UpArguments) -> Result<(), CommandError> {
    if let Some(file) = &arguments.site {
        return site::add(file, &arguments.socket.socket);
    }
    if let Some(token) = &arguments.token {
        // A mistyped token is told before anything else happens.
        token.parse::<JoinToken>()?;
    }
    let request = Request::Up(Up {
        coordinator: arguments.coordinator,
        token: arguments.token,
        hostname: arguments.hostname,
        prefer: arguments.prefer,
        timeout_seconds: arguments.timeout.as_secs(),
    });
    let done: UpDone = api::request(&arguments.socket.socket, &request, arguments.timeout + GRACE)?;
    print(&told(&done))
}

fn told(done: &UpDone) -> String {
    let addresses: Vec<String> = done.addresses.iter().map(ToString::to_string).collect();
    let what = match done.how {
        UpHow::Joined => format!("joined the network {} as {}", done.network, done.name),
        UpHow::Started => format!("up in the network {} as {}", done.network, done.name),
        UpHow::AlreadyUp => format!("already up in the network {} as {}", done.network, done.name),
    };
    let peers = if done.peers == 1 { "1 peer".to_owned() } else { format!("{} peers", done.peers) };
    let mut text = format!(
        "{what}\naddresses  {}\npeers      {peers} (`twinmesh status` shows them)\n",
        addresses.join(", ")
    );
    if let Some(warning) = &done.warning {
        text.push_str("warning: ");
        text.push_str(warning);
        text.push('\n');
    }
    text
}
