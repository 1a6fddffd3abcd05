//! Since when the policy says what it says: a choice is as new as the newest entry that it looks at.

use std::collections::{BTreeMap, BTreeSet};

use twinmesh_control::Revision;

use super::policy::{Demand, Pair, Policy, Rule};
use super::{PairFacts, unmanaged};

/// When each field of an entry last changed, also from or to saying nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleAge {
    pub protocol: Revision,
    pub throughput: Revision,
    pub compliance: Revision,
}

/// The ages of the network's entry and of those of tags; an entry that is gone keeps its age. Those of pairs are with
/// the pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyAge {
    pub network: RuleAge,
    pub tags: BTreeMap<String, RuleAge>,
}

impl RuleAge {
    /// When any of it changed.
    pub fn newest(self) -> Revision {
        self.protocol.max(self.throughput).max(self.compliance)
    }

    fn changed(self, before: Rule, after: Rule, at: Revision) -> Self {
        let either = |changed: bool, age| if changed { at } else { age };
        Self {
            protocol: either(before.protocol != after.protocol, self.protocol),
            throughput: either(before.throughput != after.throughput, self.throughput),
            compliance: either(before.compliance != after.compliance, self.compliance),
        }
    }
}

impl PolicyAge {
    /// The policy changed from `before` to `after`. Gives the tags of which something else is said now.
    pub fn change(&mut self, before: &Policy, after: &Policy, at: Revision) -> BTreeSet<String> {
        self.network = self.network.changed(before.network, after.network, at);
        let tags = before.tags.keys().chain(after.tags.keys());
        let rule = |policy: &Policy, tag: &str| policy.tags.get(tag).copied().unwrap_or_default();
        let changed: BTreeSet<String> =
            tags.filter(|tag| rule(before, tag) != rule(after, tag)).cloned().collect();
        for tag in &changed {
            let age = self.tags.entry(tag.clone()).or_default();
            *age = age.changed(rule(before, tag), rule(after, tag), at);
        }
        changed
    }
}

impl Policy {
    /// The pairs of which `after` says something else.
    pub fn changed_pairs(&self, after: &Self) -> BTreeSet<Pair> {
        let pairs = self.pairs.keys().chain(after.pairs.keys());
        pairs.filter(|pair| self.pairs.get(pair) != after.pairs.get(pair)).copied().collect()
    }

    /// The newest change among the entries of the network and of tags that [`super::choose`] looks at for the pair: what
    /// a more specific entry hides, or a stronger rule leaves no room for, does not count.
    pub fn looked_at(&self, pair: &PairFacts<'_>, ages: &PolicyAge) -> Revision {
        let compliance = self.looked_up(pair, ages, |_| false, |age| age.compliance);
        let demands = self.of(pair);
        if !demands.compliance.is_empty() || !unmanaged(pair).is_empty() {
            return compliance;
        }
        let protocol = self.looked_up(pair, ages, |rule| rule.protocol.is_some(), |age| age.protocol);
        if demands.protocol != Demand::Auto {
            return compliance.max(protocol);
        }
        let throughput = self.looked_up(pair, ages, |rule| rule.throughput.is_some(), |age| age.throughput);
        compliance.max(protocol).max(throughput)
    }

    /// From the pair's entry to the network's, up to where something is said.
    fn looked_up(
        &self,
        pair: &PairFacts<'_>,
        ages: &PolicyAge,
        says: impl Fn(&Rule) -> bool,
        age: impl Fn(&RuleAge) -> Revision,
    ) -> Revision {
        let [one, other] = pair.ends;
        let of_pair = Pair::new(one.id, other.id).and_then(|pair| self.pairs.get(&pair));
        if of_pair.is_some_and(&says) {
            return Revision::default();
        }
        let tags = || one.tags.iter().chain(other.tags);
        let tagged = tags().filter_map(|tag| ages.tags.get(tag)).map(&age).max().unwrap_or_default();
        if tags().filter_map(|tag| self.tags.get(tag)).any(says) {
            tagged
        } else {
            tagged.max(age(&ages.network))
        }
    }
}
