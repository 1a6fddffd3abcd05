//! STUN (RFC 8489): tells a node what address and port it is seen with, and, from a second port and where there is
//! one a second address, what its NAT does (RFC 5780).

mod answer;
mod limit;

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::sockets::bind_udp;
use answer::{Ports, Reply, reply};
use limit::Limit;

/// The kernel may hand over several datagrams of one sender at once.
const BUFFER: usize = 65_536;

/// Where to listen.
#[derive(Clone, Debug)]
pub struct StunSettings {
    pub address: SocketAddr,
    /// None: the next port, if it is free.
    pub other_port: Option<u16>,
    /// Further addresses of this machine, to answer from when a node asks for it.
    pub other_addresses: Vec<IpAddr>,
}

/// The STUN ports.
#[derive(Debug)]
pub struct StunServer {
    local: SocketAddr,
    sockets: Vec<Socket>,
    ports: Ports,
    others: Vec<IpAddr>,
    limit: Mutex<Limit>,
}

#[derive(Debug)]
struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl StunServer {
    /// Binds the UDP ports.
    ///
    /// # Errors
    /// With the address that cannot be bound.
    pub fn bind(settings: &StunSettings) -> Result<Self, (SocketAddr, io::Error)> {
        let StunSettings { address, other_port, other_addresses: others } = settings;
        let first = Socket::bind(*address)?;
        let wanted = match (other_port, address.port()) {
            (Some(port), _) => *port,
            (None, 0) => 0,
            (None, _) => first.local.port().checked_add(1).unwrap_or_default(),
        };
        let second = match (Socket::bind(SocketAddr::new(address.ip(), wanted)), other_port) {
            (Ok(second), _) => Some(second),
            (Err((address, error)), None) => {
                tracing::warn!(%address, %error, "no second STUN port: nodes learn less of their NATs (--stun-other-port)");
                None
            }
            (Err(error), Some(_)) => return Err(error),
        };
        let ports =
            Ports { first: first.local.port(), second: second.as_ref().map(|second| second.local.port()) };
        let local = first.local;
        let mut sockets: Vec<Socket> = [Some(first), second].into_iter().flatten().collect();
        for other in others {
            if address.ip().is_unspecified() {
                // Only to see that it is ours.
                Socket::bind(SocketAddr::new(*other, 0))?;
                continue;
            }
            for port in [Some(ports.first), ports.second].into_iter().flatten() {
                sockets.push(Socket::bind(SocketAddr::new(*other, port))?);
            }
        }
        Ok(Self { local, sockets, ports, others: others.clone(), limit: Mutex::default() })
    }

    /// Where it listens first of all.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The second port.
    pub fn other_port(&self) -> Option<u16> {
        self.ports.second
    }

    /// Answers binding requests for ever.
    pub async fn serve(self) {
        let server = std::sync::Arc::new(self);
        let mut tasks = JoinSet::new();
        for number in 0..server.sockets.len() {
            let server = std::sync::Arc::clone(&server);
            tasks.spawn(async move {
                if let Some(socket) = server.sockets.get(number) {
                    server.answer_at(socket).await;
                }
            });
        }
        // They end with this future, which drops them.
        while tasks.join_next().await.is_some() {}
    }

    async fn answer_at(&self, socket: &Socket) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let meta = match socket.receive(&mut buffer).await {
                Ok(meta) => meta,
                // ICMP errors of earlier answers arrive here; they concern nobody.
                Err(error) => {
                    tracing::trace!(%error, "STUN");
                    continue;
                }
            };
            let ip = meta.dst_ip.map_or(socket.local.ip(), |ip| ip.to_canonical());
            let at = SocketAddr::new(ip, socket.local.port());
            let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            for datagram in buffer.get(..meta.len).unwrap_or_default().chunks(meta.stride.max(1)) {
                if !self
                    .limit
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .admits(from.ip(), Instant::now())
                {
                    continue;
                }
                if let Some(reply) = reply(datagram, at, from, self.ports, &self.others) {
                    self.send(&reply);
                }
            }
        }
    }

    /// A full buffer loses datagrams, as the network does: the node asks again.
    fn send(&self, reply: &Reply) {
        let ip = reply.from.ip();
        let fits = |socket: &&Socket| {
            let bound = socket.local.ip();
            socket.local.port() == reply.from.port()
                && (bound.is_unspecified() || ip.is_unspecified() || bound == ip)
        };
        let Some(socket) = self.sockets.iter().find(fits) else { return };
        if let Err(error) = socket.send(&reply.datagram, (!ip.is_unspecified()).then_some(ip), reply.to) {
            tracing::trace!(%error, "a STUN answer was not sent");
        }
    }
}

impl Socket {
    fn bind(address: SocketAddr) -> Result<Self, (SocketAddr, io::Error)> {
        let bind = || {
            let io = UdpSocket::from_std(bind_udp(address)?)?;
            let state = UdpSocketState::new((&io).into())?;
            let local = io.local_addr()?;
            Ok(Self { io, state, local })
        };
        bind().map_err(|error| (address, error))
    }

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<RecvMeta> {
        let mut meta = [RecvMeta::default()];
        self.io
            .async_io(Interest::READABLE, || {
                self.state.recv((&self.io).into(), &mut [IoSliceMut::new(buffer)], &mut meta)
            })
            .await?;
        let [meta] = meta;
        Ok(meta)
    }

    fn send(&self, datagram: &[u8], from: Option<IpAddr>, to: SocketAddr) -> io::Result<()> {
        let destination = match to {
            SocketAddr::V4(to) if self.local.is_ipv6() => {
                SocketAddr::new(to.ip().to_ipv6_mapped().into(), to.port())
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => to,
        };
        let transmit =
            Transmit { destination, ecn: None, contents: datagram, segment_size: None, src_ip: from };
        self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), &transmit))
    }
}
