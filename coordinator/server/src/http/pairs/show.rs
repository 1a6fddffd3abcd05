//! `GET /api/v1/pairs/{one}/{other}`

use axum::Json;
use axum::extract::State;

use super::{PairView, view};
use crate::choice::Pair;
use crate::clock::now;
use crate::http::App;
use crate::http::authentication::Administrator;
use crate::http::extract::Path;
use crate::http::problem::{FieldProblem, Problem, ProblemBody};

/// Show a pair of nodes
///
/// The protocol that is chosen for it and why, what failed, and the path of each end as it last reported.
#[utoipa::path(get, path = "/api/v1/pairs/{one}/{other}", tag = "nodes", security(("bearer" = [])),
    params(
        ("one" = String, Path, description = "Name or id of a node"),
        ("other" = String, Path, description = "Name or id of another node"),
    ),
    responses(
        (status = 200, description = "The pair", body = PairView),
        (status = 401, description = "Not signed in", body = ProblemBody),
        (status = 404, description = "No such node", body = ProblemBody),
        (status = 422, description = "A node and itself are no pair", body = ProblemBody),
    ))]
pub(in crate::http) async fn handle(
    State(app): State<App>,
    _: Administrator,
    Path((one, other)): Path<(String, String)>,
) -> Result<Json<PairView>, Problem> {
    let mesh = app.mesh();
    let state = mesh.state();
    let missing = |wanted: &str| Problem::not_found(format!("there is no node `{wanted}`"));
    let ends = [
        state.node_called(&one).ok_or_else(|| missing(&one))?,
        state.node_called(&other).ok_or_else(|| missing(&other))?,
    ];
    let [a, b] = ends;
    let Some(pair) = Pair::new(a.id, b.id) else {
        let detail = format!("`{one}` and `{other}` are the same node: name two");
        return Err(Problem::invalid(vec![FieldProblem { field: "other".to_owned(), detail }]));
    };
    view(mesh, &state, pair, ends, now()).map(Json).ok_or_else(|| missing(&other))
}
