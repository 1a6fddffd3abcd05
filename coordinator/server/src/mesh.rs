//! The mesh: the store and the network in memory, kept in step. Everything that changes what nodes see goes
//! through here, one change at a time; nodes' connections wait for the next revision.

mod peering;
mod policy;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Mutex, watch};
use twinmesh_control::{Endpoint, IdentityKey, NatReport, NodeId, Revision, TunnelReport};

pub use policy::SetPolicyError;

use crate::clock::now;
use crate::endpoints::usable;
use crate::network::{NetworkState, Update};
use crate::store::{
    AddPeerError, Announcement, Enrolled, Enrolment, EnrolmentError, Greeted, NetworkRecord, NewPeer,
    NodeRecord, Store, StoreError,
};

/// Tunnels of one node that are kept; an agent reports no more.
const MOST_TUNNELS: usize = 1_000;

/// Cheap to clone; all clones are one mesh.
#[derive(Clone, Debug)]
pub struct Mesh(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    /// Held over the store's transaction and the change in memory, so that both have one order.
    changing: Mutex<()>,
    state: RwLock<NetworkState>,
    presence: RwLock<HashMap<NodeId, Presence>>,
    revision: watch::Sender<Revision>,
}

/// A node's connections and what it last said about its tunnels and its NAT.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    /// Open control connections; a node that has moved may have an old one for a while.
    pub connections: usize,
    pub tunnels: Vec<TunnelReport>,
    pub nat: NatReport,
}

/// Why a node that says hello is not let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    #[error("this node is not part of the network")]
    Unknown,
    #[error("the WireGuard key belongs to another node")]
    KeyTaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Mesh {
    /// Reads the network from the store.
    pub async fn load(store: Store, network: NetworkRecord) -> Result<Self, StoreError> {
        let nodes = store.nodes().await?;
        let policy = store.policy().await?;
        let state = NetworkState::new(network.network, network.revision, nodes, policy);
        let revision = watch::Sender::new(state.revision());
        Ok(Self(Arc::new(Inner {
            store,
            changing: Mutex::new(()),
            state: RwLock::new(state),
            presence: RwLock::default(),
            revision,
        })))
    }

    /// The store, for what nodes do not see.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The network as it is now. Not to be held over an `await`.
    pub fn state(&self) -> RwLockReadGuard<'_, NetworkState> {
        // The state is consistent between its calls, so a task that panicked leaves it usable.
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, NetworkState> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn presences(&self) -> RwLockWriteGuard<'_, HashMap<NodeId, Presence>> {
        self.0.presence.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with every revision.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.0.revision.subscribe()
    }

    /// What to tell a node; see [`NetworkState::update`].
    pub fn update(&self, id: NodeId, have: Option<Revision>) -> Option<Update> {
        self.state().update(id, have)
    }

    /// Lets a node join.
    pub async fn enrol(&self, enrolment: Enrolment) -> Result<NodeId, EnrolmentError> {
        let mesh = self.clone();
        to_the_end(async move { mesh.enrol_now(enrolment).await }).await
    }

    async fn enrol_now(&self, enrolment: Enrolment) -> Result<NodeId, EnrolmentError> {
        let _changing = self.0.changing.lock().await;
        match self.0.store.enrol(enrolment, now()).await? {
            Enrolled::Already(id) => Ok(id),
            Enrolled::New { node, revision } => {
                let id = node.id;
                tracing::info!(node = %id, name = node.name, "a node has joined");
                self.put(*node, revision);
                Ok(id)
            }
        }
    }

    /// A node that joined before is back.
    pub async fn hello(&self, identity: IdentityKey, said: Announcement) -> Result<NodeId, HelloError> {
        let mesh = self.clone();
        to_the_end(async move { mesh.hello_now(identity, said).await }).await
    }

    async fn hello_now(&self, identity: IdentityKey, said: Announcement) -> Result<NodeId, HelloError> {
        if let Some(id) = self.seen_as_before(&identity, &said)? {
            return Ok(id);
        }
        let _changing = self.0.changing.lock().await;
        let id = self.state().node_of(&identity).ok_or(HelloError::Unknown)?;
        let same_for_peers = self.state().node(id).is_some_and(|node| is_same_for_peers(node, &said));
        let greeted = match self.0.store.greet_node(id, &said, now()).await {
            // Only a version for people to read is lost: no reason to keep a node from its map.
            Err(error) if same_for_peers => {
                tracing::warn!(%error, node = %id, "a node's version is not stored");
                Greeted::Unchanged
            }
            greeted => greeted?,
        };
        let change = |record: &mut NodeRecord| {
            record.version = Some(said.version);
            record.last_seen_at = Some(now());
            record.wireguard_key = said.wireguard_key;
            record.preference = said.preference;
            record.abilities = said.abilities;
        };
        match greeted {
            Greeted::KeyTaken => return Err(HelloError::KeyTaken),
            Greeted::Unchanged => self.state_mut().put_unseen(id, change),
            Greeted::Changed(revision) => self.change(id, revision, change),
        }
        Ok(id)
    }

    /// The node, if nothing about it is new: then a thousand nodes that come back at once wait for no disk.
    fn seen_as_before(
        &self,
        identity: &IdentityKey,
        said: &Announcement,
    ) -> Result<Option<NodeId>, HelloError> {
        let mut state = self.state_mut();
        let id = state.node_of(identity).ok_or(HelloError::Unknown)?;
        let as_before = |node: &NodeRecord| {
            is_same_for_peers(node, said) && node.version.as_deref() == Some(&said.version)
        };
        if !state.node(id).is_some_and(as_before) {
            return Ok(None);
        }
        state.put_unseen(id, |record| record.last_seen_at = Some(now()));
        Ok(Some(id))
    }

    /// A node says what its tunnels do, and what NAT it is behind.
    pub fn report(&self, id: NodeId, mut tunnels: Vec<TunnelReport>, nat: NatReport) {
        tunnels.truncate(MOST_TUNNELS);
        if let Some(presence) = self.presences().get_mut(&id) {
            presence.tunnels = tunnels;
            presence.nat = nat;
        }
    }

    /// A node says where it can be reached.
    pub async fn report_endpoints(&self, id: NodeId, endpoints: Vec<Endpoint>) -> Result<(), StoreError> {
        let endpoints = usable(endpoints);
        let as_before = |node: &NodeRecord| node.endpoints == endpoints;
        if self.state().node(id).is_none_or(as_before) {
            return Ok(());
        }
        let mesh = self.clone();
        to_the_end(async move { mesh.report_endpoints_now(id, endpoints).await }).await
    }

    async fn report_endpoints_now(&self, id: NodeId, endpoints: Vec<Endpoint>) -> Result<(), StoreError> {
        let _changing = self.0.changing.lock().await;
        if let Some(revision) = self.0.store.store_endpoints(id, &endpoints).await? {
            tracing::debug!(node = %id, ?endpoints, "a node can be reached elsewhere");
            self.change(id, revision, |record| record.endpoints = endpoints);
        }
        Ok(())
    }

    /// Removes a node: its peers forget it, and it is told so. False if it was gone already.
    pub async fn remove(&self, id: NodeId) -> Result<bool, StoreError> {
        let mesh = self.clone();
        to_the_end(async move { mesh.remove_now(id).await }).await
    }

    async fn remove_now(&self, id: NodeId) -> Result<bool, StoreError> {
        let _changing = self.0.changing.lock().await;
        let Some(revision) = self.0.store.remove_node(id).await? else { return Ok(false) };
        self.state_mut().remove(id, revision);
        self.presences().remove(&id);
        self.0.revision.send_replace(revision);
        tracing::info!(node = %id, "a node was removed");
        Ok(true)
    }

    /// Adds a peer that is only a WireGuard key.
    pub async fn add_peer(&self, peer: NewPeer) -> Result<NodeRecord, AddPeerError> {
        let mesh = self.clone();
        to_the_end(async move { mesh.add_peer_now(peer).await }).await
    }

    async fn add_peer_now(&self, peer: NewPeer) -> Result<NodeRecord, AddPeerError> {
        let _changing = self.0.changing.lock().await;
        let (node, revision) = self.0.store.add_peer(peer, now()).await?;
        tracing::info!(node = %node.id, name = node.name, "a peer was added");
        self.put(node.clone(), revision);
        Ok(node)
    }

    fn put(&self, node: NodeRecord, revision: Revision) {
        self.state_mut().put(node, revision);
        self.0.revision.send_replace(revision);
    }

    fn change(&self, id: NodeId, revision: Revision, change: impl FnOnce(&mut NodeRecord)) {
        let record = self.state().node(id).cloned();
        if let Some(mut record) = record {
            change(&mut record);
            self.put(record, revision);
        }
    }

    /// A node's connection opened.
    pub fn connected(&self, id: NodeId) {
        self.presences().entry(id).or_default().connections += 1;
    }

    /// A node's connection ended.
    pub async fn disconnected(&self, id: NodeId) {
        self.hung_up(id);
        self.state_mut().put_unseen(id, |record| record.last_seen_at = Some(now()));
        if let Err(error) = self.0.store.touch_node(id, now()).await {
            tracing::warn!(%error, node = %id, "when the node was last seen is not stored");
        }
    }

    /// As [`Self::disconnected`], without a note in the store.
    pub fn hung_up(&self, id: NodeId) {
        if let Entry::Occupied(mut presence) = self.presences().entry(id) {
            presence.get_mut().connections = presence.get().connections.saturating_sub(1);
            if presence.get().connections == 0 {
                presence.remove();
            }
        }
    }

    /// How many nodes are connected.
    pub fn online(&self) -> usize {
        self.0.presence.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A node's connections and tunnels.
    pub fn presence(&self, id: NodeId) -> Presence {
        let presences = self.0.presence.read().unwrap_or_else(PoisonError::into_inner);
        presences.get(&id).cloned().unwrap_or_default()
    }
}

/// Whether no map changes by what the node says of itself.
fn is_same_for_peers(node: &NodeRecord, said: &Announcement) -> bool {
    node.wireguard_key == said.wireguard_key
        && node.preference == said.preference
        && node.abilities == said.abilities
}

/// Runs a change to its end even if nobody waits for it any more: a client that hangs up between the store's
/// commit and the change in memory must not leave the two apart.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and so does whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}
