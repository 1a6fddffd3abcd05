//! The policy, as administrators see it.

pub(super) mod get;
pub(super) mod put;
mod resolve;

use serde::{Deserialize, Serialize};
use twinmesh_control::NodeId;
use utoipa::ToSchema;

use crate::choice::{Policy, Rule};
use crate::network::NetworkState;

/// What the choice of protocols obeys. What is said of a pair counts before what is said of a tag of either end, and
/// that before the default. Only compliance adds up: whoever asks for it, nobody else lifts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyView {
    /// Grows by one with every change. A request with it is refused if the policy has changed since; one without it
    /// replaces whatever there is.
    #[serde(default)]
    pub version: Option<u64>,
    /// For the whole network.
    #[serde(default)]
    pub default: RuleView,
    /// For every pair of which one end has the tag.
    #[serde(default)]
    pub tags: Vec<TagRuleView>,
    #[serde(default)]
    pub pairs: Vec<PairRuleView>,
}

/// What is demanded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleView {
    /// `auto`, `wireguard` or `esp`; null leaves it to what is less specific.
    #[serde(default)]
    #[schema(example = "esp")]
    pub protocol: Option<String>,
    /// Whether the faster protocol is to be taken where `protocol` leaves the choice; null as above.
    #[serde(default)]
    pub throughput: Option<bool>,
    /// Whether only algorithms that FIPS approves are allowed: ESP with AES-GCM, or no traffic.
    #[serde(default)]
    pub compliance: bool,
}

/// What is demanded for a tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TagRuleView {
    #[schema(example = "web")]
    pub tag: String,
    #[serde(default)]
    pub protocol: Option<String>,
    #[serde(default)]
    pub throughput: Option<bool>,
    #[serde(default)]
    pub compliance: bool,
}

/// What is demanded for a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PairRuleView {
    /// Two names or ids.
    #[schema(example = json!(["alpha", "beta"]))]
    pub nodes: Vec<String>,
    #[serde(default)]
    pub protocol: Option<String>,
    #[serde(default)]
    pub throughput: Option<bool>,
    #[serde(default)]
    pub compliance: bool,
}

impl From<Rule> for RuleView {
    fn from(rule: Rule) -> Self {
        let protocol = rule.protocol.map(|demand| demand.as_str().to_owned());
        Self { protocol, throughput: rule.throughput, compliance: rule.compliance }
    }
}

/// The view of a policy, with the names that nodes have now.
fn view(state: &NetworkState, policy: &Policy) -> PolicyView {
    let name = |id: NodeId| state.node(id).map_or_else(|| id.to_string(), |node| node.name.clone());
    let tags = policy.tags.iter().map(|(tag, rule)| {
        let RuleView { protocol, throughput, compliance } = (*rule).into();
        TagRuleView { tag: tag.clone(), protocol, throughput, compliance }
    });
    let pairs = policy.pairs.iter().map(|(pair, rule)| {
        let RuleView { protocol, throughput, compliance } = (*rule).into();
        PairRuleView { nodes: pair.nodes().map(name).to_vec(), protocol, throughput, compliance }
    });
    PolicyView {
        version: Some(policy.version),
        default: policy.network.into(),
        tags: tags.collect(),
        pairs: pairs.collect(),
    }
}
