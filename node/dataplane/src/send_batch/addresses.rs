//! Where the datagrams of a batch go.

use std::net::{IpAddr, SocketAddr};

use socket2::SockAddr;

use crate::raw::RawSocket;
use crate::udp::UdpPort;

/// Where the queued datagrams go, in the form that sockets take: neighbours share theirs, which is longer than what else is
/// known of a datagram.
pub(super) struct Addresses {
    all: Vec<SockAddr>,
    /// What the last one is of, if of UDP.
    last: Option<SocketAddr>,
}

impl Addresses {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { all: Vec::with_capacity(capacity), last: None }
    }

    /// The place of an address of UDP; `None` where the socket has none for it.
    pub(super) fn of_udp(&mut self, to: SocketAddr, udp: &UdpPort) -> Option<usize> {
        if self.last != Some(to) {
            self.all.push(udp.address(to)?);
            self.last = Some(to);
        }
        self.all.len().checked_sub(1)
    }

    pub(super) fn of_raw(&mut self, to: IpAddr) -> usize {
        self.all.push(RawSocket::address(to));
        self.last = None;
        self.all.len() - 1
    }

    pub(super) fn all(&self) -> &[SockAddr] {
        &self.all
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.last = None;
    }
}
