//! What the choices of protocols rest on beside the nodes themselves: the policy, and what single pairs went through;
//! and since when.

use std::collections::{BTreeMap, BTreeSet};

use twinmesh_control::{NodeId, Protocol, Revision};

use crate::choice::{Failure, Pair, PairFacts, Policy, PolicyAge};

/// As the store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChoiceRecord {
    pub policy: Policy,
    pub age: PolicyAge,
    pub pairs: BTreeMap<Pair, PairRecord>,
}

/// What is remembered of one pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairRecord {
    /// When an entry of the policy about the pair, or a failure, last changed the choice.
    pub chosen_at: Revision,
    /// At most one for each protocol.
    pub failures: Vec<Failure>,
}

/// A failure that begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureChange {
    pub pair: Pair,
    pub failure: Failure,
    /// Whether another protocol is chosen by it.
    pub is_chosen_otherwise: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Choices {
    policy: Policy,
    age: PolicyAge,
    pairs: BTreeMap<Pair, PairState>,
    /// When each pair changed by itself, for each of its ends; one entry for each pair and end.
    changes: BTreeSet<(NodeId, Revision, NodeId)>,
    /// Failures that are avoided, by when their time is over.
    ends: BTreeSet<(i64, Pair, Protocol)>,
}

#[derive(Clone, Debug, Default)]
struct PairState {
    record: PairRecord,
    changed_at: Revision,
}

impl Choices {
    pub(super) fn new(record: ChoiceRecord, revision: Revision) -> Self {
        let ChoiceRecord { policy, age, pairs } = record;
        let (changes, ends) = (BTreeSet::new(), BTreeSet::new());
        let mut choices = Self { policy, age, pairs: BTreeMap::new(), changes, ends };
        for (pair, record) in pairs {
            for failure in &record.failures {
                choices.note_end(pair, failure);
            }
            *choices.change(pair, revision) = record;
        }
        choices
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The failures that are known of a pair.
    pub(super) fn failures(&self, pair: Pair) -> &[Failure] {
        self.pairs.get(&pair).map_or(&[], |state| &state.record.failures)
    }

    /// The failures that are avoided at present, by when their time is over.
    pub(super) fn avoided(&self) -> impl Iterator<Item = (Pair, &Failure)> {
        self.ends.iter().filter_map(|(_, pair, protocol)| {
            let failure = self.failures(*pair).iter().find(|failure| failure.protocol == *protocol)?;
            Some((*pair, failure))
        })
    }

    fn note_end(&mut self, pair: Pair, failure: &Failure) {
        let end = (failure.until, pair, failure.protocol.clone());
        if failure.is_avoided {
            self.ends.insert(end);
        } else {
            self.ends.remove(&end);
        }
    }

    /// Another policy.
    pub(super) fn put_policy(&mut self, policy: Policy, revision: Revision) {
        self.age.change(&self.policy, &policy, revision);
        for pair in self.policy.changed_pairs(&policy) {
            self.change(pair, revision).chosen_at = revision;
        }
        self.policy = policy;
    }

    /// Failures begin, or end at the time that was known.
    pub(super) fn put_failures(&mut self, changes: Vec<FailureChange>, revision: Revision) {
        for FailureChange { pair, failure, is_chosen_otherwise } in changes {
            self.note_end(pair, &failure);
            let record = self.change(pair, revision);
            record.failures.retain(|known| known.protocol != failure.protocol);
            record.failures.push(failure);
            if is_chosen_otherwise {
                record.chosen_at = revision;
            }
        }
    }

    /// What is known of a pair, to be changed.
    fn change(&mut self, pair: Pair, revision: Revision) -> &mut PairRecord {
        let [lower, higher] = pair.nodes();
        let state = self.pairs.entry(pair).or_default();
        for (end, other) in [(lower, higher), (higher, lower)] {
            self.changes.remove(&(end, state.changed_at, other));
            self.changes.insert((end, revision, other));
        }
        state.changed_at = revision;
        &mut state.record
    }

    /// A node is gone, and with it what is known of its pairs.
    pub(super) fn forget(&mut self, id: NodeId) {
        let pairs: Vec<_> = self.changes_of(id, Revision::default()).collect();
        for (at, other) in pairs {
            self.changes.remove(&(id, at, other));
            self.changes.remove(&(other, at, id));
            let state = Pair::new(id, other).and_then(|pair| Some((pair, self.pairs.remove(&pair)?)));
            if let Some((pair, state)) = state {
                for failure in state.record.failures {
                    self.ends.remove(&(failure.until, pair, failure.protocol));
                }
            }
        }
        self.policy.pairs.retain(|pair, _| pair.other(id).is_none());
    }

    /// When the choice for the pair last changed, as far as that is not the nodes' own affair.
    pub(super) fn chosen_at(&self, facts: &PairFacts<'_>) -> Revision {
        let [one, other] = facts.ends;
        let state = Pair::new(one.id, other.id).and_then(|pair| self.pairs.get(&pair));
        let by_pair = state.map(|state| state.record.chosen_at).unwrap_or_default();
        by_pair.max(self.policy.looked_at(facts, &self.age))
    }

    /// Whether the pair changed by itself after `have`.
    pub(super) fn has_changed(&self, pair: Pair, have: Revision) -> bool {
        self.pairs.get(&pair).is_some_and(|state| state.changed_at > have)
    }

    /// The peers of the node with which something changed by itself after `have`.
    pub(super) fn changed_peers(&self, id: NodeId, have: Revision) -> impl Iterator<Item = NodeId> {
        self.changes_of(id, Revision(have.0.saturating_add(1))).map(|(_, other)| other)
    }

    fn changes_of(&self, id: NodeId, from: Revision) -> impl Iterator<Item = (Revision, NodeId)> {
        let range = (id, from, NodeId(0))..=(id, Revision(u64::MAX), NodeId(u64::MAX));
        self.changes.range(range).map(|(_, at, other)| (*at, *other))
    }

    /// Whether what is said of the whole network changed after `have`.
    pub(super) fn has_network_changed(&self, have: Revision) -> bool {
        self.age.network.newest() > have
    }

    /// The tags of which something else was said after `have`.
    pub(super) fn changed_tags(&self, have: Revision) -> impl Iterator<Item = &str> {
        self.age.tags.iter().filter(move |(_, age)| age.newest() > have).map(|(tag, _)| tag.as_str())
    }
}
