//! Facts and policies in the words of the decision table.

use twinmesh_control::FailureCode;

use super::super::*;

/// A pair and what is demanded of it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) one: Node,
    pub(super) other: Node,
    pub(super) policy: Policy,
    pub(super) failures: Vec<Failure>,
}

/// An end that owns what it says.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) name: &'static str,
    pub(super) kind: PeerKind,
    pub(super) tags: Vec<String>,
    pub(super) preference: Preference,
    pub(super) abilities: Abilities,
}

impl Node {
    pub(super) fn end(&self) -> End<'_> {
        End {
            id: self.id,
            name: self.name,
            kind: &self.kind,
            tags: &self.tags,
            preference: &self.preference,
            abilities: self.abilities,
        }
    }
}

impl Case {
    pub(super) fn facts(&self) -> PairFacts<'_> {
        PairFacts { ends: [self.one.end(), self.other.end()], failures: &self.failures }
    }
}

/// `alpha` and `beta`, the policy, and behind it what failed.
pub(super) fn case(one: &str, other: &str, policy: &str) -> Case {
    let parts = policy.split("; ").filter(|part| *part != "-").map(|part| part.split_once(": ").unwrap());
    let (failed, rules): (Vec<_>, Vec<_>) = parts.partition(|(place, _)| *place == "failed");
    let failed = failed.into_iter().flat_map(|(_, protocols)| protocols.split(' '));
    Case {
        one: node(1, "alpha", one),
        other: node(2, "beta", other),
        policy: parse_policy(&rules),
        failures: failed.map(|protocol| failure(protocol, 1)).collect(),
    }
}

/// What one of the two reported at one o'clock.
pub(super) fn failure(protocol: &str, reporter: u64) -> Failure {
    let at = 1_767_229_200;
    Failure {
        protocol: Protocol::from(protocol.to_owned()),
        code: FailureCode::NoHandshake,
        reporter: NodeId(reporter),
        times: 1,
        failed_at: at,
        until: at + 600,
        is_avoided: true,
    }
}

fn node(id: u64, name: &'static str, text: &str) -> Node {
    let mut node = Node {
        id: NodeId(id),
        name,
        kind: PeerKind::Agent,
        tags: Vec::new(),
        preference: Preference::Auto,
        abilities: Abilities { esp: true, compliance: true, aes: true },
    };
    for word in text.split(", ") {
        match word.split_once(' ') {
            None if word == "agent" => {}
            None if word == "device" => {
                node.kind = PeerKind::Unmanaged;
                node.abilities = Abilities::default();
            }
            Some(("prefers", wish)) => node.preference = Preference::from(wish.to_owned()),
            Some(("tag", tag)) => node.tags.push(tag.to_owned()),
            Some(("no", "ESP")) => node.abilities.esp = false,
            Some(("no", "AES")) => node.abilities.aes = false,
            Some(("no", "compliance")) => node.abilities.compliance = false,
            _ => panic!("{word}"),
        }
    }
    node
}

fn parse_policy(rules: &[(&str, &str)]) -> Policy {
    let mut policy = Policy::default();
    for (place, words) in rules {
        let rule = words.split(' ').fold(Rule::default(), |rule, word| match word {
            "throughput" => Rule { throughput: Some(true), ..rule },
            "no-throughput" => Rule { throughput: Some(false), ..rule },
            "compliance" => Rule { compliance: true, ..rule },
            demand => Rule { protocol: Some(demand.parse().unwrap()), ..rule },
        });
        match place.split_once(' ') {
            None if *place == "network" => policy.network = rule,
            None if *place == "pair" => {
                policy.pairs.insert(Pair::new(NodeId(1), NodeId(2)).unwrap(), rule);
            }
            Some(("tag", tag)) => {
                policy.tags.insert(tag.to_owned(), rule);
            }
            _ => panic!("{place}"),
        }
    }
    policy
}
