//! `POST /api/v1/sessions`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::clock::{Time, now};
use crate::data::random_secret;
use crate::http::App;
use crate::http::authentication::unauthenticated;
use crate::http::extract::Body;
use crate::http::problem::{Problem, ProblemBody};
use crate::password::{token_hash, verify_password};

const SESSION_LENGTH_S: i64 = 12 * 3600;

/// Name and password of an account.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    #[schema(example = "admin")]
    pub name: String,
    pub password: String,
}

/// A session.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// For `Authorization: Bearer`; shown here only.
    pub token: String,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
}

/// Sign in
#[utoipa::path(post, path = "/api/v1/sessions", tag = "sessions", request_body = CreateSession, responses(
    (status = 201, description = "Signed in", body = SessionView),
    (status = 401, description = "Wrong name or password", body = ProblemBody),
))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    Body(request): Body<CreateSession>,
) -> Result<(StatusCode, Json<SessionView>), Problem> {
    let password = Zeroizing::new(request.password);
    let account = app.mesh().store().account(&request.name).await?;
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    // Whoever guesses waits in line, and a core stays free for others.
    let _turn = app.0.passwords.acquire().await.map_err(|error| Problem::internal(&error))?;
    let right = tokio::task::spawn_blocking(move || verify_password(&password, hash.as_deref()))
        .await
        .map_err(|error| Problem::internal(&error))?;
    let account =
        account.filter(|_| right).ok_or_else(|| unauthenticated("the name or the password is wrong"))?;
    let token = random_secret().map_err(|error| Problem::internal(&error))?;
    let expires_at = now() + SESSION_LENGTH_S;
    app.mesh().store().create_session(&token_hash(&token), account.id, now(), expires_at).await?;
    tracing::info!(account = account.name, "signed in");
    let session = SessionView { token: token.to_string(), expires_at: Time(expires_at) };
    Ok((StatusCode::CREATED, Json(session)))
}
