//! A generation grows with every other choice, and never otherwise than by an entry that was looked at.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use twinmesh_control::Revision;

use super::facts::case;
use super::properties::{any_case, policy};
use super::*;

proptest! {
    #[test]
    fn another_choice_is_newer_than_all_before_it(
        case in any_case(), policies in vec(policy(), 1..8),
    ) {
        let facts = PairFacts { failures: &[], ..case.facts() };
        let (mut present, mut ages) = (Policy::default(), PolicyAge::default());
        let mut of_pair = Revision(0);
        let mut last = (choose(&facts, &present), Revision(0));
        for (revision, after) in (1..).map(Revision).zip(policies) {
            ages.change(&present, &after, revision);
            if !present.changed_pairs(&after).is_empty() {
                of_pair = revision;
            }
            present = after;
            let at = of_pair.max(present.looked_at(&facts, &ages));
            let choice = choose(&facts, &present);
            prop_assert!(at >= last.1, "{at} is older than {}", last.1);
            prop_assert!(choice == last.0 || at == revision, "another choice of an old generation");
            last = (choice, at);
        }
    }
}

#[test]
fn what_is_hidden_by_something_stronger_makes_no_choice_newer() {
    let changed = |ends: (&str, &str), before: &str, after: &str| {
        let (before, case) = (case(ends.0, ends.1, before).policy, case(ends.0, ends.1, after));
        let mut ages = PolicyAge { tags: BTreeMap::new(), ..PolicyAge::default() };
        ages.change(&before, &case.policy, Revision(7));
        case.policy.looked_at(&case.facts(), &ages) == Revision(7)
    };
    let agents = ("agent, tag web", "agent");
    assert!(changed(agents, "-", "network: esp"));
    assert!(changed(agents, "tag web: esp", "-"));
    // The pair's entry is looked at first, and says it all.
    assert!(!changed(agents, "pair: esp", "network: wireguard; pair: esp"));
    assert!(!changed(agents, "pair: esp", "tag web: wireguard; pair: esp"));
    assert!(!changed(agents, "tag web: esp", "network: wireguard; tag web: esp"));
    // Throughput means nothing where the protocol is named, and of a device only compliance does.
    assert!(!changed(agents, "network: esp", "network: esp throughput"));
    assert!(!changed(("agent", "device"), "-", "network: esp"));
    assert!(changed(("agent", "device"), "-", "network: compliance"));
    assert!(!changed(agents, "network: compliance", "network: compliance; tag web: wireguard"));
    assert!(!changed(agents, "-", "tag db: esp"));
}
