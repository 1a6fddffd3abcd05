//! What the engine wants, done; what the data plane finds, told to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use twinmesh_control::NodeId;
use twinmesh_dataplane::{Engine, PeerPath, PublicKey};
use twinmesh_path::pair::{Event, Pairs, Path, Why};

use super::super::agent::Agent;
use super::super::change::Carrier;
use super::news::news;

/// How often is looked for which peers there is traffic.
pub(super) const TRAFFIC_INTERVAL: Duration = Duration::from_secs(1);

impl Agent {
    /// Something is to go to the peer.
    pub(in crate::daemon) fn path_needed(&mut self, key: &PublicKey, now: Instant) {
        self.tell_pair(key, |pairs, id| pairs.needed(id, now));
    }

    /// Authentic data of the peer's came from there.
    pub(in crate::daemon) fn path_heard(&mut self, key: &PublicKey, from: SocketAddr, now: Instant) {
        self.tell_pair(key, |pairs, id| pairs.heard(id, from, now));
    }

    /// What is sent to the peer by that engine has no answer.
    pub(in crate::daemon) fn path_silent(&mut self, key: &PublicKey, engine: Engine, now: Instant) {
        let Some(id) = self.plane.as_ref().and_then(|plane| plane.tunnels.owner(key)) else { return };
        if self.changes.sending(id).map(Carrier::engine) == Some(engine) {
            self.paths.pairs.silent(id, now);
        }
    }

    fn tell_pair(&mut self, key: &PublicKey, tell: impl FnOnce(&mut Pairs<NodeId>, NodeId)) {
        if let Some(id) = self.plane.as_ref().and_then(|plane| plane.tunnels.owner(key)) {
            tell(&mut self.paths.pairs, id);
        }
    }

    /// Does what is due for all pairs.
    pub(in crate::daemon) fn drive_paths(&mut self, now: Instant) {
        if self.paths.traffic_due.is_some_and(|due| due <= now) {
            self.paths.traffic_due = Some(now + TRAFFIC_INTERVAL);
            self.look_for_traffic(now);
        }
        self.paths.pairs.handle_timeout(now);
        let Some(plane) = &self.plane else { return };
        while let Some(check) = self.paths.pairs.poll_transmit() {
            if let Err(error) = plane.dataplane.send_datagram(None, check.to, &check.datagram) {
                tracing::debug!(to = %check.to, %error, "a check of a path was not sent");
            }
        }
        while let Some(Event::Path { id, path, why }) = self.paths.pairs.poll_event() {
            self.take_path(id, path, why, now);
        }
    }

    fn take_path(&mut self, id: NodeId, path: Option<Path>, why: Why, now: Instant) {
        let (Some(plane), Some(known)) = (&self.plane, self.paths.known.get(&id)) else { return };
        let key = known.key();
        match path {
            Some(path) => {
                let relayed = path.is_relayed();
                plane.dataplane.set_path(&key, PeerPath { remote: path.remote, mtu: path.mtu, relayed });
                self.lead_node(id, path.remote, now);
            }
            None => {
                plane.dataplane.clear_path(&key);
            }
        }
        if why == Why::Lost {
            // A NAT that was restarted maps this node anew, and the peer has to hear of it.
            self.stun.restart(now);
        }
        if let Some(news) = news(path, why) {
            tracing::info!(peer = %id, why = why.as_str(), ?path, "the path to a peer is another");
            self.history.note(id, news);
        }
        self.tunnels_changed();
    }

    fn look_for_traffic(&mut self, now: Instant) {
        let Some(plane) = &self.plane else { return };
        for peer in plane.dataplane.take_used() {
            if let Some(id) = plane.tunnels.owner(&peer) {
                self.paths.pairs.needed(id, now);
            }
        }
    }
}
