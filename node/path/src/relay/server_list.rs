//! The relays of the network, and which of them are not worth a try for a while.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{RelayServer, Transport};

/// A network has few relays; what the coordinator lists beyond is not used.
pub const MAX_RELAYS: usize = 16;
/// After a refusal, and at most after several.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_mins(5);

/// All relays, in the coordinator's order.
#[derive(Default)]
pub(super) struct ServerList(Vec<Server>);

struct Server {
    relay: RelayServer,
    /// Until when it is not tried, and how long that is.
    rest: Option<(Instant, Duration)>,
}

impl ServerList {
    /// Replaces the relays; what is known of those that stay is kept.
    pub(super) fn set(&mut self, relays: impl IntoIterator<Item = RelayServer>) {
        let mut servers: Vec<Server> = Vec::new();
        for relay in relays {
            let is_same = |server: &Server| server.is(relay.address, relay.transport);
            if servers.len() < MAX_RELAYS && !servers.iter().any(is_same) {
                let rest = self.0.iter().find(|server| is_same(server)).and_then(|server| server.rest);
                servers.push(Server { relay, rest });
            }
        }
        self.0 = servers;
    }

    pub(super) fn get(&self, address: SocketAddr, transport: Transport) -> Option<&RelayServer> {
        self.0.iter().find(|server| server.is(address, transport)).map(|server| &server.relay)
    }

    /// By one transport.
    pub(super) fn addresses(&self, transport: Transport) -> impl Iterator<Item = SocketAddr> {
        let servers = self.0.iter().filter(move |server| server.relay.transport == transport);
        servers.map(|server| server.relay.address)
    }

    /// By one transport, without those that are not worth a try now.
    pub(super) fn usable(&self, transport: Transport, now: Instant) -> impl Iterator<Item = SocketAddr> {
        let usable = move |server: &&Server| {
            server.relay.transport == transport && server.rest.is_none_or(|(until, _)| until <= now)
        };
        self.0.iter().filter(usable).map(|server| server.relay.address)
    }

    pub(super) fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().map(|server| server.relay.address.ip())
    }

    /// It is not tried for a while, longer each time.
    pub(super) fn failed(&mut self, address: SocketAddr, transport: Transport, now: Instant) {
        if let Some(server) = self.0.iter_mut().find(|server| server.is(address, transport)) {
            let length = server.rest.map_or(FIRST_REST, |(_, length)| (length * 2).min(LONGEST_REST));
            server.rest = Some((now + length, length));
        }
    }

    pub(super) fn served(&mut self, address: SocketAddr, transport: Transport) {
        if let Some(server) = self.0.iter_mut().find(|server| server.is(address, transport)) {
            server.rest = None;
        }
    }

    /// In another network they may serve.
    pub(super) fn forget_failures(&mut self) {
        self.0.iter_mut().for_each(|server| server.rest = None);
    }

    /// When a relay is worth a try again.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.0.iter().filter_map(|server| server.rest).map(|(until, _)| until).filter(|at| *at > now).min()
    }
}

impl Server {
    fn is(&self, address: SocketAddr, transport: Transport) -> bool {
        self.relay.address == address && self.relay.transport == transport
    }
}
