//! `policy get|set`

mod arguments;

pub(super) use arguments::PolicyCommand;
use arguments::SetPolicy;

use super::client::Client;
use super::output::or_dash;
use super::{CommandError, output};
use crate::http::{PairRuleView, PolicyView, TagRuleView};

const PATH: &str = "/api/v1/policy";

pub(super) async fn run(command: PolicyCommand) -> Result<(), CommandError> {
    match command {
        PolicyCommand::Get { json, server } => show(&Client::new(&server)?.get(PATH).await?, json),
        PolicyCommand::Set(set) => {
            let client = Client::new(&set.server)?;
            let wanted = match &set.file {
                Some(path) => {
                    let text = std::fs::read_to_string(path)
                        .map_err(|source| CommandError::PolicyFile { path: path.clone(), source })?;
                    serde_json::from_str(&text)
                        .map_err(|source| CommandError::PolicyFormat { path: path.clone(), source })?
                }
                None => changed(&client, client.get(PATH).await?, &set).await?,
            };
            show(&client.put(PATH, &wanted).await?, set.json)
        }
    }
}

/// The policy with one entry changed.
async fn changed(
    client: &Client,
    mut policy: PolicyView,
    set: &SetPolicy,
) -> Result<PolicyView, CommandError> {
    if let Some(tag) = &set.tag {
        let tag = tag.to_ascii_lowercase();
        let at = policy.tags.iter().position(|entry| entry.tag == tag);
        let mut entry = at.map(|at| policy.tags.remove(at)).unwrap_or_default();
        if !set.remove {
            entry.tag = tag;
            let TagRuleView { protocol, throughput, compliance, .. } = &mut entry;
            set.apply(protocol, throughput, compliance);
            policy.tags.push(entry);
        }
    } else if let Some(names) = &set.pair {
        // By the names that the policy is shown with.
        let mut nodes = Vec::new();
        for name in names {
            let node: crate::http::NodeView = client.get(&super::node::path(name)).await?;
            nodes.push(node.name);
        }
        let is_same = |entry: &PairRuleView| nodes.iter().all(|node| entry.nodes.contains(node));
        let at = policy.pairs.iter().position(is_same);
        let mut entry = at.map(|at| policy.pairs.remove(at)).unwrap_or_default();
        if !set.remove {
            entry.nodes = nodes;
            let PairRuleView { protocol, throughput, compliance, .. } = &mut entry;
            set.apply(protocol, throughput, compliance);
            policy.pairs.push(entry);
        }
    } else if set.remove {
        policy.default = crate::http::RuleView::default();
    } else {
        let default = &mut policy.default;
        set.apply(&mut default.protocol, &mut default.throughput, &mut default.compliance);
    }
    Ok(policy)
}

impl SetPolicy {
    /// What is not given stays as it is.
    fn apply(&self, protocol: &mut Option<String>, throughput: &mut Option<bool>, compliance: &mut bool) {
        *protocol = self.protocol.clone().or_else(|| protocol.take());
        *throughput = self.throughput.or(*throughput);
        *compliance = self.compliance.unwrap_or(*compliance);
    }
}

fn show(policy: &PolicyView, json: bool) -> Result<(), CommandError> {
    if json {
        return output::json(policy);
    }
    let yes_no = |yes: bool| if yes { "yes" } else { "no" };
    let row = |place: String, protocol: &Option<String>, throughput: Option<bool>, compliance| {
        let throughput = or_dash(throughput.map(yes_no));
        vec![place, or_dash(protocol.clone()), throughput, yes_no(compliance).to_owned()]
    };
    let default = &policy.default;
    let mut rows = vec![row("default".to_owned(), &default.protocol, default.throughput, default.compliance)];
    rows.extend(
        policy.tags.iter().map(|entry| {
            row(format!("tag {}", entry.tag), &entry.protocol, entry.throughput, entry.compliance)
        }),
    );
    rows.extend(policy.pairs.iter().map(|entry| {
        let place = format!("pair {}", entry.nodes.join(","));
        row(place, &entry.protocol, entry.throughput, entry.compliance)
    }));
    output::table(&["FOR", "PROTOCOL", "THROUGHPUT", "COMPLIANCE"], &rows)
}
