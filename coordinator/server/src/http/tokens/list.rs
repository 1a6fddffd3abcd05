//! `GET /api/v1/tokens`

use axum::Json;
use axum::extract::State;

use super::TokenList;
use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::problem::{Problem, ProblemBody};

/// List join tokens
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", security(("bearer" = [])), responses(
    (status = 200, description = "All tokens, by id", body = TokenList),
    (status = 401, description = "Not signed in", body = ProblemBody),
))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
) -> Result<Json<TokenList>, Problem> {
    let tokens = app.mesh().store().tokens().await?;
    Ok(Json(TokenList { tokens: tokens.into_iter().map(Into::into).collect() }))
}
