//! A coordinator in this process, nodes that speak the real frames to it, and an HTTP client.

mod api;
mod node;
mod program;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use twinmesh_control::{JoinToken, NodeId, Preference};
use twinmesh_coordinator::serve::{Coordinator, Settings};
use twinmesh_coordinator::stun::StunSettings;

pub use api::Api;
pub use node::{Node, Session};
pub use program::{Program, run};

/// Long enough for a loaded machine, never waited out in a good run.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// What is waited for, or a panic that names it.
pub async fn within<T>(what: &str, waited: impl Future<Output = T>) -> T {
    timeout(DEADLINE, waited).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Gives what `holds` gives as soon as it gives something.
pub async fn until<T>(what: &str, mut holds: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = holds().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A coordinator with a folder of its own.
pub struct Hub {
    pub folder: TempDir,
    pub api: Api,
    pub control: std::net::SocketAddr,
    pub stun: std::net::SocketAddr,
    pub password: Option<String>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Hub {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// With other settings than those of most tests.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    async fn start_in(folder: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let free = "127.0.0.1:0".parse().unwrap();
        let mut settings = Settings {
            data: data(&folder),
            listen: free,
            http: free,
            http_insecure: false,
            stun: StunSettings { address: free, other_port: None, other_addresses: Vec::new() },
            relay: None,
            other_relays: Vec::new(),
            network_name: "test".to_owned(),
            advertise: Some("hub.test".to_owned()),
        };
        change(&mut settings);
        let mut coordinator = Coordinator::start(&settings).await.unwrap();
        let token = std::fs::read_to_string(settings.data.join("api-token")).unwrap();
        let api = Api { address: coordinator.http_address().unwrap(), token: Some(token) };
        let (control, stun) = (coordinator.control_address().unwrap(), coordinator.stun_address());
        let password = coordinator.first_password.take().map(|password| password.0.to_string());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(coordinator.serve(async move {
            stopped.await.ok();
        }));
        Self { folder, api, control, stun, password, stop, served }
    }

    /// Ends in order and starts again on the same folder.
    pub async fn restart(self) -> Self {
        self.stop.send(()).unwrap();
        within("the end of the coordinator", self.served).await.unwrap();
        Self::start_in(self.folder, |_| ()).await
    }

    pub fn database(&self) -> PathBuf {
        data(&self.folder).join("coordinator.db")
    }

    /// A join token, with fields of the request beside the defaults.
    pub async fn token(&self, request: Value) -> JoinToken {
        let made = self.api.post("/api/v1/tokens", &request).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body["secret"].as_str().unwrap().parse().unwrap()
    }

    /// A node that has joined and has its first map.
    pub async fn joined(&self, name: &str) -> (Node, Session) {
        self.joined_preferring(name, Preference::Auto).await
    }

    /// The same with a wish from the start.
    pub async fn joined_preferring(&self, name: &str, preference: Preference) -> (Node, Session) {
        let token = self.token(json!({})).await;
        let node = Node::new(self, &token).preferring(preference);
        let session = node.enrolled(&token, name).await;
        (node, session)
    }

    pub async fn remove(&self, id: NodeId) {
        assert_eq!(self.api.delete(&format!("/api/v1/nodes/{id}")).await.status, 204);
    }

    pub async fn nodes(&self) -> Vec<Value> {
        self.api.get("/api/v1/nodes").await.body["nodes"].as_array().unwrap().clone()
    }
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}
