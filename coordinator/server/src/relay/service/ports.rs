//! The relayed ports: a socket for each allocation.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};

use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};

use super::{MAX_DATAGRAM, Shared};
use crate::relay::{Parity, Ports, Relay};
use crate::sockets::bind_udp;

/// RFC 8656 §7.2: relayed ports come from the dynamic range.
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;
/// Ports that are tried before there is none.
const ATTEMPTS: usize = 32;

/// The sockets of allocations, each with a task that receives.
#[derive(Debug)]
pub(super) struct OpenPorts {
    shared: Weak<Shared>,
    ports: HashMap<SocketAddr, (Arc<UdpSocket>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl OpenPorts {
    pub(super) fn new(shared: Weak<Shared>) -> Self {
        Self { shared, ports: HashMap::new(), tasks: JoinSet::new() }
    }

    pub(super) fn send(&self, relayed: SocketAddr, peer: SocketAddr, bytes: &[u8]) {
        if let Some((socket, _)) = self.ports.get(&relayed) {
            // A full buffer loses datagrams, as the network does.
            let _ = socket.try_send_to(bytes, peer);
        }
    }

    /// Forgets tasks that have ended.
    pub(super) fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }
}

impl Ports for OpenPorts {
    fn open(&mut self, address: IpAddr, parity: Parity) -> Option<SocketAddr> {
        for _ in 0..ATTEMPTS {
            let mut random = [0; 2];
            getrandom::fill(&mut random).ok()?;
            let any = u16::from_be_bytes(random) | *PORTS.start();
            let port = match parity {
                Parity::Any => any,
                Parity::Even => any & !1,
            };
            let relayed = SocketAddr::new(address, port);
            if self.ports.contains_key(&relayed) {
                continue;
            }
            let Some(socket) = bind_relayed(relayed) else { continue };
            let socket = Arc::new(UdpSocket::from_std(socket).ok()?);
            let task = self.tasks.spawn(receive(self.shared.clone(), socket.clone(), relayed));
            self.ports.insert(relayed, (socket, task));
            return Some(relayed);
        }
        None
    }

    fn close(&mut self, relayed: SocketAddr) {
        if let Some((_, task)) = self.ports.remove(&relayed) {
            task.abort();
        }
    }
}

/// Binds at the address, or at all addresses of this machine if a NAT before it has that address.
fn bind_relayed(relayed: SocketAddr) -> Option<std::net::UdpSocket> {
    let unspecified: IpAddr = match relayed.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    match bind_udp(relayed) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            bind_udp(SocketAddr::new(unspecified, relayed.port())).ok()
        }
        bound => bound.ok(),
    }
}

/// Hands what peers send to a relayed port to its client.
async fn receive(shared: Weak<Shared>, socket: Arc<UdpSocket>, relayed: SocketAddr) {
    let mut buffer = vec![0; Relay::HEADROOM + MAX_DATAGRAM];
    loop {
        let Some(room) = buffer.get_mut(Relay::HEADROOM..) else { return };
        match socket.recv_from(room).await {
            Ok((length, from)) => {
                let Some(filled) = buffer.get_mut(..Relay::HEADROOM + length) else { continue };
                let peer = SocketAddr::new(from.ip().to_canonical(), from.port());
                let Some(shared) = shared.upgrade() else { return };
                shared.hear_peer(relayed, peer, filled);
            }
            // ICMP errors of what was sent: the peer's affair.
            Err(error) => tracing::trace!(%error, %relayed, "relayed port"),
        }
    }
}
