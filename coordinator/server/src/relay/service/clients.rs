//! The port that clients speak to by UDP: a socket for each worker, between which the kernel spreads the clients.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::SockRef;
use tokio::sync::Notify;
use twinmesh_control::NodeId;

use super::fair::Fair;
use super::outbox::Run;
use super::socket::{Full, Socket, Way};
use crate::sockets::{bind_udp, bind_udp_beside};

/// What the kernel holds for each socket, in bytes: some milliseconds at full speed.
const BUFFER: usize = 4 * 1024 * 1024;

/// One worker's socket, and what waits while it is full.
#[derive(Debug)]
pub(super) struct ClientSocket {
    pub(super) socket: Socket,
    waiting: Mutex<Fair<Waiting>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Waiting {
    way: Way,
    size: usize,
    bytes: Box<[u8]>,
}

impl ClientSocket {
    /// So many sockets at one address. The first is bound for itself alone, so a port that another program has is
    /// refused.
    pub(super) fn bind(address: SocketAddr, number: usize) -> io::Result<Vec<Self>> {
        let first = bind_udp(address)?;
        let local = first.local_addr()?;
        SockRef::from(&first).set_reuse_port(true)?;
        let mut sockets = vec![first];
        for _ in 1..number {
            sockets.push(bind_udp_beside(local)?);
        }
        sockets
            .into_iter()
            .map(|socket| {
                let socket = Socket::new(socket, BUFFER)?;
                Ok(Self { socket, waiting: Mutex::default(), arrived: Notify::new() })
            })
            .collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Fair<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is charged to a node, now or in its turn; false if there is no room for it.
    pub(super) fn send(&self, node: NodeId, Run { way, size, bytes, .. }: &Run) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_empty() && self.socket.send(way, *size, bytes).is_ok() {
            return true;
        }
        let taken =
            waiting.push(node, bytes.len(), Waiting { way: *way, size: *size, bytes: bytes[..].into() });
        drop(waiting);
        self.arrived.notify_one();
        taken
    }

    /// Sends what waits as soon as there is room, for ever.
    pub(super) async fn drain(&self) {
        loop {
            if self.waiting().is_empty() {
                self.arrived.notified().await;
            }
            if self.socket.writable().await.is_err() {
                return;
            }
            let mut waiting = self.waiting();
            while let Some(Waiting { way, size, bytes }) = waiting.front() {
                if self.socket.send(way, *size, bytes) == Err(Full) {
                    break;
                }
                waiting.pop();
            }
        }
    }
}
