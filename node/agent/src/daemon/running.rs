//! The agent's data plane: when it runs, when it is tried again, and the map that it runs by.

use std::time::{Duration, Instant};

use twinmesh_dataplane::StartError;

use super::agent::{Agent, whole};
use super::plane::Plane;
use super::tunnels::Surroundings;
use crate::control::MapChange;

/// After the data plane refused to start although it should run: a port may become free.
const PLANE_RETRY: Duration = Duration::from_secs(5);

impl Agent {
    /// Starts the data plane with the map there is.
    pub(super) async fn start_plane(&mut self) -> Result<(), StartError> {
        self.plane_retry = None;
        if self.plane.is_some() {
            return Ok(());
        }
        let key = self.stored.wireguard.clone();
        let plane = Plane::start(&self.settings, key, self.netlink.clone(), self.events.clone())?;
        self.here.port = plane.dataplane.port();
        self.plane = Some(plane);
        self.plane_problem = None;
        self.begin_relays(Instant::now());
        self.look_around().await;
        // Their guards' routes come with those of the map.
        self.begin_sites(Instant::now());
        self.apply_map(&MapChange::Whole).await;
        Ok(())
    }

    pub(super) async fn start_plane_or_retry(&mut self, now: Instant) {
        if let Err(error) = self.start_plane().await {
            self.plane_failed(&error, now);
        }
    }

    pub(super) fn plane_failed(&mut self, error: &StartError, now: Instant) {
        let problem = whole(error);
        if self.plane_problem.as_ref() != Some(&problem) {
            tracing::error!(error = problem, "the tunnels cannot run");
        }
        self.plane_problem = Some(problem);
        self.plane_retry = Some(now + PLANE_RETRY);
    }

    pub(super) fn stop_plane(&mut self) {
        // The rules of detours do not go with the TUN device.
        self.end_relays(Instant::now());
        self.end_nodes();
        self.end_traces();
        self.changes.clear();
        self.paths.clear();
        self.end_sites();
        self.manual_sas.sweep |= self.has_sas();
        self.plane = None;
        self.plane_problem = None;
        self.plane_retry = None;
        self.here = Surroundings::default();
        self.stun.set_servers(&[], Instant::now());
        self.netcheck.set_servers(Vec::new(), Instant::now());
    }

    pub(super) async fn apply_map(&mut self, change: &MapChange) {
        if let (Some(plane), Some(map)) = (self.plane.as_mut(), &self.stored.map) {
            plane.apply(map, change, &self.here).await;
        }
        let now = Instant::now();
        self.sync_relays(change, now);
        self.sync_paths(change, now);
        self.sync_changes(change, now);
        self.sync_nodes(change, now);
        self.drive_changes(now);
    }
}

/// Waiting does not help: a person has to do something about it.
pub(super) fn is_lasting(error: &StartError) -> bool {
    matches!(
        error,
        StartError::TunMissing
            | StartError::TunPermission
            | StartError::TunBusy { .. }
            | StartError::TunName(_)
    )
}
