//! `POST /api/v1/tokens`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use twinmesh_control::JoinToken;
use utoipa::ToSchema;

use super::TokenView;
use crate::clock::now;
use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::extract::{Body, Fields};
use crate::http::problem::{Problem, ProblemBody};
use crate::store::NewToken;

const DEFAULT_EXPIRY_S: u64 = 24 * 3600;
const MAX_EXPIRY_S: u64 = 10 * 366 * 24 * 3600;
const MAX_DESCRIPTION: usize = 200;

/// A token to make.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreateToken {
    /// For whom or what, in the administrator's words.
    pub description: String,
    /// Good for any number of nodes; otherwise for one.
    pub reusable: bool,
    /// Seconds until it expires; a day if absent.
    #[schema(minimum = 1, maximum = 316_224_000)]
    pub expires_in_s: Option<u64>,
    /// It never expires.
    pub never_expires: bool,
    /// What its nodes are tagged with.
    pub tags: Vec<String>,
}

/// A token that was made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    pub token: TokenView,
    /// The token itself; shown here only.
    #[schema(example = "tmjoin-AZ…")]
    pub secret: String,
    /// What to run on the new node.
    pub command: String,
}

/// Make a join token
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", security(("bearer" = [])), request_body = CreateToken, responses(
    (status = 201, description = "Made", body = CreatedToken),
    (status = 401, description = "Not signed in", body = ProblemBody),
    (status = 422, description = "Invalid fields", body = ProblemBody),
))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
    Body(request): Body<CreateToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let mut fields = Fields::default();
    let tags = fields.tags(&request.tags);
    if request.description.len() > MAX_DESCRIPTION {
        fields.wrong("description", format!("at most {MAX_DESCRIPTION} bytes"));
    }
    if request.description.contains(char::is_control) {
        fields.wrong("description", "one line, without control characters");
    }
    if request.never_expires && request.expires_in_s.is_some() {
        fields.wrong("expires_in_s", "not together with never_expires");
    }
    let expires_in = request.expires_in_s.unwrap_or(DEFAULT_EXPIRY_S);
    if !(1..=MAX_EXPIRY_S).contains(&expires_in) {
        fields.wrong("expires_in_s", format!("from 1 to {MAX_EXPIRY_S}"));
    }
    fields.finish()?;

    let token = JoinToken::generate(app.0.fingerprint).map_err(|error| Problem::internal(&error))?;
    let new = NewToken {
        secret_hash: token.secret.hash(),
        description: request.description,
        reusable: request.reusable,
        tags,
        expires_at: (!request.never_expires).then(|| now().saturating_add_unsigned(expires_in)),
    };
    let record = app.mesh().store().create_token(new, now()).await?;
    tracing::info!(token = record.id, reusable = record.reusable, "a join token was made");
    let secret = token.to_string();
    let command = format!("twinmesh up --coordinator {} --token {secret}", app.0.advertise);
    Ok((StatusCode::CREATED, Json(CreatedToken { token: record.into(), secret, command })))
}
