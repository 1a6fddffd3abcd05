//! Whether the coordinator lives, and whether it can do its work.

use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use super::problem::Problem;

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "The process answers")))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// The database answers, so nodes and administrators can be served.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "Ready"),
    (status = 503, description = "The database does not answer", body = super::ProblemBody),
))]
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    app.mesh().store().check().await.map_err(|error| {
        tracing::error!(%error, "not ready");
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store-unavailable",
            "Store unavailable",
            "the database does not answer",
        )
    })?;
    Ok("ready\n")
}
