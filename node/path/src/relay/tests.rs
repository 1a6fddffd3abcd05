//! A node and its network's relays, in memory and in virtual time.

mod change;
mod data;
mod errors;
mod finding;
mod model;
mod properties;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::*;
use model::Relay;

/// Where the node's port is seen.
const NODE: &str = "203.0.113.9:4500";
const NEAR: &str = "192.0.2.1:3478";
const FAR: &str = "192.0.2.2:3478";
const PEER: &str = "192.0.2.1:51000";

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn credential(name: &str) -> Credential {
    Credential::new(name.to_owned(), Zeroizing::new(format!("secret of {name}"))).unwrap()
}

fn server(address: &str, transport: Transport) -> RelayServer {
    RelayServer { address: socket(address), transport, credential: credential("node") }
}

/// Something on its way, and when it is there.
struct Flight {
    at: Instant,
    server: SocketAddr,
    transport: Transport,
    to_relay: bool,
    bytes: Vec<u8>,
}

struct World {
    client: RelayClient,
    relays: BTreeMap<SocketAddr, Relay>,
    flights: Vec<Flight>,
    events: VecDeque<Event>,
    carried: BTreeMap<SocketAddr, Carrier>,
    streams: BTreeSet<SocketAddr>,
    start: Instant,
    now: Instant,
    /// Where the node's port is seen now.
    node: SocketAddr,
    udp_passes: bool,
    /// Whether each datagram arrives, in turn and again from the front.
    losses: Vec<bool>,
    sent: usize,
}

impl World {
    /// Relays with the time that a datagram takes to each, in milliseconds.
    fn new(relays: &[(&str, u64)]) -> Self {
        let start = Instant::now();
        let relay = |(address, millis): &(&str, u64)| (socket(address), Relay::new(socket(address), *millis));
        Self {
            client: RelayClient::new(fastrand::Rng::with_seed(1)),
            relays: relays.iter().map(relay).collect(),
            flights: Vec::new(),
            events: VecDeque::new(),
            carried: BTreeMap::new(),
            streams: BTreeSet::new(),
            start,
            now: start,
            node: socket(NODE),
            udp_passes: true,
            losses: vec![false],
            sent: 0,
        }
    }

    /// The same, and the node knows them, by UDP alone.
    fn by_udp(relays: &[(&str, u64)]) -> Self {
        let mut world = Self::new(relays);
        let servers: Vec<_> = relays.iter().map(|(address, _)| server(address, Transport::Udp)).collect();
        world.client.set_servers(servers, world.now);
        world
    }

    /// One relay, by UDP and TLS.
    fn by_both(address: &str) -> Self {
        let mut world = Self::new(&[(address, 10)]);
        let both = [server(address, Transport::Udp), server(address, Transport::Tls)];
        world.client.set_servers(both, world.now);
        world
    }

    fn relay(&mut self, address: &str) -> &mut Relay {
        self.relays.get_mut(&socket(address)).unwrap()
    }

    fn millis(&self) -> u128 {
        self.now.duration_since(self.start).as_millis()
    }

    /// Lets time pass.
    fn pass(&mut self, duration: Duration) {
        self.until(duration, |_| false);
    }

    fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Lets time pass until something is so; how long that took. `None` if it never was.
    fn until(&mut self, longest: Duration, is_so: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (begin, end) = (self.now, self.now + longest);
        self.drain();
        let mut steps = 0;
        while !is_so(self) {
            let flight = self.flights.iter().map(|flight| flight.at).min();
            let timer = self.client.poll_timeout(self.now).map(|at| at.max(self.now));
            let next = flight.into_iter().chain(timer).min().filter(|at| *at <= end);
            let Some(next) = next else {
                self.now = end;
                return None;
            };
            steps = if next == self.now { steps + 1 } else { 0 };
            self.now = next;
            assert!(steps < 1000, "time stands still at {} ms", self.millis());
            self.arrivals();
            self.client.handle_timeout(self.now);
            self.drain();
        }
        Some(self.now - begin)
    }

    fn until_home(&mut self, address: &str, transport: Transport) -> Option<Duration> {
        let server = socket(address);
        self.until(Duration::from_mins(2), |world| {
            let home = world.client.home().filter(|home| home.answers);
            home.is_some_and(|home| home.server == server && home.transport == transport)
        })
    }

    fn arrivals(&mut self) {
        while let Some(place) = self.flights.iter().position(|flight| flight.at <= self.now) {
            let Flight { server, transport, to_relay, bytes, .. } = self.flights.remove(place);
            let passes = match transport {
                Transport::Udp => self.udp_passes,
                Transport::Tls => self.streams.contains(&server),
            };
            if !passes {
                continue;
            }
            if to_relay {
                let client = (self.node, transport);
                let relay = self.relays.get_mut(&server).unwrap();
                if let Some(bytes) = relay.answer(client, &bytes, self.now) {
                    self.fly(server, transport, false, bytes);
                }
            } else {
                match transport {
                    Transport::Udp => self.client.handle_datagram(server, &bytes, self.now),
                    Transport::Tls => self.client.handle_message(server, &bytes, self.now),
                };
                self.drain();
            }
        }
    }

    fn fly(&mut self, server: SocketAddr, transport: Transport, to_relay: bool, bytes: Vec<u8>) {
        let relay = &self.relays[&server];
        self.sent += 1;
        if transport == Transport::Udp && self.losses[self.sent % self.losses.len()] {
            return;
        }
        self.flights.push(Flight { at: self.now + relay.delay, server, transport, to_relay, bytes });
    }

    fn drain(&mut self) {
        loop {
            while let Some(Transmit { server, transport, message }) = self.client.poll_transmit() {
                self.fly(server, transport, true, message);
            }
            let Some(event) = self.client.poll_event() else { return };
            match &event {
                Event::Carry { peer, carrier } => drop(self.carried.insert(*peer, *carrier)),
                Event::Forget { peer } => drop(self.carried.remove(peer)),
                Event::Connect { server } if self.relays[server].serves => {
                    self.streams.insert(*server);
                    self.client.handle_connected(*server, self.now);
                }
                Event::Connect { server } => self.client.handle_disconnected(*server, self.now),
                Event::Disconnect { server } => drop(self.streams.remove(server)),
                Event::Home(_) | Event::Trouble { .. } => {}
            }
            self.events.push_back(event);
        }
    }

    fn troubles(&self) -> Vec<Trouble> {
        let trouble = |event: &Event| match event {
            Event::Trouble { trouble, .. } => Some(*trouble),
            Event::Home(_)
            | Event::Carry { .. }
            | Event::Forget { .. }
            | Event::Connect { .. }
            | Event::Disconnect { .. } => None,
        };
        self.events.iter().filter_map(trouble).collect()
    }

    fn use_peer(&mut self, peer: &str) {
        self.client.set_peers([socket(peer)].into(), self.now);
        self.client.set_in_use([socket(peer)].into(), self.now);
    }
}
