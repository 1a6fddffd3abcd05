//! `DELETE /api/v1/sessions/current`

use axum::extract::State;
use axum::http::StatusCode;

use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::problem::{Problem, ProblemBody};

/// Sign out
#[utoipa::path(delete, path = "/api/v1/sessions/current", tag = "sessions", security(("bearer" = [])), responses(
    (status = 204, description = "Signed out"),
    (status = 401, description = "Not signed in", body = ProblemBody),
))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    administrator: Administrator,
) -> Result<StatusCode, Problem> {
    if let Some(session) = administrator.session {
        app.mesh().store().end_session(&session).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
