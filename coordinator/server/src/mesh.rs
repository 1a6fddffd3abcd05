//! The mesh: the store and the network in memory, kept in step. Everything that changes what nodes see goes
//! through here, one change at a time; nodes' connections wait for the next revision.

mod arrival;
mod failures;
mod peering;
mod policy;
mod presence;
mod reach;

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Mutex, watch};
use twinmesh_control::{NodeId, Revision};

pub use arrival::HelloError;
pub use policy::SetPolicyError;
pub use presence::Presence;

use crate::clock::now;
use crate::network::{NetworkState, Update};
use crate::store::{AddPeerError, NetworkRecord, NewPeer, NodeRecord, Store, StoreError};

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
    /// The addresses of the relays that nodes are told of.
    relays: OnceLock<BTreeSet<IpAddr>>,
    revision: watch::Sender<Revision>,
}

impl Mesh {
    /// Reads the network from the store.
    pub async fn load(store: Store, network: NetworkRecord) -> Result<Self, StoreError> {
        let nodes = store.nodes().await?;
        let choices = store.choices().await?;
        let state = NetworkState::new(network.network, network.revision, nodes, choices);
        let revision = watch::Sender::new(state.revision());
        Ok(Self(Arc::new(Inner {
            store,
            changing: Mutex::new(()),
            state: RwLock::new(state),
            presence: RwLock::default(),
            relays: OnceLock::new(),
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
