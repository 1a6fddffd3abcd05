//! `GET /api/v1/nodes`

use axum::Json;
use axum::extract::State;

use super::{NodeList, view};
use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::problem::{Problem, ProblemBody};

/// List nodes
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", security(("bearer" = [])), responses(
    (status = 200, description = "All nodes, by id", body = NodeList),
    (status = 401, description = "Not signed in", body = ProblemBody),
))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
) -> Result<Json<NodeList>, Problem> {
    let state = app.mesh().state();
    let nodes = state.nodes().map(|node| view(app.mesh(), &state, node)).collect();
    Ok(Json(NodeList { nodes }))
}
