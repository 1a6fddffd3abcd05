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
    /// One for each that has not been greeted.
    unproven: Arc<Semaphore>,
}

impl TcpDoor {
    pub(super) fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self { listener, acceptor, unproven: Arc::new(Semaphore::new(UNPROVEN_HANDSHAKES)) }
    }

    /// The next that connects; it is hung up on while too many have not been greeted. May be dropped and called
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

    /// The handshake: who it is, and the stream to it. By TCP with a permit to be held until it is greeted: anybody
    /// can make a key and end a handshake.
    pub(super) async fn open(
        self,
    ) -> Result<(IdentityKey, Stream, Option<OwnedSemaphorePermit>), ConnectionError> {
        match self {
            Self::Quic(incoming) => {
                let connection = (*incoming).await?;
                let identity = connection
                    .peer_identity()
                    .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
                    .and_then(|certificates| peer_identity(&certificates))
                    .ok_or(ConnectionError::NoIdentity)?;
                let (outgoing, incoming) = connection.accept_bi().await?;
                Ok((identity, Stream::quic(connection, outgoing, incoming), None))
            }
            Self::Tls { tcp, acceptor, unproven, .. } => {
                let tls = acceptor.accept(tcp).await.map_err(ConnectionError::Tls)?;
                let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
                let identity = peer_identity(certificates).ok_or(ConnectionError::NoIdentity)?;
                Ok((identity, Stream::tls(tls), Some(unproven)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::ServerName;
    use tokio_rustls::TlsConnector;
    use twinmesh_control::{IdentityKeyPair, PinnedCoordinator, client_config, server_config};

    use super::*;

    /// A node that ends its handshake and then says nothing.
    async fn silent(
        address: SocketAddr,
        hub: &IdentityKeyPair,
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let node = IdentityKeyPair::generate().unwrap();
        let config = client_config(&node, PinnedCoordinator::new(hub.public().fingerprint())).unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("coordinator").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
    }

    #[tokio::test]
    async fn who_has_shown_a_key_keeps_its_place_among_the_strangers_until_it_is_greeted() {
        let hub = IdentityKeyPair::generate().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&hub).unwrap()));
        let door = TcpDoor { listener, acceptor, unproven: Arc::new(Semaphore::new(1)) };

        let open = async { door.accept().await.unwrap().unwrap().open().await.unwrap() };
        let (_first, (_, _stream, place)) = tokio::join!(silent(address, &hub), open);
        let _second = TcpStream::connect(address).await.unwrap();
        assert!(door.accept().await.unwrap().is_none(), "a second stranger is let in");
        drop(place);
        let _third = TcpStream::connect(address).await.unwrap();
        assert!(door.accept().await.unwrap().is_some());
    }
}
