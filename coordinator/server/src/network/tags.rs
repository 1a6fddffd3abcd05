//! Which nodes have a tag.

use std::collections::{BTreeMap, BTreeSet};

use twinmesh_control::NodeId;

#[derive(Clone, Debug, Default)]
pub(super) struct Tags(BTreeMap<String, BTreeSet<NodeId>>);

impl Tags {
    pub(super) fn put(&mut self, id: NodeId, tags: &[String]) {
        for tag in tags {
            self.0.entry(tag.clone()).or_default().insert(id);
        }
    }

    pub(super) fn remove(&mut self, id: NodeId, tags: &[String]) {
        for tag in tags {
            if let Some(nodes) = self.0.get_mut(tag) {
                nodes.remove(&id);
                if nodes.is_empty() {
                    self.0.remove(tag);
                }
            }
        }
    }

    pub(super) fn of(&self, tag: &str) -> impl Iterator<Item = NodeId> {
        self.0.get(tag).into_iter().flatten().copied()
    }
}
