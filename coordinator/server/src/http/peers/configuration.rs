//! `GET /api/v1/peers/{peer}/configuration`

#![expect(unused_qualifications, reason = "utoipa repeats the type of the query")]

use std::net::{IpAddr, SocketAddr};

use axum::Json;
use axum::extract::State;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use twinmesh_control::{Endpoint, EndpointKind, PeerKind, WireguardKey};
use utoipa::{IntoParams, ToSchema};

use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::extract::{Path, Query};
use crate::http::nodes::find;
use crate::http::problem::{Problem, ProblemBody};
use crate::network::{host_prefixes, overlay_addresses};
use crate::store::NodeRecord;

/// Which agents the peer shall know.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct With {
    /// Names of agents, with commas between; absent: all.
    with: Option<String>,
}

/// What an unmanaged peer has to be configured with, all but its private key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PeerConfiguration {
    pub name: String,
    /// Its own overlay addresses.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
    pub peers: Vec<RemotePeer>,
}

/// An agent, as an unmanaged peer sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RemotePeer {
    pub name: String,
    #[schema(value_type = String)]
    pub public_key: WireguardKey,
    #[schema(value_type = Vec<String>)]
    pub allowed_ips: Vec<IpNet>,
    /// Where it can be reached, as far as it is known.
    #[schema(value_type = Option<String>)]
    pub endpoint: Option<SocketAddr>,
}

/// Show what to configure a peer with
#[utoipa::path(get, path = "/api/v1/peers/{peer}/configuration", tag = "peers", security(("bearer" = [])),
    params(("peer" = String, Path, description = "Name or id"), With),
    responses(
        (status = 200, description = "All but the private key", body = PeerConfiguration),
        (status = 401, description = "Not signed in", body = ProblemBody),
        (status = 404, description = "No such peer or agent", body = ProblemBody),
    ))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
    Path(peer): Path<String>,
    Query(With { with }): Query<With>,
) -> Result<Json<PeerConfiguration>, Problem> {
    let peer = find(app.mesh(), &peer)?;
    if peer.kind != PeerKind::Unmanaged {
        return Err(Problem::not_found(format!("`{}` is an agent: it configures itself", peer.name)));
    }
    let agents: Vec<NodeRecord> = match with {
        Some(names) => {
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            let found = names.map(|name| find_agent(&app, name));
            found.collect::<Result<_, _>>()?
        }
        None => app.mesh().state().nodes().filter(|node| node.kind == PeerKind::Agent).cloned().collect(),
    };
    let state = app.mesh().state();
    let network = state.network();
    let remote = |node: NodeRecord| RemotePeer {
        public_key: node.wireguard_key,
        allowed_ips: host_prefixes(network, node.host)
            .into_iter()
            .chain(node.prefixes.iter().copied())
            .collect(),
        endpoint: best_endpoint(&node.endpoints),
        name: node.name,
    };
    Ok(Json(PeerConfiguration {
        name: peer.name,
        addresses: overlay_addresses(network, peer.host).to_vec(),
        peers: agents.into_iter().map(remote).collect(),
    }))
}

fn find_agent(app: &App, name: &str) -> Result<NodeRecord, Problem> {
    let node = find(app.mesh(), name)?;
    if node.kind != PeerKind::Agent {
        let detail =
            format!("`{}` is no agent: peers that speak only WireGuard do not know each other", node.name);
        return Err(Problem::not_found(detail));
    }
    Ok(node)
}

/// What an administrator configured, else what a router forwards, else what others see, else the node's own; IPv4
/// first, which more networks have.
fn best_endpoint(endpoints: &[Endpoint]) -> Option<SocketAddr> {
    let rank = |endpoint: &Endpoint| {
        let kind = match endpoint.kind {
            EndpointKind::Configured => 0,
            EndpointKind::Mapped => 1,
            EndpointKind::Reflexive => 2,
            EndpointKind::Host => 3,
            EndpointKind::Other(_) => 4,
            // Only nodes with a relayed address of their own get through to it.
            EndpointKind::Relayed => return None,
        };
        Some((kind, endpoint.address.is_ipv6()))
    };
    let ranked = endpoints.iter().filter_map(|endpoint| Some((rank(endpoint)?, endpoint.address)));
    ranked.min().map(|(_, address)| address)
}
