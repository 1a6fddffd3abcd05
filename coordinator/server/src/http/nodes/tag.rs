//! `PUT /api/v1/nodes/{node}/tags`

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{NodeView, find, view};
use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::extract::{Body, Fields, Path};
use crate::http::problem::{Problem, ProblemBody};

/// The tags that a node shall have.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeTags {
    pub tags: Vec<String>,
}

/// Replace a node's tags
#[utoipa::path(put, path = "/api/v1/nodes/{node}/tags", tag = "nodes", security(("bearer" = [])),
    params(("node" = String, Path, description = "Name or id")), request_body = NodeTags,
    responses(
        (status = 200, description = "The node", body = NodeView),
        (status = 401, description = "Not signed in", body = ProblemBody),
        (status = 404, description = "No such node", body = ProblemBody),
        (status = 422, description = "Invalid fields", body = ProblemBody),
    ))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
    Path(node): Path<String>,
    Body(request): Body<NodeTags>,
) -> Result<Json<NodeView>, Problem> {
    let mesh = app.mesh();
    let id = find(mesh, &node)?.id;
    let mut fields = Fields::default();
    let tags = fields.tags(&request.tags);
    fields.finish()?;
    mesh.tag(id, tags).await?;
    // Gone in between is not found.
    let node = find(mesh, &id.to_string())?;
    Ok(Json(view(mesh, &mesh.state(), &node)))
}
