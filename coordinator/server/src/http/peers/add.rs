//! `POST /api/v1/peers`

use std::net::SocketAddr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use twinmesh_control::{Network, WireguardKey};
use utoipa::ToSchema;

use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::extract::{Body, Fields};
use crate::http::nodes::{NodeView, view};
use crate::http::problem::{Problem, ProblemBody};
use crate::name::check_label;
use crate::store::{AddPeerError, NewPeer};

const MAX_PREFIXES: usize = 256;

/// A peer to add.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddPeer {
    #[schema(example = "phone")]
    pub name: String,
    /// Its WireGuard public key in base64.
    #[schema(example = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=")]
    pub wireguard_key: String,
    /// Where it listens, if that is fixed: IP:PORT.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Prefixes behind it, beside its own overlay addresses.
    #[serde(default)]
    pub allowed_ips: Vec<String>,
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Add a peer that speaks only WireGuard
///
/// It gets overlay addresses, and every agent lets it in by its key.
#[utoipa::path(post, path = "/api/v1/peers", tag = "peers", security(("bearer" = [])), request_body = AddPeer, responses(
    (status = 201, description = "Added", body = NodeView),
    (status = 401, description = "Not signed in", body = ProblemBody),
    (status = 409, description = "Name, key or prefix is taken", body = ProblemBody),
    (status = 422, description = "Invalid fields", body = ProblemBody),
))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
    Body(request): Body<AddPeer>,
) -> Result<(StatusCode, Json<NodeView>), Problem> {
    let mesh = app.mesh();
    let network = mesh.state().network().clone();
    let mut fields = Fields::default();
    let name = fields.check("name", check_label(&request.name));
    let key = fields.check("wireguard_key", request.wireguard_key.parse::<WireguardKey>());
    let endpoint = request.endpoint.as_deref().and_then(|endpoint| {
        let parsed = endpoint.parse::<SocketAddr>().map_err(|_| format!("`{endpoint}` is not IP:PORT"));
        fields.check("endpoint", parsed)
    });
    let prefixes = prefixes(&mut fields, &request.allowed_ips, &network);
    let tags = fields.tags(&request.tags);
    fields.finish()?;
    let (Some(name), Some(wireguard_key)) = (name, key) else {
        return Err(Problem::internal(&"a wrong field was not noted"));
    };

    let peer = NewPeer { name: name.clone(), wireguard_key, endpoint, tags, prefixes };
    let node = mesh.add_peer(peer).await.map_err(|error| match error {
        AddPeerError::NameTaken => {
            Problem::conflict("name-taken", format!("there is a node `{name}` already"))
        }
        AddPeerError::KeyTaken(_) => Problem::conflict("key-taken", error.to_string()),
        AddPeerError::PrefixTaken { .. } => Problem::conflict("prefix-taken", error.to_string()),
        AddPeerError::AddressesExhausted => Problem::conflict("addresses-exhausted", error.to_string()),
        AddPeerError::Store(error) => error.into(),
    })?;
    Ok((StatusCode::CREATED, Json(view(mesh, &mesh.state(), &node))))
}

/// Sorted, each once, host bits cleared.
fn prefixes(fields: &mut Fields, given: &[String], network: &Network) -> Vec<IpNet> {
    if given.len() > MAX_PREFIXES {
        fields.wrong("allowed_ips", format!("at most {MAX_PREFIXES}"));
    }
    let overlay = [IpNet::V4(network.ipv4), IpNet::V6(network.ipv6)];
    let overlaps = |one: &IpNet, other: &IpNet| one.contains(other) || other.contains(one);
    let mut prefixes: Vec<IpNet> = given
        .iter()
        .enumerate()
        .filter_map(|(place, text)| {
            let checked = match text.parse::<IpNet>().map(|prefix| prefix.trunc()) {
                Err(_) => Err(format!("`{text}` is no prefix such as 198.51.100.0/24")),
                Ok(prefix) if prefix.prefix_len() == 0 => Err("a peer cannot take all traffic".to_owned()),
                Ok(prefix) => match overlay.iter().find(|overlay| overlaps(overlay, &prefix)) {
                    Some(overlay) => Err(format!("{prefix} overlaps the network's own {overlay}")),
                    None => Ok(prefix),
                },
            };
            fields.check(format!("allowed_ips[{place}]"), checked)
        })
        .collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes
}
