//! Nodes that join, and nodes that are back.

use twinmesh_control::{IdentityKey, NodeId};

use super::{Mesh, to_the_end};
use crate::clock::now;
use crate::store::{Announcement, Enrolled, Enrolment, EnrolmentError, Greeted, NodeRecord, StoreError};

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
}

/// Whether no map changes by what the node says of itself.
fn is_same_for_peers(node: &NodeRecord, said: &Announcement) -> bool {
    node.wireguard_key == said.wireguard_key
        && node.preference == said.preference
        && node.abilities == said.abilities
}
