//! Changes of the policy, and of the tags that it speaks of.

use twinmesh_control::NodeId;

use super::{Mesh, to_the_end};
use crate::choice::Policy;
use crate::store::StoreError;

/// Why a policy is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetPolicyError {
    #[error("the policy is at version {0} by now: look at it and try again")]
    Changed(u64),
    #[error("the node {0} was just removed")]
    NodeGone(NodeId),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Mesh {
    /// Gives a node other tags. False if it is gone.
    pub async fn tag(&self, id: NodeId, tags: Vec<String>) -> Result<bool, StoreError> {
        let mesh = self.clone();
        to_the_end(async move { mesh.tag_now(id, tags).await }).await
    }

    async fn tag_now(&self, id: NodeId, tags: Vec<String>) -> Result<bool, StoreError> {
        let _changing = self.0.changing.lock().await;
        if self.state().node(id).is_some_and(|node| node.tags == tags) {
            return Ok(true);
        }
        let Some(revision) = self.0.store.store_tags(id, &tags).await? else { return Ok(false) };
        tracing::info!(node = %id, ?tags, "a node has other tags");
        self.change(id, revision, |record| record.tags = tags);
        Ok(true)
    }

    /// Makes another policy the present one, if the present one is that of `expected`; gives it with its version.
    pub async fn set_policy(&self, policy: Policy, expected: Option<u64>) -> Result<Policy, SetPolicyError> {
        let mesh = self.clone();
        to_the_end(async move { mesh.set_policy_now(policy, expected).await }).await
    }

    async fn set_policy_now(&self, policy: Policy, expected: Option<u64>) -> Result<Policy, SetPolicyError> {
        let _changing = self.0.changing.lock().await;
        let present = self.state().policy().clone();
        if expected.is_some_and(|expected| expected != present.version) {
            return Err(SetPolicyError::Changed(present.version));
        }
        if policy.demands_the_same(&present) {
            return Ok(present);
        }
        let mut nodes = policy.pairs.keys().flat_map(|pair| pair.nodes());
        if let Some(gone) = nodes.find(|id| self.state().node(*id).is_none()) {
            return Err(SetPolicyError::NodeGone(gone));
        }
        let policy = Policy { version: present.version + 1, ..policy };
        let revision = self.0.store.store_policy(&policy, &present).await?;
        tracing::info!(version = policy.version, "the policy is another");
        self.state_mut().put_policy(policy.clone(), revision);
        self.0.revision.send_replace(revision);
        Ok(policy)
    }
}
