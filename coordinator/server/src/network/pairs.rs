//! What is chosen for a pair, and which of the failures that nodes report change it.

use std::collections::BTreeMap;

use twinmesh_control::{Generation, NodeId, TunnelReport};

use super::choices::FailureChange;
use super::{NetworkState, end};
use crate::choice::{Choice, Failure, Pair, PairFacts, choose, counted};
use crate::store::NodeRecord;

impl NetworkState {
    /// What is chosen for a pair, as both are told; `None` if one of the two is no node.
    pub fn choice(&self, pair: Pair) -> Option<(Choice, Generation)> {
        let [one, other] = pair.nodes().map(|id| self.node(id));
        let (one, other) = (one?, other?);
        Some((choose(&self.facts(one, other), self.policy()), self.generation(one, other)))
    }

    /// What is known of the pair's failures, at most one for each protocol.
    pub fn failures(&self, pair: Pair) -> &[Failure] {
        self.choices.failures(pair)
    }

    /// The failures in a node's report that count.
    pub fn counted(&self, reporter: NodeId, tunnels: &[TunnelReport], now: i64) -> Vec<FailureChange> {
        let mut changes = BTreeMap::new();
        for tunnel in tunnels.iter().filter(|tunnel| !tunnel.failed.is_empty()) {
            let Some(pair) = Pair::new(reporter, tunnel.peer) else { continue };
            let Some((choice, generation)) = self.choice(pair) else { continue };
            let known = self.failures(pair);
            if let Some(failure) = counted(tunnel, (&choice.protocol, generation), known, reporter, now) {
                changes.insert(pair, self.change_of(pair, failure));
            }
        }
        changes.into_values().collect()
    }

    /// The failures whose time is over.
    pub fn ended(&self, now: i64) -> Vec<FailureChange> {
        let over = self.choices.avoided().take_while(|(_, failure)| failure.until <= now);
        over.map(|(pair, failure)| self.change_of(pair, failure.ended())).collect()
    }

    /// Unix time at which the next one is over.
    pub fn next_end(&self) -> Option<i64> {
        self.choices.avoided().next().map(|(_, failure)| failure.until)
    }

    fn change_of(&self, pair: Pair, failure: Failure) -> FailureChange {
        let [one, other] = pair.nodes().map(|id| self.node(id));
        let is_chosen_otherwise = one.zip(other).is_some_and(|(one, other)| {
            let facts = self.facts(one, other);
            let known = facts.failures.iter().filter(|known| known.protocol != failure.protocol).cloned();
            let failures: Vec<Failure> = known.chain([failure.clone()]).collect();
            let after = choose(&PairFacts { failures: &failures, ..facts }, self.policy());
            choose(&facts, self.policy()).protocol != after.protocol
        });
        FailureChange { pair, failure, is_chosen_otherwise }
    }

    pub(super) fn facts<'a>(&'a self, one: &'a NodeRecord, other: &'a NodeRecord) -> PairFacts<'a> {
        let failures = Pair::new(one.id, other.id).map_or(&[][..], |pair| self.choices.failures(pair));
        PairFacts { ends: [end(one), end(other)], failures }
    }

    /// The revision of the newest change that the choice for the pair looks at: it grows with every other choice, the
    /// same for both, also over restarts.
    pub(super) fn generation(&self, one: &NodeRecord, other: &NodeRecord) -> Generation {
        let at = self.choices.chosen_at(&self.facts(one, other));
        Generation(at.max(one.chosen_at).max(other.chosen_at).0)
    }
}
