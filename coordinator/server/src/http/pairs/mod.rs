//! Pairs of nodes: what is chosen for them and how they are connected.

pub(super) mod show;

use serde::{Deserialize, Serialize};
use twinmesh_control::{Generation, Reason};
use utoipa::ToSchema;

use super::nodes::{EndpointView, NatView};
use super::tunnels::TunnelView;
use crate::choice::{Choice, Failure, Pair};
use crate::clock::Time;
use crate::mesh::Mesh;
use crate::network::NetworkState;
use crate::store::NodeRecord;

/// A pair of nodes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PairView {
    /// What is chosen: `wireguard`, `esp` or `none`.
    #[schema(example = "wireguard")]
    pub protocol: String,
    /// Whether only algorithms that FIPS approves may protect it.
    pub compliance: bool,
    /// Of the choice: a revision of the network.
    pub generation: u64,
    pub reasons: Vec<ReasonView>,
    /// Protocols that failed between the two, those that are avoided and those that are only remembered.
    pub failures: Vec<FailureView>,
    /// The two, as asked for.
    pub ends: Vec<EndView>,
}

/// Why a protocol is chosen.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReasonView {
    /// Stable, for programs.
    #[schema(example = "default")]
    pub code: String,
    /// For people.
    pub text: String,
}

/// A protocol that failed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FailureView {
    /// `wireguard` or `esp`.
    #[schema(example = "wireguard")]
    pub protocol: String,
    /// `no-handshake`, `no-answer`, `not-up-in-time` or `not-agreed`.
    #[schema(example = "no-handshake")]
    pub code: String,
    /// For people.
    pub text: String,
    /// Name of the end that said so.
    pub reporter: Option<String>,
    /// How often, this time included, since it was last forgotten.
    pub times: u32,
    #[schema(value_type = String, format = DateTime)]
    pub failed_at: Time,
    /// When it may be tried again.
    #[schema(value_type = String, format = DateTime)]
    pub until: Time,
    /// Whether it is avoided at present.
    pub avoided: bool,
}

/// One end of a pair.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EndView {
    pub id: u64,
    #[schema(example = "alpha")]
    pub name: String,
    /// `agent` or `unmanaged`.
    #[schema(example = "agent")]
    pub kind: String,
    /// Whether it has a control connection now; null for an unmanaged peer.
    pub connected: Option<bool>,
    /// Where it can be reached, the best first.
    pub endpoints: Vec<EndpointView>,
    /// What stands between it and the Internet by IPv4, as it measured last.
    pub nat_ipv4: Option<NatView>,
    /// The same by IPv6.
    pub nat_ipv6: Option<NatView>,
    /// Its tunnel to the other, as it last reported while connected; null if it has none.
    pub tunnel: Option<TunnelView>,
}

impl From<Reason> for ReasonView {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code.to_string(), text: reason.text }
    }
}

fn failure(state: &NetworkState, failure: &Failure) -> FailureView {
    FailureView {
        protocol: failure.protocol.to_string(),
        code: failure.code.to_string(),
        text: failure.words().to_owned(),
        reporter: state.node(failure.reporter).map(|node| node.name.clone()),
        times: failure.times,
        failed_at: Time(failure.failed_at),
        until: Time(failure.until),
        avoided: failure.is_avoided,
    }
}

fn end(mesh: &Mesh, state: &NetworkState, node: &NodeRecord, other: &NodeRecord) -> EndView {
    let presence = mesh.presence(node.id);
    let tunnel = presence.tunnels.iter().find(|tunnel| tunnel.peer == other.id);
    EndView {
        id: node.id.0,
        name: node.name.clone(),
        kind: node.kind.to_string(),
        connected: node.identity.map(|_| presence.connections > 0),
        endpoints: node.endpoints.iter().map(EndpointView::from).collect(),
        nat_ipv4: node.nat.ipv4.clone().map(NatView::from),
        nat_ipv6: node.nat.ipv6.clone().map(NatView::from),
        tunnel: tunnel.map(|tunnel| TunnelView::new(state, tunnel)),
    }
}

/// The view of a pair whose nodes there are.
fn view(mesh: &Mesh, state: &NetworkState, pair: Pair, ends: [&NodeRecord; 2], now: i64) -> Option<PairView> {
    let (Choice { protocol, compliance, reasons }, Generation(generation)) = state.choice(pair)?;
    let failures = state.failures(pair).iter().filter(|failure| failure.is_remembered(now));
    let [one, other] = ends;
    Some(PairView {
        protocol: protocol.to_string(),
        compliance,
        generation,
        reasons: reasons.into_iter().map(ReasonView::from).collect(),
        failures: failures.map(|known| failure(state, known)).collect(),
        ends: vec![end(mesh, state, one, other), end(mesh, state, other, one)],
    })
}
