//! Whoever connects, until it has proved who it is: by QUIC, or by TLS over TCP where UDP is blocked.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Incoming;
use rustls_pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use twinmesh_control::{IdentityKey, peer_identity};

use super::connection::ConnectionError;
use super::stream::Stream;
use super::{IDLE_TIMEOUT, UNPROVEN_HANDSHAKES};

/// Between the kernel's questions whether a silent node is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Listens by TCP, at the port that QUIC has in UDP.
pub(super) struct TcpDoor {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    /// One for each that has not said who it is.
    unproven: Arc<Semaphore>,
}

impl TcpDoor {
    pub(super) fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self { listener, acceptor, unproven: Arc::new(Semaphore::new(UNPROVEN_HANDSHAKES)) }
    }

    /// The next that connects; it is hung up on while too many have not said who they are. May be dropped and called
    /// again: it only waits.
    pub(super) async fn accept(&self) -> io::Result<Option<Arrival>> {
        let (tcp, remote) = self.listener.accept().await?;
        let Ok(unproven) = Arc::clone(&self.unproven).try_acquire_owned() else { return Ok(None) };
        let socket = SockRef::from(&tcp);
        let keepalive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE).with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
        // Also where what was sent stays unacknowledged.
        socket.set_tcp_user_timeout(Some(IDLE_TIMEOUT))?;
        socket.set_tcp_nodelay(true)?;
        Ok(Some(Arrival::Tls { tcp, remote, acceptor: self.acceptor.clone(), unproven }))
    }
}

pub(super) enum Arrival {
    Quic(Box<Incoming>),
    Tls { tcp: TcpStream, remote: SocketAddr, acceptor: TlsAcceptor, unproven: OwnedSemaphorePermit },
}

impl Arrival {
    pub(super) fn remote(&self) -> SocketAddr {
        match self {
            Self::Quic(incoming) => incoming.remote_address(),
            Self::Tls { remote, .. } => *remote,
        }
    }

    /// The handshake: who it is, and the stream to it.
    pub(super) async fn open(self) -> Result<(IdentityKey, Stream), ConnectionError> {
        match self {
            Self::Quic(incoming) => {
                let connection = (*incoming).await?;
                let identity = connection
                    .peer_identity()
                    .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
                    .and_then(|certificates| peer_identity(&certificates))
                    .ok_or(ConnectionError::NoIdentity)?;
                let (outgoing, incoming) = connection.accept_bi().await?;
                Ok((identity, Stream::quic(connection, outgoing, incoming)))
            }
            Self::Tls { tcp, acceptor, unproven, .. } => {
                let tls = acceptor.accept(tcp).await.map_err(ConnectionError::Tls)?;
                let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
                let identity = peer_identity(certificates).ok_or(ConnectionError::NoIdentity)?;
                drop(unproven);
                Ok((identity, Stream::tls(tls)))
            }
        }
    }
}
