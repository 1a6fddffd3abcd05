//! `DELETE /api/v1/nodes/{node}`

use axum::extract::State;
use axum::http::StatusCode;

use super::find;
use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::extract::Path;
use crate::http::problem::{Problem, ProblemBody};

/// Remove a node
///
/// Its peers forget it at once, and it is told so if it is connected.
#[utoipa::path(delete, path = "/api/v1/nodes/{node}", tag = "nodes", security(("bearer" = [])),
    params(("node" = String, Path, description = "Name or id")),
    responses(
        (status = 204, description = "Removed"),
        (status = 401, description = "Not signed in", body = ProblemBody),
        (status = 404, description = "No such node", body = ProblemBody),
    ))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
    Path(node): Path<String>,
) -> Result<StatusCode, Problem> {
    let node = find(app.mesh(), &node)?;
    // Gone in between is gone too.
    app.mesh().remove(node.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
