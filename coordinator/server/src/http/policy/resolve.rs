//! A policy as a request has it, checked: each entry names what there is, and none demands what another forbids.

use std::collections::{BTreeMap, BTreeSet};

use twinmesh_control::NodeId;

use super::PolicyView;
use crate::choice::{Demand, Pair, Policy, Rule};
use crate::http::extract::Fields;
use crate::http::problem::Problem;
use crate::name::check_label;
use crate::network::NetworkState;

/// The policy that the request means. Tags are known that a node or a token has, or the present policy names.
pub(super) fn resolve(
    state: &NetworkState,
    token_tags: &BTreeSet<String>,
    request: &PolicyView,
) -> Result<Policy, Problem> {
    let mut fields = Fields::default();
    let default = &request.default;
    let network =
        rule(&mut fields, "default", default.protocol.as_ref(), default.throughput, default.compliance);
    let mut policy = Policy { network, ..Policy::default() };
    let (mut tag_places, mut pair_places) = (BTreeMap::new(), BTreeMap::new());

    let known = |tag: &str| {
        token_tags.contains(tag)
            || state.policy().tags.contains_key(tag)
            || state.nodes().any(|node| node.tags.iter().any(|has| has == tag))
    };
    for (number, entry) in request.tags.iter().enumerate() {
        let place = format!("tags[{number}]");
        let rule = rule(&mut fields, &place, entry.protocol.as_ref(), entry.throughput, entry.compliance);
        let Some(tag) = fields.check(format!("{place}.tag"), check_label(&entry.tag)) else { continue };
        if !known(&tag) {
            fields.wrong(format!("{place}.tag"), format!("no node and no token has the tag `{tag}`"));
        }
        if let Some(first) = tag_places.insert(tag.clone(), place.clone()) {
            fields.wrong(format!("{place}.tag"), format!("{first} is of the tag `{tag}` already"));
        }
        policy.tags.insert(tag, rule);
    }
    for (number, entry) in request.pairs.iter().enumerate() {
        let place = format!("pairs[{number}]");
        let rule = rule(&mut fields, &place, entry.protocol.as_ref(), entry.throughput, entry.compliance);
        let Some(pair) = pair(&mut fields, &place, state, &entry.nodes) else { continue };
        if let Some(first) = pair_places.insert(pair, place.clone()) {
            fields.wrong(format!("{place}.nodes"), format!("{first} is of the same pair already"));
        }
        policy.pairs.insert(pair, rule);
    }

    contradictions(&mut fields, state, &policy, &tag_places, &pair_places);
    fields.finish()?;
    policy.tags.retain(|_, rule| !rule.is_empty());
    policy.pairs.retain(|_, rule| !rule.is_empty());
    Ok(policy)
}

fn rule(
    fields: &mut Fields,
    place: &str,
    protocol: Option<&String>,
    throughput: Option<bool>,
    compliance: bool,
) -> Rule {
    let field = format!("{place}.protocol");
    let protocol = protocol.and_then(|word| fields.check(&field, word.parse::<Demand>()));
    if compliance && protocol == Some(Demand::Wireguard) {
        fields.wrong(field, "WireGuard is demanded, and forbidden by compliance in the same entry");
    }
    Rule { protocol, throughput, compliance }
}

fn pair(fields: &mut Fields, place: &str, state: &NetworkState, nodes: &[String]) -> Option<Pair> {
    let ids: Vec<Option<NodeId>> = nodes
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let found = state.node_called(name).map(|node| node.id);
            fields.check(
                format!("{place}.nodes[{number}]"),
                found.ok_or_else(|| format!("there is no node `{name}`")),
            )
        })
        .collect();
    let [one, other] = ids[..] else {
        fields.wrong(format!("{place}.nodes"), "a pair is two nodes");
        return None;
    };
    let (one, other) = (one?, other?);
    let pair = Pair::new(one, other);
    if pair.is_none() {
        fields.wrong(format!("{place}.nodes"), "a pair is two different nodes");
    }
    pair
}

/// WireGuard demanded where compliance from elsewhere forbids it.
fn contradictions(
    fields: &mut Fields,
    state: &NetworkState,
    policy: &Policy,
    tag_places: &BTreeMap<String, String>,
    pair_places: &BTreeMap<Pair, String>,
) {
    // What is wrong in itself is told already.
    let demands_wireguard = |rule: &Rule| rule.protocol == Some(Demand::Wireguard) && !rule.compliance;
    for (tag, place) in tag_places {
        if !policy.tags.get(tag).is_some_and(demands_wireguard) {
            continue;
        }
        let own = std::slice::from_ref(tag);
        if let Some(forbidding) = policy.compliance_of(own) {
            fields.wrong(
                format!("{place}.protocol"),
                format!("WireGuard is demanded, and forbidden by {forbidding} (compliance)"),
            );
            continue;
        }
        let mut tagged = state.nodes().filter(|node| node.tags.contains(tag));
        let both = tagged.find_map(|node| Some((&node.name, policy.compliance_of(&node.tags)?)));
        if let Some((name, forbidding)) = both {
            fields.wrong(
                format!("{place}.protocol"),
                format!("WireGuard is demanded, and forbidden for `{name}` by {forbidding} (compliance)"),
            );
        }
    }
    for (pair, place) in pair_places {
        if !policy.pairs.get(pair).is_some_and(demands_wireguard) {
            continue;
        }
        let mut nodes = pair.nodes().into_iter().filter_map(|id| state.node(id));
        if let Some(forbidding) = nodes.find_map(|node| policy.compliance_of(&node.tags)) {
            fields.wrong(
                format!("{place}.protocol"),
                format!("WireGuard is demanded, and forbidden by {forbidding} (compliance)"),
            );
        }
    }
}
