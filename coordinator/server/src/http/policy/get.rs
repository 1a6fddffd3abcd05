//! `GET /api/v1/policy`

use axum::Json;
use axum::extract::State;

use super::{PolicyView, view};
use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::problem::{Problem, ProblemBody};

/// Show the policy
#[utoipa::path(get, path = "/api/v1/policy", tag = "policy", security(("bearer" = [])), responses(
    (status = 200, description = "The policy", body = PolicyView),
    (status = 401, description = "Not signed in", body = ProblemBody),
))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
) -> Result<Json<PolicyView>, Problem> {
    let state = app.mesh().state();
    Ok(Json(view(&state, state.policy())))
}
