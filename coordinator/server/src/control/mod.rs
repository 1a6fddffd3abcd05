//! The control channel: a QUIC server that nodes keep one connection to; TLS over TCP for those whose UDP is blocked.

mod arrival;
mod connection;
mod doubts;
mod greeting;
mod pace;
mod relays;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use twinmesh_control::{IdentityKeyPair, TlsError, server_config};

use self::arrival::{Arrival, TcpDoor};
use crate::mesh::Mesh;
use crate::sockets::{bind_both, bind_udp};
pub use relays::{OtherRelay, RelayGrants, RelayPlace, Speaks};

/// Nodes send a keepalive each 5 s; after this silence a connection is dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// A handshake and the first message take no longer.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// With so many handshakes under way, whoever connects has to prove its address first.
const UNPROVEN_HANDSHAKES: usize = 256;
/// After the kernel refused a TCP connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
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
pub struct ControlServer {
    endpoint: Endpoint,
    door: Option<TcpDoor>,
    greetings: Greetings,
}

impl ControlServer {
    /// Binds the UDP port, and the same in TCP; where another program has that, nodes come by UDP only.
    pub fn bind(
        address: SocketAddr,
        identity: &IdentityKeyPair,
        greetings: Greetings,
    ) -> Result<Self, ControlError> {
        let tls = server_config(identity)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls.clone()));
        let quic = QuicServerConfig::try_from(tls)?;
        let mut config = ServerConfig::with_crypto(Arc::new(quic));
        config.transport_config(Arc::new(transport()));
        let listen = |source| ControlError::Listen { address, source };
        let udp = || bind_udp(address).and_then(|socket| socket.local_addr().map(|local| (socket, local)));
        let (socket, taken, tcp) = bind_both(address, udp).map_err(listen)?;
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
            .map_err(listen)?;
        let door = match tcp {
            Ok(listener) => Some(TcpDoor::new(listener, acceptor)),
            Err(error) => {
                tracing::warn!(%error, address = %taken, "nodes whose UDP is blocked cannot connect: no TCP port");
                None
            }
        };
        Ok(Self { endpoint, door, greetings })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Serves nodes until `stop` is ready, then tells them and waits for a moment.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let mut door_opens = Instant::now();
        tokio::pin!(stop);
        loop {
            // Each branch only receives or sleeps, and so loses nothing when another one wins.
            tokio::select! {
                () = &mut stop => break,
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(incoming, &mut connections),
                    None => break,
                },
                arrival = knock(self.door.as_ref(), door_opens) => match arrival {
                    Ok(Some(arrival)) => self.attend(arrival, &mut connections),
                    Ok(None) => tracing::debug!("too many TCP connections have not been greeted"),
                    Err(error) => {
                        tracing::warn!(%error, "a TCP connection was not accepted");
                        // Such as too many open files: nothing is won by asking again at once.
                        door_opens = Instant::now() + ACCEPT_PAUSE;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a control connection has failed");
                    }
                }
            }
        }
        self.endpoint.close(0_u32.into(), b"the coordinator ends");
        let _ = timeout(CLOSE_TIMEOUT, self.endpoint.wait_idle()).await;
        // What is left takes note of its end and goes.
        let _ = timeout(CLOSE_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
    }

    fn admit(&self, incoming: Incoming, connections: &mut JoinSet<()>) {
        let busy = self.endpoint.open_connections() >= UNPROVEN_HANDSHAKES + self.greetings.mesh.online();
        if busy && incoming.may_retry() {
            // Only fails if it was a retry already.
            incoming.retry().ok();
            return;
        }
        self.attend(Arrival::Quic(Box::new(incoming)), connections);
    }

    fn attend(&self, arrival: Arrival, connections: &mut JoinSet<()>) {
        let greetings = self.greetings.clone();
        connections.spawn(async move {
            let remote = arrival.remote();
            match connection::serve(arrival, greetings).await {
                Ok(()) => {}
                // Someone speaks our protocol wrongly: an administrator may want to know who.
                Err(error) if error.is_fault() => tracing::warn!(%error, %remote, "a malformed message"),
                Err(error) => tracing::debug!(%error, %remote, "a control connection has ended"),
            }
        });
    }
}

/// The next by TCP after `opens`, if there is such a port.
async fn knock(door: Option<&TcpDoor>, opens: Instant) -> io::Result<Option<Arrival>> {
    match door {
        Some(door) => {
            sleep_until(opens).await;
            door.accept().await
        }
        None => std::future::pending().await,
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
