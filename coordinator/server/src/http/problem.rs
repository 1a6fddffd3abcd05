//! Errors of the API: problem details (RFC 9457) with a stable type for each cause. What is wrong inside is
//! logged and not told.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::StoreError;

/// The media type of a problem document (RFC 9457 §3).
pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// A problem document, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// Stable name of the cause, such as `urn:twinmesh:problem:not-found`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The cause in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong with this request, and what to do.
    pub detail: String,
    /// Which fields were wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// A field of the request that was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Path of the field in the body, such as `tags[2]`.
    pub field: String,
    /// What was wrong with it.
    pub detail: String,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), errors: Vec::new() }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, "In conflict with what there is", detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail = "this address does not take that method: see /api/v1/openapi.json";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
    }

    /// Fields that could be read but cannot be.
    pub(super) fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail: Vec<_> =
            errors.iter().map(|error| format!("{}: {}", error.field, error.detail)).collect();
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { errors, ..Self::new(status, "invalid", "Invalid fields", detail.join("; ")) }
    }

    /// Our own failure; the cause goes to the log.
    pub(super) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        let detail = "the coordinator failed; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal failure", detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let unavailable = |detail| {
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "Store unavailable", detail)
        };
        let problem = match error {
            StoreError::Full => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk-full",
                "Disk full",
                "the disk of the coordinator's data folder is full: nothing was changed; make room and try again",
            ),
            StoreError::Locked => {
                unavailable("another program locks the database: nothing was changed; try again")
            }
            StoreError::ReadOnly => unavailable("the database is read-only: nothing was changed"),
            StoreError::Disk(_) | StoreError::Damaged(_) => {
                unavailable("the coordinator's disk or database is damaged: nothing was changed")
            }
            StoreError::Newer(_)
            | StoreError::Invalid { .. }
            | StoreError::Database(_)
            | StoreError::Migration(_) => return Self::internal(&error),
        };
        tracing::error!(%error, "a request failed at the store");
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            kind: format!("urn:twinmesh:problem:{}", self.code),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(CONTENT_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
