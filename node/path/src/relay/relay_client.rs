//! What comes in and what goes out.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use stun_types::message::{BINDING, Message};

use super::carriers::Carriers;
use super::choice::Choice;
use super::client::Client;
use super::home::{Homes, Role};
use super::latency::Latency;
use super::message::data_indication;
use super::server_list::ServerList;
use super::{Event, Home, Received, RelayServer, Transmit, Transport, Trouble};
use crate::message::{self, canonical};

/// The client of all relays of a network. After each call drain [`Self::poll_transmit`] and [`Self::poll_event`]; then
/// wait for the next input or for [`Self::poll_timeout`], whose end is [`Self::handle_timeout`].
pub struct RelayClient {
    pub(super) servers: ServerList,
    pub(super) latencies: Vec<Latency>,
    pub(super) choice: Choice,
    pub(super) homes: Homes,
    /// When the first choice is made.
    pub(super) settle: Option<Instant>,
    /// When the next home's stream is given up.
    pub(super) connect_by: Option<Instant>,
    pub(super) carriers: Carriers,
    pub(super) in_use: BTreeSet<SocketAddr>,
    told: Option<Home>,
    pub(super) random: fastrand::Rng,
    pub(super) transmits: VecDeque<Transmit>,
    pub(super) events: VecDeque<Event>,
}

impl RelayClient {
    /// Without relays. `random` makes transaction ids: it must not be foreseeable from outside.
    pub fn new(random: fastrand::Rng) -> Self {
        Self {
            servers: ServerList::default(),
            latencies: Vec::new(),
            choice: Choice::default(),
            homes: Homes::default(),
            settle: None,
            connect_by: None,
            carriers: Carriers::default(),
            in_use: BTreeSet::new(),
            told: None,
            random,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The relays from now on, the first [`MAX_RELAYS`](super::MAX_RELAYS) of them. Those that stay go on serving, and
    /// are given the new credentials.
    pub fn set_servers(&mut self, relays: impl IntoIterator<Item = RelayServer>, now: Instant) {
        self.servers.set(relays);
        let by_udp: Vec<SocketAddr> = self.servers.addresses(Transport::Udp).collect();
        self.latencies.retain(|latency| by_udp.contains(&latency.server));
        for server in by_udp {
            if !self.latencies.iter().any(|latency| latency.server == server) {
                self.latencies.push(Latency::new(server, now));
            }
        }
        let mut gone = Vec::new();
        for (role, client) in self.homes.all_mut() {
            match self.servers.get(client.server, client.transport) {
                Some(relay) => client.set_credential(&relay.credential),
                None => gone.push((role, client.server, client.transport)),
            }
        }
        for (role, server, transport) in gone {
            self.remove(role, server, transport, now);
        }
        self.permit(now);
        self.drive(now);
    }

    /// Where peers are reached at relays, of the whole map.
    pub fn set_peers(&mut self, peers: BTreeSet<SocketAddr>, now: Instant) {
        self.carriers.list(peers);
        self.permit(now);
        self.carriers.update(self.homes.home.as_ref(), &mut self.events);
        self.drive(now);
    }

    /// Which of them packets go to now: these get channels, and the relay is watched closely.
    pub fn set_in_use(&mut self, peers: BTreeSet<SocketAddr>, now: Instant) {
        if self.in_use != peers {
            self.in_use = peers;
            for (_, client) in self.homes.all_mut() {
                client.set_in_use(&self.in_use, now);
            }
            self.drive(now);
        }
    }

    /// This machine's addresses or routes changed.
    pub fn network_changed(&mut self, now: Instant) {
        self.servers.forget_failures();
        self.choice = Choice::default();
        self.latencies.iter_mut().for_each(|latency| latency.forget(now));
        self.homes.all_mut().for_each(|(_, client)| client.ask_now(now));
        self.drive(now);
    }

    /// Gives everything back: the node leaves the network.
    pub fn close(&mut self, now: Instant) {
        self.set_servers([], now);
    }

    /// A STUN message arrived on the shared port.
    pub fn handle_datagram<'a>(
        &mut self,
        from: SocketAddr,
        datagram: &'a [u8],
        now: Instant,
    ) -> Received<'a> {
        let from = canonical(from);
        if let Some(latency) = self.latencies.iter_mut().find(|latency| latency.server == from)
            && let Some(message::Received::Answer(answer)) = message::read(datagram)
        {
            if !latency.handle_answer(&answer, now) {
                return Received::Foreign;
            }
            self.drive(now);
            return Received::Taken;
        }
        self.handle(from, Transport::Udp, datagram, now)
    }

    /// A STUN message arrived by the stream from that relay.
    pub fn handle_message<'a>(
        &mut self,
        server: SocketAddr,
        message: &'a [u8],
        now: Instant,
    ) -> Received<'a> {
        self.handle(server, Transport::Tls, message, now)
    }

    /// The stream that [`Event::Connect`] asked for stands.
    pub fn handle_connected(&mut self, server: SocketAddr, now: Instant) {
        if let Some(client) = self.homes.of(server, Transport::Tls) {
            client.connected(now);
        }
        self.drive(now);
    }

    /// There is no stream to that relay, or it has ended.
    pub fn handle_disconnected(&mut self, server: SocketAddr, now: Instant) {
        if let Some(role) = self.homes.role(server, Transport::Tls) {
            self.failed(role, server, Transport::Tls, Trouble::Disconnected, now);
        }
        self.drive(now);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.drive(now);
    }

    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let latencies = self.latencies.iter().map(|latency| latency.poll_timeout(now));
        let others = [
            self.homes.poll_timeout(now),
            self.choice.poll_timeout(now),
            self.servers.poll_timeout(now),
            self.carriers.poll_timeout(now),
            self.settle.filter(|at| *at > now),
            self.connect_by.filter(|at| *at > now),
        ];
        latencies.chain(others.into_iter().flatten()).min()
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The relay in use.
    pub fn home(&self) -> Option<Home> {
        let home = self.homes.home.as_ref()?;
        Some(Home {
            server: home.server,
            transport: home.transport,
            relayed: home.relayed()?,
            round_trip: home.round_trip(),
            answers: !home.is_silent(),
        })
    }

    fn handle<'a>(
        &mut self,
        server: SocketAddr,
        transport: Transport,
        bytes: &'a [u8],
        now: Instant,
    ) -> Received<'a> {
        let Some(client) = self.homes.of(server, transport) else { return Received::Foreign };
        if let Some((from, payload)) = data_indication(bytes) {
            // A relay lets nobody else in.
            if client.relayed().is_none() || !client.permits(from.ip()) {
                return Received::Taken;
            }
            if self.carriers.hear(from, now) {
                self.carriers.update(self.homes.home.as_ref(), &mut self.events);
            }
            return Received::Data { from, payload };
        }
        let Ok(message) = Message::from_bytes(bytes) else { return Received::Foreign };
        let taken = self.homes.all_mut().any(|(_, client)| {
            client.server == server && client.transport == transport && client.handle_answer(&message, now)
        });
        if !taken {
            // Late answers of TURN are nobody else's; bindings may be.
            return if message.has_method(BINDING) { Received::Foreign } else { Received::Taken };
        }
        self.drive(now);
        Received::Taken
    }

    /// Everything that follows from what came in or is due.
    fn drive(&mut self, now: Instant) {
        for client in self.homes.take_over(now) {
            self.release(client, now);
        }
        if self.homes.home.as_ref().is_some_and(|home| home.is_late(now)) {
            self.latencies.iter_mut().for_each(|latency| latency.measure(now));
        }
        let connecting = self.homes.next.as_ref().filter(|next| !next.is_connected());
        if let Some(server) = connecting.map(|next| next.server)
            && self.connect_by.is_some_and(|by| by <= now)
        {
            self.failed(Role::Next, server, Transport::Tls, Trouble::Disconnected, now);
        }
        self.homes.all_mut().for_each(|(_, client)| client.handle_timeout(now));
        self.take_news(now);
        if self.carriers.expire(&self.in_use, now) {
            self.carriers.update(self.homes.home.as_ref(), &mut self.events);
        }
        for latency in &mut self.latencies {
            if let Some(message) = latency.poll_request(&mut self.random, now) {
                let transmit = Transmit { server: latency.server, transport: Transport::Udp, message };
                self.transmits.push_back(transmit);
            }
        }
        self.decide(now);
        for (_, client) in self.homes.all_mut() {
            collect(&mut self.transmits, client);
        }
        self.tell();
    }

    fn permit(&mut self, now: Instant) {
        let ips = self.ips();
        self.homes.all_mut().for_each(|(_, client)| client.set_permissions(&ips, now));
    }

    /// Where packets may come from: each relay's own address, and where peers are.
    pub(super) fn ips(&self) -> BTreeSet<IpAddr> {
        self.servers.ips().chain(self.carriers.ips()).collect()
    }

    fn tell(&mut self) {
        let home = self.home();
        // The round trip alone is no news.
        let essence = |home: Option<Home>| home.map(|home| Home { round_trip: None, ..home });
        if essence(home) != essence(self.told) {
            self.told = home;
            self.events.push_back(Event::Home(home));
        }
    }
}

pub(super) fn collect(transmits: &mut VecDeque<Transmit>, client: &mut Client) {
    let (server, transport) = (client.server, client.transport);
    while let Some(message) = client.poll_message() {
        transmits.push_back(Transmit { server, transport, message });
    }
}
