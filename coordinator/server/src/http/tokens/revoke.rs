//! `DELETE /api/v1/tokens/{token}`

use axum::extract::State;
use axum::http::StatusCode;

use crate::clock::now;
use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::extract::Path;
use crate::http::problem::{Problem, ProblemBody};
use crate::store::Revocation;

/// Revoke a join token
///
/// No node joins with it any more. Nodes that have joined stay.
#[utoipa::path(delete, path = "/api/v1/tokens/{token}", tag = "tokens", security(("bearer" = [])),
    params(("token" = i64, Path, description = "Id")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 401, description = "Not signed in", body = ProblemBody),
        (status = 404, description = "No such token", body = ProblemBody),
    ))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
    Path(token): Path<String>,
) -> Result<StatusCode, Problem> {
    let not_found =
        || Problem::not_found(format!("there is no token `{token}`: tokens are named by their number"));
    let id = token.parse().map_err(|_| not_found())?;
    match app.mesh().store().revoke_token(id, now()).await? {
        Revocation::Revoked => {
            tracing::info!(token = id, "a join token was revoked");
            Ok(StatusCode::NO_CONTENT)
        }
        Revocation::NotFound => Err(not_found()),
    }
}
