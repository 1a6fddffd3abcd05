//! The control channel: a QUIC server that nodes keep one connection to.

mod connection;
mod greeting;
mod relays;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig};
use tokio::task::JoinSet;
use twinmesh_control::{IdentityKeyPair, TlsError, server_config};

use crate::mesh::Mesh;
use crate::sockets::bind_udp;
pub use relays::{RelayGrants, RelayPlace};

/// Nodes send a keepalive each 5 s; after this silence a connection is dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// A handshake and the first message take no longer.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// With so many handshakes under way, whoever connects has to prove its address first.
const UNPROVEN_HANDSHAKES: usize = 256;
/// How long to wait at the end for nodes to hear of it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The control channel cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the identity key cannot serve QUIC: {0}")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    #[error("cannot listen for nodes on UDP {address}: {source}; is another coordinator running? (--listen)")]
    Listen { address: SocketAddr, source: io::Error },
}

/// What every connection needs to know.
#[derive(Clone, Debug)]
pub struct Greetings {
    pub mesh: Mesh,
    /// UDP port where nodes ask for their outer address.
    pub stun_port: u16,
    /// A second one at the same address.
    pub stun_other_port: Option<u16>,
    pub relays: RelayGrants,
}

/// The listening end of the control channel.
#[derive(Debug)]
pub struct ControlServer {
    endpoint: Endpoint,
    greetings: Greetings,
}

impl ControlServer {
    /// Binds the UDP port.
    pub fn bind(
        address: SocketAddr,
        identity: &IdentityKeyPair,
        greetings: Greetings,
    ) -> Result<Self, ControlError> {
        let quic = QuicServerConfig::try_from(server_config(identity)?)?;
        let mut config = ServerConfig::with_crypto(Arc::new(quic));
        config.transport_config(Arc::new(transport()));
        let listen = |source| ControlError::Listen { address, source };
        let socket = bind_udp(address).map_err(listen)?;
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
            .map_err(listen)?;
        Ok(Self { endpoint, greetings })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Serves nodes until `stop` is ready, then tells them and waits for a moment.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            // Each branch only receives, and so loses nothing when another one wins.
            tokio::select! {
                () = &mut stop => break,
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(incoming, &mut connections),
                    None => break,
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a control connection has failed");
                    }
                }
            }
        }
        self.endpoint.close(0_u32.into(), b"the coordinator ends");
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.endpoint.wait_idle()).await;
        // What is left takes note of its end and goes.
        let _ =
            tokio::time::timeout(CLOSE_TIMEOUT, async { while connections.join_next().await.is_some() {} })
                .await;
    }

    fn admit(&self, incoming: Incoming, connections: &mut JoinSet<()>) {
        let busy = self.endpoint.open_connections() >= UNPROVEN_HANDSHAKES + self.greetings.mesh.online();
        if busy && incoming.may_retry() {
            // Only fails if it was a retry already.
            incoming.retry().ok();
            return;
        }
        let greetings = self.greetings.clone();
        connections.spawn(async move {
            let remote = incoming.remote_address();
            match connection::serve(incoming, greetings).await {
                Ok(()) => {}
                // Someone speaks our protocol wrongly: an administrator may want to know who.
                Err(error) if error.is_fault() => tracing::warn!(%error, %remote, "a malformed message"),
                Err(error) => tracing::debug!(%error, %remote, "a control connection has ended"),
            }
        });
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(IDLE_TIMEOUT.try_into().ok());
    // The node opens one stream, which carries everything.
    transport.max_concurrent_bidi_streams(1_u8.into());
    transport.max_concurrent_uni_streams(0_u8.into());
    transport.datagram_receive_buffer_size(None);
    // Two whole frames of a node; ten thousand nodes must not need more.
    let window = 2 * u32::try_from(twinmesh_control::MAX_NODE_FRAME).unwrap_or(u32::MAX);
    transport.stream_receive_window(window.into());
    transport.receive_window(window.into());
    transport
}
