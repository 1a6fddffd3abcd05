//! The OpenAPI document, made from the endpoints' own types.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::problem::CONTENT_TYPE;

#[derive(OpenApi)]
#[openapi(
    info(title = "twinmesh coordinator", description = "Nodes, join tokens, peers and the policy of one mesh. Errors are problem details (RFC 9457).", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        super::health::live,
        super::health::ready,
        super::sessions::create::handle,
        super::sessions::end::handle,
        super::nodes::list::handle,
        super::nodes::show::handle,
        super::nodes::remove::handle,
        super::nodes::tag::handle,
        super::pairs::show::handle,
        super::policy::get::handle,
        super::policy::put::handle,
        super::tokens::list::handle,
        super::tokens::create::handle,
        super::tokens::revoke::handle,
        super::peers::add::handle,
        super::peers::configuration::handle,
        show,
    ),
    modifiers(&BearerTokens, &Problems),
)]
struct Document;

struct BearerTokens;

impl Modify for BearerTokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("From POST /api/v1/sessions, or the file `api-token` of the data folder"))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Every failure is a problem document, also those that an endpoint does not name: a body that cannot be read,
/// a store that is locked or full.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let items = document.paths.paths.values_mut();
        let operations =
            items.flat_map(|item| [&mut item.get, &mut item.post, &mut item.put, &mut item.delete]).flatten();
        for operation in operations {
            let responses = &mut operation.responses.responses;
            let failures = responses.iter_mut().filter(|(status, _)| status.starts_with(['4', '5']));
            for (_, response) in failures {
                if let RefOr::T(response) = response {
                    let contents = std::mem::take(&mut response.content).into_values();
                    response.content = contents.map(|content| (CONTENT_TYPE.to_owned(), content)).collect();
                }
            }
            let content = Content::new(Some(Ref::from_schema_name("ProblemBody")));
            let other =
                ResponseBuilder::new().description("Any other failure").content(CONTENT_TYPE, content);
            responses.insert("default".to_owned(), other.build().into());
        }
    }
}

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "health", responses((status = 200, description = "OpenAPI 3.1")))]
pub(super) async fn show() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
