use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::facts::{Case, Node, failure};
use super::*;

const TAGS: [&str; 3] = ["db", "pci", "web"];

fn node(id: u64, name: &'static str) -> impl Strategy<Value = Node> {
    let words = ("agent|unmanaged", "auto|wireguard|esp", proptest::sample::subsequence(&TAGS[..], 0..=3));
    (words, any::<[bool; 3]>()).prop_map(move |((kind, preference, tags), [esp, compliance, aes])| Node {
        id: NodeId(id),
        name,
        kind: PeerKind::from(kind),
        tags: tags.into_iter().map(str::to_owned).collect(),
        preference: Preference::from(preference),
        abilities: Abilities { esp, compliance, aes },
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let protocol =
        proptest::option::of(prop_oneof![Just(Demand::Auto), Just(Demand::Wireguard), Just(Demand::Esp)]);
    (protocol, any::<Option<bool>>(), proptest::bool::weighted(0.2))
        .prop_map(|(protocol, throughput, compliance)| Rule { protocol, throughput, compliance })
}

pub(super) fn policy() -> impl Strategy<Value = Policy> {
    let tags = vec((proptest::sample::select(&TAGS[..]), rule()), 0..4);
    (rule(), tags, proptest::option::of(rule())).prop_map(|(network, tags, pair)| Policy {
        version: 1,
        network,
        tags: tags.into_iter().map(|(tag, rule)| (tag.to_owned(), rule)).collect(),
        pairs: pair.into_iter().map(|rule| (Pair::new(NodeId(1), NodeId(2)).unwrap(), rule)).collect(),
    })
}

pub(super) fn any_case() -> impl Strategy<Value = Case> {
    let failed = proptest::sample::subsequence(&["wireguard", "esp"][..], 0..=2);
    (node(1, "alpha"), node(2, "beta"), policy(), failed, 1_u64..=2).prop_map(
        |(one, other, policy, failed, by)| {
            let failures = failed.into_iter().map(|protocol| failure(protocol, by)).collect();
            Case { one, other, policy, failures }
        },
    )
}

/// All rules that apply to the pair, by a reading of the documentation that knows nothing of layers.
fn applying(case: &Case) -> Vec<Rule> {
    let tags: BTreeSet<&String> = case.one.tags.iter().chain(&case.other.tags).collect();
    let tagged = case.policy.tags.iter().filter(|(tag, _)| tags.contains(tag)).map(|(_, rule)| *rule);
    tagged.chain([case.policy.network]).chain(case.policy.pairs.values().copied()).collect()
}

proptest! {
    #[test]
    fn the_order_of_ends_and_tags_means_nothing_and_there_is_always_a_reason(case in any_case()) {
        let choice = chosen(&case);
        prop_assert!(!choice.reasons.is_empty());
        let mut turned = case.clone();
        turned.one.tags.reverse();
        turned.other.tags.reverse();
        prop_assert_eq!(&chosen(&turned), &choice);
        // Who of the two has a tag means nothing either.
        std::mem::swap(&mut turned.one.tags, &mut turned.other.tags);
        prop_assert_eq!(&chosen(&turned), &choice);
    }

    #[test]
    fn compliance_is_never_weakened(case in any_case(), also in "network|pair|tag", wish in rule()) {
        let choice = chosen(&case);
        let demanded = applying(&case).iter().any(|rule| rule.compliance);
        let able = [&case.one, &case.other].iter().all(|node| {
            node.kind == PeerKind::Agent && node.abilities.esp && node.abilities.compliance
        });
        prop_assert_eq!(choice.compliance, demanded);
        let expected = if able { Protocol::Esp } else { Protocol::None };
        if demanded {
            prop_assert_eq!(&choice.protocol, &expected);
            prop_assert_eq!(&choice.reasons[0].code, &ReasonCode::Compliance);
        } else {
            prop_assert_ne!(&choice.protocol, &Protocol::None);
        }
        // Whatever else is said at whatever place does not lift it, and asking for it anywhere is enough.
        let mut more = case.clone();
        let place = match also.as_str() {
            "network" => &mut more.policy.network,
            "pair" => more.policy.pairs.entry(Pair::new(NodeId(1), NodeId(2)).unwrap()).or_default(),
            _ => {
                more.one.tags = vec!["pci".to_owned()];
                more.policy.tags.entry("pci".to_owned()).or_default()
            }
        };
        *place = Rule { compliance: true, ..wish };
        let stricter = chosen(&more);
        prop_assert_eq!((stricter.protocol, stricter.compliance), (expected, true));
    }

    #[test]
    fn esp_is_only_chosen_where_both_have_it(case in any_case()) {
        let able = [&case.one, &case.other].iter().all(|node| node.kind == PeerKind::Agent && node.abilities.esp);
        prop_assert!(able || chosen(&case).protocol != Protocol::Esp);
    }

    #[test]
    fn without_a_policy_esp_is_chosen_exactly_where_both_can_one_asks_and_neither_refuses(case in any_case()) {
        let case = Case { policy: Policy::default(), failures: Vec::new(), ..case };
        let both = [&case.one, &case.other];
        let wanted = both.iter().all(|node| node.kind == PeerKind::Agent && node.abilities.esp)
            && both.iter().all(|node| node.preference != Preference::Wireguard)
            && both.iter().any(|node| node.preference == Preference::Esp);
        prop_assert_eq!(chosen(&case).protocol == Protocol::Esp, wanted);
    }

    #[test]
    fn a_failure_moves_what_is_preferred_and_nothing_that_is_demanded(case in any_case()) {
        let before = chosen(&Case { failures: Vec::new(), ..case.clone() });
        let after = chosen(&case);
        let failed = |protocol: &Protocol| case.failures.iter().any(|failure| failure.protocol == *protocol);
        prop_assert_eq!(after.compliance, before.compliance);
        if after.protocol != before.protocol {
            prop_assert!(failed(&before.protocol) && !failed(&after.protocol));
            let demands = [ReasonCode::Policy, ReasonCode::Compliance, ReasonCode::PrefersWireguard];
            prop_assert!(before.reasons.iter().all(|reason| !demands.contains(&reason.code)));
            prop_assert_eq!(&after.reasons.last().unwrap().code, &ReasonCode::Failed);
        } else if failed(&before.protocol) {
            prop_assert_eq!(&after.reasons.last().unwrap().code, &ReasonCode::FailedKept);
        } else {
            prop_assert_eq!(after, before);
        }
    }
}
