//! Request bodies and queries, with problem documents for what cannot be read.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::StatusCode;

use super::problem::{FieldProblem, Problem};

/// Every peer is told of them.
const MAX_TAGS: usize = 64;

/// A JSON body.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(super) struct Body<T>(pub(super) T);

/// A query string.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

/// A segment of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let (code, title) = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "Body too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ("not-json", "Body is not JSON"),
            StatusCode::UNPROCESSABLE_ENTITY => ("invalid", "Invalid fields"),
            _ => ("malformed", "Malformed body"),
        };
        Self::new(rejection.status(), code, title, rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "Malformed address", rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "Malformed query", rejection.body_text())
    }
}

/// Checks of fields; all that is wrong is told at once.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<FieldProblem>);

impl Fields {
    /// Notes what is wrong with a field.
    pub(super) fn wrong(&mut self, field: impl Into<String>, detail: impl std::fmt::Display) {
        self.0.push(FieldProblem { field: field.into(), detail: detail.to_string() });
    }

    /// The value, or a note of what is wrong with it.
    pub(super) fn check<T, E: std::fmt::Display>(
        &mut self,
        field: impl Into<String>,
        checked: Result<T, E>,
    ) -> Option<T> {
        checked.map_err(|error| self.wrong(field, error)).ok()
    }

    /// Tags: DNS labels, sorted, each once.
    pub(super) fn tags(&mut self, tags: &[String]) -> Vec<String> {
        if tags.len() > MAX_TAGS {
            self.wrong("tags", format!("at most {MAX_TAGS}"));
        }
        let mut checked: Vec<String> = tags
            .iter()
            .enumerate()
            .filter_map(|(place, tag)| self.check(format!("tags[{place}]"), crate::name::check_label(tag)))
            .collect();
        checked.sort();
        checked.dedup();
        checked
    }

    /// The problem, if anything was wrong.
    pub(super) fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::invalid(self.0)) }
    }
}
