//! The HTTP API. One file per endpoint: extract, authorize, call, answer.

mod authentication;
mod extract;
mod health;
mod nodes;
mod openapi;
mod pairs;
mod peers;
mod policy;
mod problem;
mod sessions;
mod tokens;
mod tunnels;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post, put};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use twinmesh_control::Fingerprint;

pub use nodes::{EndpointView, NatView, NodeList, NodeTags, NodeView};
pub use openapi::document as openapi_document;
pub use pairs::{EndView, FailureView, PairView, ReasonView};
pub use peers::{AddPeer, PeerConfiguration, RemotePeer};
pub use policy::{PairRuleView, PolicyView, RuleView, TagRuleView};
pub use problem::{FieldProblem, ProblemBody};
pub use sessions::{CreateSession, SessionView};
pub use tokens::{CreateToken, CreatedToken, TokenList, TokenView};
pub use tunnels::{FailedView, PathView, TunnelView};

use crate::mesh::Mesh;
use problem::Problem;

/// No request body of the API is larger.
const MAX_BODY: usize = 64 * 1024;
/// A policy has an entry for each pair that is not as others are.
const MAX_POLICY: usize = 4 * 1024 * 1024;
/// Passwords hashed at once: each takes 19 MiB and a core.
const PASSWORDS_AT_ONCE: usize = 2;

/// What the endpoints need.
#[derive(Clone, Debug)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mesh: Mesh,
    fingerprint: Fingerprint,
    /// What nodes are told to connect to.
    advertise: String,
    /// SHA-256 of the data folder's API token.
    api_token_hash: [u8; 32],
    passwords: Semaphore,
}

impl App {
    /// `advertise` is what nodes are told to connect to, HOST or HOST:PORT.
    pub fn new(mesh: Mesh, fingerprint: Fingerprint, advertise: String, api_token: &str) -> Self {
        Self(Arc::new(Inner {
            mesh,
            fingerprint,
            advertise,
            api_token_hash: crate::password::token_hash(api_token),
            passwords: Semaphore::new(PASSWORDS_AT_ONCE),
        }))
    }

    fn mesh(&self) -> &Mesh {
        &self.0.mesh
    }
}

/// All endpoints.
pub fn router(app: App) -> Router {
    let large = DefaultBodyLimit::max(MAX_POLICY);
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/api/v1/openapi.json", get(openapi::show))
        .route("/api/v1/sessions", post(sessions::create::handle))
        .route("/api/v1/sessions/current", delete(sessions::end::handle))
        .route("/api/v1/nodes", get(nodes::list::handle))
        .route("/api/v1/nodes/{node}", get(nodes::show::handle).delete(nodes::remove::handle))
        .route("/api/v1/nodes/{node}/tags", put(nodes::tag::handle))
        .route("/api/v1/pairs/{one}/{other}", get(pairs::show::handle))
        .route("/api/v1/policy", get(policy::get::handle).put(policy::put::handle).layer(large))
        .route("/api/v1/tokens", get(tokens::list::handle).post(tokens::create::handle))
        .route("/api/v1/tokens/{token}", delete(tokens::revoke::handle))
        .route("/api/v1/peers", post(peers::add::handle))
        .route("/api/v1/peers/{peer}/configuration", get(peers::configuration::handle))
        .fallback(async || Problem::not_found("there is nothing at this address: see /api/v1/openapi.json"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
}

/// The listening end of the API.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    router: Router,
}

impl HttpServer {
    /// Binds the TCP port.
    pub async fn bind(address: SocketAddr, app: App) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, router: router(app) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is ready; requests under way are answered.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        axum::serve(self.listener, self.router).with_graceful_shutdown(stop).await
    }
}
