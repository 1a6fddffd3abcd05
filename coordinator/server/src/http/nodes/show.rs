//! `GET /api/v1/nodes/{node}`

use axum::Json;
use axum::extract::State;

use super::{NodeView, find, view};
use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::extract::Path;
use crate::http::problem::{Problem, ProblemBody};

/// Show a node
#[utoipa::path(get, path = "/api/v1/nodes/{node}", tag = "nodes", security(("bearer" = [])),
    params(("node" = String, Path, description = "Name or id")),
    responses(
        (status = 200, description = "The node", body = NodeView),
        (status = 401, description = "Not signed in", body = ProblemBody),
        (status = 404, description = "No such node", body = ProblemBody),
    ))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
    Path(node): Path<String>,
) -> Result<Json<NodeView>, Problem> {
    let node = find(app.mesh(), &node)?;
    Ok(Json(view(app.mesh(), &app.mesh().state(), &node)))
}
