//! The peers in ESP follow the network map and this machine's network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twinmesh_control::NodeId;
use twinmesh_ike::Command;
use twinmesh_ike::config::Remote;

use super::super::super::agent::Agent;
use super::attempts::Attempts;
use super::traffic::Traffic;
use super::wanted::Wanted;
use super::{CHILD, MARK, Node, Nodes};
use crate::control::MapChange;
use crate::network::source_address;
use crate::site::SiteChild;

impl Agent {
    /// Brings the peers to the map. Those that it has no more lose their SAs at once.
    pub(in crate::daemon) fn sync_nodes(&mut self, change: &MapChange, now: Instant) {
        if self.plane.is_none() {
            return;
        }
        let Some(map) = &self.stored.map else { return };
        let own = self.stored.identity.public();
        let wanted = |id: &NodeId| {
            let peer = map.peers.get(id).filter(|_| self.changes.is_in_esp(*id));
            let wanted = peer.and_then(|peer| Wanted::of(peer, map, &self.here, own));
            (*id, wanted)
        };
        let news: Vec<(NodeId, Option<Wanted>)> = match change {
            // Those of all peers depend on this node's own addresses too.
            MapChange::Whole | MapChange::Peers { own: true, .. } => {
                let gone = self.sites.nodes.peers.keys().filter(|id| !map.peers.contains_key(id));
                gone.chain(map.peers.keys()).map(wanted).collect()
            }
            MapChange::Peers { changed, removed, own: false } => {
                removed.iter().chain(changed).map(wanted).collect()
            }
        };
        let mut added = Vec::new();
        for (id, wanted) in news {
            match (wanted, self.sites.nodes.node_mut(id)) {
                (None, None) => {}
                (None, Some(_)) => self.end_node(id, now),
                (Some(wanted), Some(node)) if wanted.is_as_before(&node.wanted) => {
                    node.is_told(wanted, now);
                }
                (Some(wanted), Some(_)) => {
                    self.end_node(id, now);
                    added.push(wanted);
                }
                (Some(wanted), None) => added.push(wanted),
            }
        }
        for wanted in added {
            let remote = wanted.endpoints.first().map_or(Remote::Anywhere, |first| Remote::Roaming(*first));
            let id = self.sites.nodes.add(wanted, self.settings.esp_rekey, now);
            self.expect_node(id, remote);
        }
    }

    /// ESP with one peer is opened or closed.
    pub(in crate::daemon) fn sync_node(&mut self, id: NodeId, now: Instant) {
        self.sync_nodes(&MapChange::Peers { changed: vec![id], removed: Vec::new(), own: false }, now);
    }

    /// IKE with a peer is not left to the peer to begin.
    pub(in crate::daemon) fn begin_node(&mut self, id: NodeId, now: Instant) {
        if let Some(node) = self.sites.nodes.node_mut(id).filter(|node| node.standing.is_none()) {
            node.attempts.restart(now, true);
        }
    }

    /// What stands with a peer carries nothing: it is made anew.
    pub(in crate::daemon) fn renew_node(&mut self, id: NodeId, now: Instant) {
        let Some(node) = self.sites.nodes.peers.get(&id) else { return };
        let connection = node.connection.clone();
        if node.standing.is_none() {
            return;
        }
        self.command(Command::TerminateConnection { connection }, now);
        self.obey_engine(now);
        if let Some(node) = self.sites.nodes.node_mut(id) {
            node.standing = None;
            node.attempts.restart(now, true);
        }
    }

    /// A peer is reached there from now on.
    pub(in crate::daemon) fn lead_node(&mut self, id: NodeId, remote: SocketAddr, now: Instant) {
        let Some(node) = self.sites.nodes.peers.get(&id) else { return };
        let connection = node.connection.clone();
        match source_address(remote.ip()) {
            Ok(local) => {
                self.command(Command::Lead { connection, local, remote }, now);
                self.obey_engine(now);
            }
            Err(error) => tracing::debug!(%remote, %error, "there is no way to where a peer is reached"),
        }
    }

    /// This machine has other addresses or routes: each peer is shown the new one.
    pub(in crate::daemon) fn nodes_see_new_network(&mut self, now: Instant) {
        let mut commands = Vec::new();
        let Nodes { peers, agenda, .. } = &mut self.sites.nodes;
        for (id, node) in peers {
            agenda.touch(*id);
            match &node.standing {
                Some(standing) => commands.push(Command::CheckLiveness { ike_sa: standing.id }),
                None => node.attempts.restart(now, true),
            }
        }
        for command in commands {
            self.command(command, now);
        }
    }

    /// Before the data plane goes.
    pub(in crate::daemon) fn end_nodes(&mut self) {
        let now = Instant::now();
        let ids: Vec<NodeId> = self.sites.nodes.peers.keys().copied().collect();
        for id in ids {
            self.end_node(id, now);
        }
    }

    /// The peer is told, if it can be; nothing of it is waited for.
    fn end_node(&mut self, id: NodeId, now: Instant) {
        let Some(node) = self.sites.nodes.peers.remove(&id) else { return };
        self.sites.nodes.agenda.schedule(id, None);
        let connection = node.connection;
        self.sites.nodes.names.remove(&connection);
        self.command(Command::TerminateConnection { connection: connection.clone() }, now);
        self.obey_engine(now);
        self.sites.engine.remove_connection(&connection);
        self.sites.traces.forget(&connection);
        self.forget_tunnels(&connection);
    }
}

impl Nodes {
    fn add(&mut self, wanted: Wanted, rekey: Duration, now: Instant) -> NodeId {
        let id = wanted.id;
        let connection: Arc<str> = format!("{MARK}{}", wanted.name).into();
        let node = Node {
            connection: connection.clone(),
            child: SiteChild::between_nodes(CHILD, wanted.selectors.clone(), rekey),
            attempts: Attempts::new(now, wanted.begins),
            wanted,
            standing: None,
            child_due: None,
            last_error: None,
            past: Traffic::default(),
        };
        self.peers.insert(id, node);
        self.agenda.touch(id);
        self.names.insert(connection, id);
        id
    }
}

impl Node {
    /// It may be elsewhere, or the other is to begin.
    fn is_told(&mut self, wanted: Wanted, now: Instant) {
        let moved = wanted.endpoints != self.wanted.endpoints;
        self.wanted = wanted;
        if moved && self.standing.is_none() {
            self.attempts.forget_proven();
            self.attempts.restart(now, self.wanted.begins);
        }
    }
}
