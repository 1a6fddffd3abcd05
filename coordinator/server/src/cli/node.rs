//! `node list|show|tag|remove`

use super::arguments::NodeCommand;
use super::client::{Client, segment};
use super::explain::path as path_of;
use super::output::{list, or_dash};
use super::{CommandError, output};
use crate::http::{NatView, NodeList, NodeTags, NodeView};

pub(super) async fn run(command: NodeCommand) -> Result<(), CommandError> {
    match command {
        NodeCommand::List { json, server } => {
            let nodes: NodeList = Client::new(&server)?.get("/api/v1/nodes").await?;
            if json {
                return output::json(&nodes);
            }
            let rows: Vec<_> = nodes
                .nodes
                .iter()
                .map(|node| {
                    let ipv4 = node.addresses.first().copied();
                    vec![
                        node.id.to_string(),
                        node.name.clone(),
                        node.kind.clone(),
                        or_dash(ipv4),
                        connection(node),
                        or_dash(node.endpoints.first().map(|endpoint| endpoint.address)),
                        or_dash(node.nat_ipv4.as_ref().or(node.nat_ipv6.as_ref()).map(|nat| &nat.class)),
                        paths(node),
                        or_dash(node.version.clone()),
                        list(&node.tags),
                    ]
                })
                .collect();
            output::table(
                &[
                    "ID",
                    "NAME",
                    "KIND",
                    "ADDRESS",
                    "CONNECTED",
                    "ENDPOINT",
                    "NAT",
                    "PATHS",
                    "VERSION",
                    "TAGS",
                ],
                &rows,
            )
        }
        NodeCommand::Show { node, json, server } => {
            let node: NodeView = Client::new(&server)?.get(&path(&node)).await?;
            if json { output::json(&node) } else { show(&node) }
        }
        NodeCommand::Tag { node, tags, server } => {
            let tagged: NodeView =
                Client::new(&server)?.put(&format!("{}/tags", path(&node)), &NodeTags { tags }).await?;
            output::text(&format!("{} has the tags {}\n", tagged.name, list(&tagged.tags)))
        }
        NodeCommand::Remove { node, server } => {
            Client::new(&server)?.delete(&path(&node)).await?;
            output::text(&format!("{node} is removed\n"))
        }
    }
}

pub(super) fn path(node: &str) -> String {
    format!("/api/v1/nodes/{}", segment(node))
}

fn connection(node: &NodeView) -> String {
    match (node.connected, node.last_seen_at) {
        (Some(true), _) => "yes".to_owned(),
        (Some(false), Some(at)) => format!("no, since {at}"),
        (Some(false), None) => "no".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

pub(super) fn nat(nat: &NatView) -> String {
    match &nat.filtering {
        Some(filtering) => format!("{}, lets in {filtering}", nat.class),
        None => nat.class.clone(),
    }
}

fn refused(endpoints: String, count: usize) -> String {
    if count == 0 { endpoints } else { format!("{endpoints}; {count} more refused") }
}

/// How many of its tunnels go which way.
fn paths(node: &NodeView) -> String {
    let known: Vec<_> = node.tunnels.iter().filter_map(|tunnel| tunnel.path.as_ref()).collect();
    let relayed = known.iter().filter(|path| path.relayed).count();
    match (known.len() - relayed, relayed) {
        (0, 0) => "-".to_owned(),
        (direct, 0) => format!("{direct} direct"),
        (0, relayed) => format!("{relayed} relayed"),
        (direct, relayed) => format!("{direct} direct, {relayed} relayed"),
    }
}

fn show(node: &NodeView) -> Result<(), CommandError> {
    let endpoints: Vec<_> =
        node.endpoints.iter().map(|endpoint| format!("{} ({})", endpoint.address, endpoint.kind)).collect();
    let rows = [
        ("name", node.name.clone()),
        ("id", node.id.to_string()),
        ("kind", node.kind.clone()),
        ("connected", connection(node)),
        ("addresses", list(&node.addresses)),
        ("allowed IPs", list(&node.allowed_ips)),
        ("WireGuard key", node.wireguard_key.to_string()),
        ("endpoints", refused(list(&endpoints), node.refused_endpoints)),
        ("tags", list(&node.tags)),
        ("version", or_dash(node.version.clone())),
        ("prefers", or_dash(node.preference.clone())),
        ("NAT by IPv4", or_dash(node.nat_ipv4.as_ref().map(nat))),
        ("NAT by IPv6", or_dash(node.nat_ipv6.as_ref().map(nat))),
        ("engines", list(&node.engines)),
        (
            "AES",
            or_dash(
                node.aes_instructions.map(|has| if has { "in the processor" } else { "no instructions" }),
            ),
        ),
        ("joined", node.created_at.to_string()),
    ];
    output::text(&rows.iter().map(|(name, value)| format!("{name:<15}{value}\n")).collect::<String>())?;
    if node.tunnels.is_empty() {
        return Ok(());
    }
    output::text("\n")?;
    let tunnels: Vec<_> = node
        .tunnels
        .iter()
        .map(|tunnel| {
            let peer = tunnel.peer_name.clone().unwrap_or_else(|| tunnel.peer.to_string());
            let failing: Vec<_> = tunnel.failed.iter().map(|failed| &failed.protocol).collect();
            vec![peer, tunnel.protocol.clone(), or_dash(tunnel.path.as_ref().map(path_of)), list(&failing)]
        })
        .collect();
    output::table(&["TUNNEL TO", "PROTOCOL", "PATH", "FAILING"], &tunnels)
}
