//! Who may call: whoever holds the data folder's API token, or has a session.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};

use super::App;
use super::problem::Problem;
use crate::clock::now;
use crate::password::token_hash;

/// A caller who proved to be an administrator. An endpoint without it is open to all.
#[derive(Clone, Debug)]
pub(super) struct Administrator {
    /// The session's key, if it is a session.
    pub(super) session: Option<[u8; 32]>,
}

impl FromRequestParts<App> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| {
                unauthenticated(
                    "this needs `Authorization: Bearer TOKEN`; get one from POST /api/v1/sessions",
                )
            })?;
        // Hashes are compared: the time tells nothing of the token itself.
        let hash = token_hash(token);
        if hash == app.0.api_token_hash {
            return Ok(Self { session: None });
        }
        match app.mesh().store().session(&hash, now()).await? {
            Some(_) => Ok(Self { session: Some(hash) }),
            None => Err(unauthenticated("the bearer token is unknown or has expired")),
        }
    }
}

pub(super) fn unauthenticated(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Not signed in", detail)
}
