//! `PUT /api/v1/policy`

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;

use super::resolve::resolve;
use super::{PolicyView, view};
use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::extract::Body;
use crate::http::problem::{Problem, ProblemBody};
use crate::mesh::SetPolicyError;

/// Replace the policy
///
/// Only nodes with a pair that is chosen otherwise by it are told. A policy that names an unknown tag or node, or that
/// both demands and forbids a protocol, is refused with the entry; then nothing is changed.
#[utoipa::path(put, path = "/api/v1/policy", tag = "policy", security(("bearer" = [])), request_body = PolicyView, responses(
    (status = 200, description = "The policy as it is now", body = PolicyView),
    (status = 401, description = "Not signed in", body = ProblemBody),
    (status = 409, description = "It has changed since that version", body = ProblemBody),
    (status = 422, description = "Invalid fields", body = ProblemBody),
))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
    Body(request): Body<PolicyView>,
) -> Result<Json<PolicyView>, Problem> {
    let mesh = app.mesh();
    let tokens = mesh.store().tokens().await?;
    let token_tags: BTreeSet<String> = tokens.into_iter().flat_map(|token| token.tags).collect();
    let policy = resolve(&mesh.state(), &token_tags, &request)?;
    let policy = mesh.set_policy(policy, request.version).await.map_err(|error| match error {
        SetPolicyError::Changed(_) => Problem::conflict("policy-changed", error.to_string()),
        SetPolicyError::NodeGone(_) => Problem::conflict("node-gone", error.to_string()),
        SetPolicyError::Store(error) => error.into(),
    })?;
    Ok(Json(view(&mesh.state(), &policy)))
}
