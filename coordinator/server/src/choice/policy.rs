//! What an administrator demands of the protocols between nodes: for the network, for the nodes of a tag, for a pair.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use twinmesh_control::NodeId;

use super::PairFacts;

/// All that is demanded. What is said of a pair counts before what is said of a tag of either end, and that before
/// what is said of the network. Only compliance adds up: whoever asks for it, nobody else lifts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Grows by one with every change.
    pub version: u64,
    pub network: Rule,
    pub tags: BTreeMap<String, Rule>,
    pub pairs: BTreeMap<Pair, Rule>,
}

/// What is demanded at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// `None` leaves it to what is less specific.
    pub protocol: Option<Demand>,
    /// Whether the faster protocol is to be taken, where `protocol` leaves the choice; `None` as above.
    pub throughput: Option<bool>,
    /// Whether only algorithms that FIPS approves are allowed: ESP with AES-GCM, or nothing.
    pub compliance: bool,
}

/// Which protocol is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The coordinator chooses, by what the nodes wish and have.
    Auto,
    Wireguard,
    Esp,
}

/// Two different nodes, in whatever order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    lower: NodeId,
    higher: NodeId,
}

/// Who demands something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    Network,
    Tag(&'a str),
    Pair,
}

/// What the policy demands of one pair, and by which of its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Demands<'a> {
    pub(super) compliance: Vec<Source<'a>>,
    pub(super) protocol: Demand,
    /// Who says that protocol.
    pub(super) protocol_by: Vec<Source<'a>>,
    pub(super) throughput: Vec<Source<'a>>,
}

impl Pair {
    /// `None` for a node and itself.
    pub fn new(one: NodeId, other: NodeId) -> Option<Self> {
        (one != other).then(|| Self { lower: one.min(other), higher: one.max(other) })
    }

    /// The lower id first.
    pub fn nodes(self) -> [NodeId; 2] {
        [self.lower, self.higher]
    }

    /// The other one, if `node` is one of the two.
    pub fn other(self, node: NodeId) -> Option<NodeId> {
        match (self.lower == node, self.higher == node) {
            (true, _) => Some(self.higher),
            (_, true) => Some(self.lower),
            (false, false) => None,
        }
    }
}

impl Demand {
    /// The word that users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Wireguard => "wireguard",
            Self::Esp => "esp",
        }
    }
}

/// A word that is no protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of auto, wireguard, esp")]
pub struct DemandError(String);

impl std::str::FromStr for Demand {
    type Err = DemandError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Auto, Self::Wireguard, Self::Esp]
            .into_iter()
            .find(|demand| demand.as_str() == word)
            .ok_or_else(|| DemandError(word.chars().take(32).collect()))
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network => f.write_str("the policy of the network"),
            Self::Tag(tag) => write!(f, "the policy of the tag `{tag}`"),
            Self::Pair => f.write_str("the policy of this pair"),
        }
    }
}

impl Rule {
    /// Whether it says nothing at all.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Policy {
    /// Whether both demand the same, whatever their versions.
    pub fn demands_the_same(&self, other: &Self) -> bool {
        (self.network, &self.tags, &self.pairs) == (other.network, &other.tags, &other.pairs)
    }

    /// Who asks for compliance of nodes with these tags, whatever their peers.
    pub fn compliance_of<'a>(&'a self, tags: &[String]) -> Option<Source<'a>> {
        let of_tag = || self.tagged(tags).find(|(_, rule)| rule.compliance).map(|(source, _)| source);
        self.network.compliance.then_some(Source::Network).or_else(of_tag)
    }

    fn tagged<'a>(&'a self, tags: &[String]) -> impl Iterator<Item = (Source<'a>, &'a Rule)> {
        tags.iter().filter_map(|tag| self.tags.get_key_value(tag)).map(|(tag, rule)| (Source::Tag(tag), rule))
    }

    pub(super) fn of(&self, pair: &PairFacts<'_>) -> Demands<'_> {
        let [one, other] = &pair.ends;
        let of_pair = Pair::new(one.id, other.id).and_then(|pair| self.pairs.get(&pair));
        let tags: BTreeSet<String> = one.tags.iter().chain(other.tags).cloned().collect();
        let tags: Vec<String> = tags.into_iter().collect();
        let layers: [Vec<(Source<'_>, &Rule)>; 3] = [
            of_pair.map(|rule| (Source::Pair, rule)).into_iter().collect(),
            self.tagged(&tags).collect(),
            vec![(Source::Network, &self.network)],
        ];
        let (protocol, protocol_by) =
            layers.iter().find_map(|layer| protocol_of(layer)).unwrap_or((Demand::Auto, Vec::new()));
        Demands {
            compliance: layers
                .iter()
                .flatten()
                .filter(|(_, rule)| rule.compliance)
                .map(|(by, _)| *by)
                .collect(),
            protocol,
            protocol_by,
            throughput: layers.iter().find_map(|layer| throughput_of(layer)).unwrap_or_default(),
        }
    }
}

/// Of rules that disagree, WireGuard: what insists on it may have no other way.
fn protocol_of<'a>(layer: &[(Source<'a>, &Rule)]) -> Option<(Demand, Vec<Source<'a>>)> {
    [Demand::Wireguard, Demand::Esp, Demand::Auto].into_iter().find_map(|demand| {
        let by: Vec<_> =
            layer.iter().filter(|(_, rule)| rule.protocol == Some(demand)).map(|(by, _)| *by).collect();
        (!by.is_empty()).then_some((demand, by))
    })
}

/// Who asks for throughput, if anyone says yes or no.
fn throughput_of<'a>(layer: &[(Source<'a>, &Rule)]) -> Option<Vec<Source<'a>>> {
    let said = |(_, rule): &&(Source<'_>, &Rule)| rule.throughput == Some(true);
    layer
        .iter()
        .any(|(_, rule)| rule.throughput.is_some())
        .then(|| layer.iter().filter(said).map(|(by, _)| *by).collect())
}
