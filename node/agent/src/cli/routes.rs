//! `twinmesh routes`.

use std::path::Path;

use super::{CommandError, ask, print, print_json, table};
use crate::api::{PeerActivity, Request, RouteStatus};

pub(super) fn run(socket: &Path, json: bool) -> Result<(), CommandError> {
    let routes: Vec<RouteStatus> = ask(socket, &Request::Routes)?;
    if json {
        return print_json(&routes);
    }
    if routes.is_empty() {
        return print("No routes: the tunnels are down, or there are no peers.\n");
    }
    let mut rows = vec![["DESTINATION", "PEER", "TUNNEL", "ENDPOINT", "PROBLEM"].map(str::to_owned).to_vec()];
    for route in routes {
        let tunnel = match route.state {
            PeerActivity::Active => "active",
            PeerActivity::Connecting => "connecting",
            PeerActivity::Idle => "idle",
        };
        rows.push(vec![
            route.destination.to_string(),
            route.peer,
            tunnel.to_owned(),
            route.endpoint.map_or_else(|| "-".to_owned(), |endpoint| endpoint.to_string()),
            route.problem.unwrap_or_default(),
        ]);
    }
    print(&table(&rows))
}
