//! Which node changed when.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use twinmesh_control::{NodeId, Revision};

/// Removed nodes that are remembered; who missed more of them gets a snapshot.
const MOST_REMOVED: usize = 10_000;

/// The last change of every node that changed since `floor`.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    /// Nothing is known of what came before.
    floor: Revision,
    by_revision: BTreeMap<Revision, NodeId>,
    by_node: HashMap<NodeId, Revision>,
    removed: BTreeSet<Revision>,
}

impl Changes {
    pub(super) fn new(floor: Revision) -> Self {
        Self { floor, by_revision: BTreeMap::new(), by_node: HashMap::new(), removed: BTreeSet::new() }
    }

    pub(super) fn changed(&mut self, id: NodeId, revision: Revision) {
        if let Some(before) = self.by_node.insert(id, revision) {
            self.by_revision.remove(&before);
            self.removed.remove(&before);
        }
        self.by_revision.insert(revision, id);
    }

    pub(super) fn removed(&mut self, id: NodeId, revision: Revision) {
        self.changed(id, revision);
        self.removed.insert(revision);
        while self.removed.len() > MOST_REMOVED {
            let Some(oldest) = self.removed.pop_first() else { return };
            // A node that is gone has no later change, so nothing else hangs on this one.
            if let Some(id) = self.by_revision.remove(&oldest) {
                self.by_node.remove(&id);
            }
            self.floor = self.floor.max(oldest);
        }
    }

    /// Nodes that changed after `have`; `None` if that is not known: too long ago, or a revision that never
    /// was (the database came from a backup).
    pub(super) fn since(&self, have: Revision, present: Revision) -> Option<impl Iterator<Item = NodeId>> {
        let known = (self.floor..=present).contains(&have);
        let after = Revision(have.0.saturating_add(1));
        known.then(|| self.by_revision.range(after..).map(|(_, id)| *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_removed_nodes_are_remembered() {
        let mut changes = Changes::new(Revision(0));
        let count = MOST_REMOVED as u64 + 10;
        for number in 1..=count {
            changes.removed(NodeId(number), Revision(number));
        }
        assert!(changes.since(Revision(9), Revision(count)).is_none());
        assert_eq!(changes.since(Revision(10), Revision(count)).unwrap().count(), MOST_REMOVED);
        assert_eq!(changes.by_node.len(), MOST_REMOVED);
    }

    #[test]
    fn a_revision_of_the_future_is_not_known() {
        assert!(Changes::new(Revision(5)).since(Revision(6), Revision(5)).is_none());
    }
}
