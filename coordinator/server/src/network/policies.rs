//! The policy, and the ones before it: what a change of policy means for a node is the difference between the choice
//! by the policy that its map rests on and the choice by the present one.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use twinmesh_control::{NodeId, Revision};

use crate::choice::{Pair, Policy};

/// Changes of the policy that are remembered; who missed more of them gets a snapshot.
const MOST_CHANGES: usize = 64;

/// The policy and what it was.
#[derive(Clone, Debug)]
pub(super) struct Policies {
    present: Arc<Policy>,
    /// By revision.
    changes: VecDeque<Change>,
    /// What changed up to here is forgotten.
    floor: Revision,
}

#[derive(Clone, Debug)]
struct Change {
    revision: Revision,
    before: Arc<Policy>,
    touched: Touched,
}

/// The pairs of which a change may be true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Touched {
    all: bool,
    /// These nodes and all their peers.
    nodes: BTreeSet<NodeId>,
    pairs: BTreeSet<Pair>,
}

/// Peers of one node.
pub(super) enum Peers {
    All,
    These(BTreeSet<NodeId>),
}

impl Policies {
    pub(super) fn new(present: Policy) -> Self {
        Self { present: Arc::new(present), changes: VecDeque::new(), floor: Revision(0) }
    }

    pub(super) fn present(&self) -> &Policy {
        &self.present
    }

    /// Another policy; `tagged` gives the nodes of a tag. A node whose tags change later is told as one that changed.
    pub(super) fn put<I: IntoIterator<Item = NodeId>>(
        &mut self,
        policy: Policy,
        revision: Revision,
        tagged: impl Fn(&str) -> I,
    ) {
        let before = std::mem::replace(&mut self.present, Arc::new(policy));
        let present = &self.present;
        let tags = before.tags.keys().chain(present.tags.keys());
        let tags = tags.filter(|tag| before.tags.get(*tag) != present.tags.get(*tag));
        let pairs = before.pairs.keys().chain(present.pairs.keys());
        let touched = Touched {
            all: before.network != present.network,
            nodes: tags.flat_map(|tag| tagged(tag)).collect(),
            pairs: pairs.filter(|pair| before.pairs.get(pair) != present.pairs.get(pair)).copied().collect(),
        };
        self.changes.push_back(Change { revision, before, touched });
        if self.changes.len() > MOST_CHANGES
            && let Some(oldest) = self.changes.pop_front()
        {
            self.floor = oldest.revision;
        }
    }

    /// A node is gone, and with it what was said of its pairs.
    pub(super) fn forget(&mut self, id: NodeId) {
        if self.present.pairs.keys().any(|pair| pair.other(id).is_some()) {
            Arc::make_mut(&mut self.present).pairs.retain(|pair, _| pair.other(id).is_none());
        }
    }

    /// Whether what changed after `have` is known.
    pub(super) fn knows(&self, have: Revision) -> bool {
        have >= self.floor
    }

    /// The policies that maps from `have` on rest on, and of which of the node's peers the present one may say
    /// otherwise. All of them: a delta also fits a map in its midst, where what is now undone was still in force.
    pub(super) fn since(&self, have: Revision, node: NodeId) -> (Vec<&Policy>, Peers) {
        let later = self.changes.iter().skip_while(|change| change.revision <= have);
        let before = later.clone().map(|change| &*change.before).collect();
        let mut peers = BTreeSet::new();
        for Change { touched, .. } in later {
            if touched.all || touched.nodes.contains(&node) {
                return (before, Peers::All);
            }
            peers.extend(&touched.nodes);
            peers.extend(touched.pairs.iter().filter_map(|pair| pair.other(node)));
        }
        (before, Peers::These(peers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Rule;

    #[test]
    fn only_so_many_changes_are_remembered() {
        let mut policies = Policies::new(Policy::default());
        let count = MOST_CHANGES as u64 + 3;
        for number in 1..=count {
            let network = Rule { compliance: number % 2 == 1, ..Rule::default() };
            let policy = Policy { version: number, network, ..Policy::default() };
            policies.put(policy, Revision(number), |_| []);
        }
        assert!(!policies.knows(Revision(2)) && policies.knows(Revision(3)));
        let (before, _) = policies.since(Revision(3), NodeId(1));
        assert_eq!((before[0].version, before.len()), (3, MOST_CHANGES));
        assert!(policies.since(Revision(count), NodeId(1)).0.is_empty());
    }
}
