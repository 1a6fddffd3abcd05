//! IKE with other nodes of the mesh: with those peers whose traffic the coordinator wants in ESP.
//!
//! ```text
//!   network map ─► Wanted ─► ConnectionConfig ─► the engine that sites use too
//!     Peer: identity, endpoints, protocol          └─ ESP tunnels `@beta/mesh#7`
//! ```
//!
//! Both ends prove themselves with their Ed25519 identity keys, of which the coordinator has told each the other's
//! public half (RFC 7670, RFC 8420): no secret passes through it. No address is configured: each is tried in turn,
//! and whoever has the key is answered and followed wherever it is.

mod attempts;
mod connection;
mod events;
mod sync;
mod traffic;
mod wanted;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twinmesh_control::NodeId;
use twinmesh_dataplane::PublicKey;
use twinmesh_ike::Command;
use twinmesh_ike::config::Remote;

use self::attempts::Attempts;
pub(in crate::daemon) use self::traffic::{NodeTunnel, Traffic};
use self::wanted::Wanted;
use super::super::agenda::Agenda;
use super::super::agent::Agent;
use super::Standing;
use crate::network::source_address;
use crate::site::SiteChild;

/// In front of a peer's name in that of its connection: no site can be called so.
const MARK: char = '@';
/// The one child of each connection.
const CHILD: &str = "mesh";
/// Who set up the IKE SA sees to it so often that its child is there.
const CHILD_INTERVAL: Duration = Duration::from_secs(10);

/// All peers in ESP.
#[derive(Default)]
pub(in crate::daemon) struct Nodes {
    peers: BTreeMap<NodeId, Node>,
    names: BTreeMap<Arc<str>, NodeId>,
    agenda: Agenda,
}

/// One peer and how it stands.
struct Node {
    connection: Arc<str>,
    wanted: Wanted,
    child: SiteChild,
    standing: Option<Standing>,
    attempts: Attempts,
    child_due: Option<Instant>,
    last_error: Option<String>,
    /// Of tunnels that are gone.
    past: Traffic,
}

impl Nodes {
    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let touched = self.agenda.touched().filter_map(|id| self.peers.get(&id)?.due());
        self.agenda.poll_timeout().into_iter().chain(touched).min()
    }

    /// What the data plane needs to know of a child of that connection.
    pub(super) fn child(&self, connection: &str) -> Option<&SiteChild> {
        self.named(connection).map(|node| &node.child)
    }

    /// The peer whose traffic a tunnel of that name carries, as the data plane knows it.
    pub(super) fn wireguard_key(&self, tunnel: &str) -> Option<PublicKey> {
        self.named(traffic::connection_of(tunnel)).map(|node| node.wanted.wireguard_key)
    }

    fn named(&self, connection: &str) -> Option<&Node> {
        self.peers.get(self.names.get(connection)?)
    }

    fn named_mut(&mut self, connection: &str) -> Option<&mut Node> {
        let id = *self.names.get(connection)?;
        self.node_mut(id)
    }

    /// To change it; the next turn sees to what follows.
    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        let node = self.peers.get_mut(&id)?;
        self.agenda.touch(id);
        Some(node)
    }
}

impl Node {
    /// When the next attempt begins, or its child is looked for.
    fn due(&self) -> Option<Instant> {
        if self.standing.is_some() { self.child_due } else { self.attempts.due() }
    }
}

/// Whether a connection or tunnel is one with another node.
pub(in crate::daemon) fn is_of_node(name: &str) -> bool {
    name.starts_with(MARK)
}

impl Agent {
    /// Begins what is due.
    pub(super) fn drive_nodes(&mut self, now: Instant) {
        if self.sites.nodes.is_empty() {
            return;
        }
        // What stands by now must not be taken for an attempt.
        self.obey_engine(now);
        let plane = self.plane.as_ref();
        let Nodes { peers, agenda, .. } = &mut self.sites.nodes;
        let (mut tried, mut childless) = (Vec::new(), Vec::new());
        let mut parents = None;
        for id in agenda.take(now) {
            let Some(node) = peers.get_mut(&id) else { continue };
            match &node.standing {
                None if node.attempts.due().is_some_and(|due| due <= now) => {
                    let status =
                        plane.and_then(|plane| plane.dataplane.peer_status(&node.wanted.wireguard_key));
                    let chosen = status.and_then(|status| status.path).map(|path| path.remote);
                    let others = node.wanted.endpoints.iter().copied().filter(|other| Some(*other) != chosen);
                    let endpoints: Vec<SocketAddr> = chosen.into_iter().chain(others).collect();
                    tried.extend(node.attempts.next(now, &endpoints).map(|to| (id, to)));
                }
                Some(standing) if node.child_due.is_some_and(|due| due <= now) => {
                    node.child_due = Some(now + CHILD_INTERVAL);
                    let parents = parents.get_or_insert_with(|| {
                        let children = self.sites.children.values();
                        children.map(|child| child.connection.clone()).collect::<HashSet<_>>()
                    });
                    if standing.link.initiator && !parents.contains(&node.connection) {
                        childless.push(node.connection.clone());
                    }
                }
                None | Some(_) => {}
            }
            agenda.schedule(id, node.due());
        }
        for (id, to) in tried {
            self.attempt_node(id, to, now);
        }
        for connection in childless {
            self.command(Command::CreateChild { connection, child: CHILD.into(), trigger: None }, now);
        }
    }

    fn attempt_node(&mut self, id: NodeId, to: SocketAddr, now: Instant) {
        let Some(node) = self.sites.nodes.node_mut(id) else { return };
        let connection = node.connection.clone();
        let local = match source_address(to.ip()) {
            Ok(local) => SocketAddr::new(local, self.here.port),
            Err(error) => {
                tracing::debug!(peer = node.wanted.name, %to, %error, "there is no way to an address of a peer");
                node.attempts.no_way(now);
                return;
            }
        };
        tracing::debug!(peer = node.wanted.name, %to, "IKE with a peer is tried");
        self.command(Command::TerminateConnection { connection: connection.clone() }, now);
        self.configure_node(id, local, Remote::Roaming(to));
        self.command(Command::Initiate { connection }, now);
        self.expect_node(id, Remote::Roaming(to));
    }

    /// Answers the peer at whatever address of this node it comes to.
    fn expect_node(&mut self, id: NodeId, remote: Remote) {
        let anywhere = SocketAddr::from(([0; 4], self.here.port));
        self.configure_node(id, anywhere, remote);
    }

    fn configure_node(&mut self, id: NodeId, local: SocketAddr, remote: Remote) {
        let Some(node) = self.sites.nodes.peers.get(&id) else { return };
        match connection::of(node, &self.stored.identity, local, remote) {
            Ok(connection) => self.sites.engine.add_connection(connection),
            Err(error) => {
                tracing::error!(peer = node.wanted.name, %error, "no IKE with a peer: its key or ours");
            }
        }
    }
}
