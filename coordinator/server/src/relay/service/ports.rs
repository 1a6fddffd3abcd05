//! The relayed ports: a socket for each allocation.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};

use tokio::task::{AbortHandle, JoinSet};

use super::Shared;
use super::socket::Socket;
use crate::relay::{Parity, Ports};
use crate::sockets::bind_udp;

/// RFC 8656 §7.2: relayed ports come from the dynamic range.
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;
/// Ports that are tried before there is none.
const ATTEMPTS: usize = 32;
/// What the kernel holds for each, in bytes.
const BUFFER: usize = 1024 * 1024;

/// The sockets of allocations, each with a task that receives.
#[derive(Debug)]
pub(super) struct OpenPorts {
    shared: Weak<Shared>,
    ports: HashMap<SocketAddr, (Arc<Socket>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl OpenPorts {
    pub(super) fn new(shared: Weak<Shared>) -> Self {
        Self { shared, ports: HashMap::new(), tasks: JoinSet::new() }
    }

    pub(super) fn socket(&self, relayed: SocketAddr) -> Option<Arc<Socket>> {
        self.ports.get(&relayed).map(|(socket, _)| socket.clone())
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
            let socket = Arc::new(Socket::new(socket, BUFFER).ok()?);
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
async fn receive(shared: Weak<Shared>, socket: Arc<Socket>, relayed: SocketAddr) {
    while socket.readable().await.is_ok() {
        let Some(shared) = shared.upgrade() else { return };
        shared.hear_peers(relayed, &socket);
    }
}
