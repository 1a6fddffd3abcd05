//! Nodes, as administrators see them.

pub(super) mod list;
pub(super) mod remove;
pub(super) mod show;
pub(super) mod tag;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use twinmesh_control::{Endpoint, NatBehaviour, WireguardKey};
use utoipa::ToSchema;

pub use tag::NodeTags;

use super::problem::Problem;
use super::tunnels::TunnelView;
use crate::clock::Time;
use crate::mesh::Mesh;
use crate::network::{NetworkState, host_prefixes, overlay_addresses};
use crate::store::NodeRecord;

/// All nodes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NodeList {
    /// By id.
    pub nodes: Vec<NodeView>,
}

/// A node: an agent, or an unmanaged peer that is only a WireGuard key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    pub id: u64,
    #[schema(example = "alpha")]
    pub name: String,
    /// `agent` or `unmanaged`.
    #[schema(example = "agent")]
    pub kind: String,
    /// Overlay addresses, IPv4 first.
    #[schema(value_type = Vec<String>, example = json!(["100.64.0.1", "fd12:3456:789a::1"]))]
    pub addresses: Vec<IpAddr>,
    /// What its peers send to it.
    #[schema(value_type = Vec<String>)]
    pub allowed_ips: Vec<IpNet>,
    #[schema(value_type = String)]
    pub wireguard_key: WireguardKey,
    /// Where it can be reached.
    pub endpoints: Vec<EndpointView>,
    pub tags: Vec<String>,
    /// Of its program; null for an unmanaged peer.
    pub version: Option<String>,
    /// What it wishes for its tunnels: `auto`, `wireguard` or `esp`; null for an unmanaged peer.
    #[schema(example = "auto")]
    pub preference: Option<String>,
    /// What can carry its traffic: `wireguard`, `esp`.
    pub engines: Vec<String>,
    /// Whether its processor has AES instructions, as it says; null for an unmanaged peer.
    pub aes_instructions: Option<bool>,
    /// Whether it can keep to approved algorithms, as it says; null for an unmanaged peer.
    pub keeps_compliance: Option<bool>,
    /// Whether it has a control connection now; null for an unmanaged peer.
    pub connected: Option<bool>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen_at: Option<Time>,
    /// How many of the endpoints that it last reported were not taken: no peer could try them, or they were too many.
    pub refused_endpoints: usize,
    /// What it last reported, while it is connected.
    pub tunnels: Vec<TunnelView>,
    /// What stands between it and the Internet by IPv4, as it measured last.
    pub nat_ipv4: Option<NatView>,
    /// The same by IPv6.
    pub nat_ipv6: Option<NatView>,
}

/// What a node's NAT does.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NatView {
    /// `none`, `endpoint-independent`, `port-independent`, `address-dependent`, `address-and-port-dependent` or
    /// `udp-blocked`.
    #[schema(example = "endpoint-independent")]
    pub class: String,
    /// Whom it lets in: `endpoint-independent`, `port-independent`, `address-dependent` or
    /// `address-and-port-dependent`.
    pub filtering: Option<String>,
    /// Whether nodes behind it reach each other by their outer endpoints.
    pub hairpin: Option<bool>,
}

impl From<NatBehaviour> for NatView {
    fn from(nat: NatBehaviour) -> Self {
        let NatBehaviour { class, filtering, hairpin } = nat;
        Self {
            class: class.to_string(),
            filtering: filtering.map(|filtering| filtering.to_string()),
            hairpin,
        }
    }
}

/// Where a node can be reached.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EndpointView {
    #[schema(value_type = String, example = "192.0.2.1:4500")]
    pub address: SocketAddr,
    /// `host`, `reflexive`, `mapped`, `configured` or `relayed`.
    pub kind: String,
}

impl From<&Endpoint> for EndpointView {
    fn from(endpoint: &Endpoint) -> Self {
        Self { address: endpoint.address, kind: endpoint.kind.to_string() }
    }
}

/// The view of a stored node.
pub(super) fn view(mesh: &Mesh, state: &NetworkState, node: &NodeRecord) -> NodeView {
    let presence = mesh.presence(node.id);
    let network = state.network();
    let own = host_prefixes(network, node.host);
    NodeView {
        id: node.id.0,
        name: node.name.clone(),
        kind: node.kind.to_string(),
        addresses: overlay_addresses(network, node.host).to_vec(),
        allowed_ips: own.into_iter().chain(node.prefixes.iter().copied()).collect(),
        wireguard_key: node.wireguard_key,
        endpoints: node.endpoints.iter().map(EndpointView::from).collect(),
        tags: node.tags.clone(),
        version: node.version.clone(),
        preference: node.identity.map(|_| node.preference.to_string()),
        engines: std::iter::once("wireguard")
            .chain(node.abilities.esp.then_some("esp"))
            .map(str::to_owned)
            .collect(),
        aes_instructions: node.identity.map(|_| node.abilities.aes),
        keeps_compliance: node.identity.map(|_| node.abilities.compliance),
        connected: node.identity.map(|_| presence.connections > 0),
        created_at: Time(node.created_at),
        last_seen_at: node.last_seen_at.map(Time),
        refused_endpoints: presence.refused_endpoints,
        tunnels: presence.tunnels.iter().map(|tunnel| TunnelView::new(state, tunnel)).collect(),
        nat_ipv4: node.nat.ipv4.clone().map(NatView::from),
        nat_ipv6: node.nat.ipv6.clone().map(NatView::from),
    }
}

/// The node that a path names.
pub(super) fn find(mesh: &Mesh, wanted: &str) -> Result<NodeRecord, Problem> {
    let node = mesh.state().node_called(wanted).cloned();
    node.ok_or_else(|| Problem::not_found(format!("there is no node `{wanted}`")))
}
