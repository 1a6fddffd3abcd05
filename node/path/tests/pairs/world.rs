//! Two nodes, each behind a NAT, with a relay between them, under a clock of its own. Each node says something every
//! 50 ms while they talk.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use twinmesh_path::pair::{
    Candidate, Event, Handled, Kind, LocalSettings, PairSecret, Pairs, Path, PeerSettings, Why,
};
use twinmesh_path::{Filtering, Mapping};

use crate::nat::{self, Nat};

pub(crate) const PEER: u8 = 7;
const PORT: u16 = 4500;
const RELAY: &str = "192.0.2.1";
const TALK: Duration = Duration::from_millis(50);
const STUN: Duration = Duration::from_secs(20);

pub(crate) struct Node {
    pub(crate) pairs: Pairs<u8>,
    pub(crate) nat: Nat,
    pub(crate) local: LocalSettings,
    /// IPv6 without translation; none if the node has none.
    pub(crate) ipv6: Option<Nat>,
    reflexive: SocketAddr,
    relayed: SocketAddr,
    pub(crate) path: Option<Path>,
    /// What the path became, when and why.
    pub(crate) told: Vec<(Duration, Option<Path>, Why)>,
    /// When data of the other end's arrived last.
    pub(crate) received: Instant,
    /// The longest that nothing arrived while they talked.
    pub(crate) gap: Duration,
    /// Checks and answers.
    pub(crate) sent: u64,
    pub(crate) last_check: Vec<u8>,
    heard: Option<Instant>,
}

enum What {
    Check(Vec<u8>),
    Data,
}

struct Flying {
    to: usize,
    from: SocketAddr,
    what: What,
}

pub(crate) struct World {
    pub(crate) begin: Instant,
    pub(crate) now: Instant,
    pub(crate) random: fastrand::Rng,
    pub(crate) nodes: [Node; 2],
    flying: BTreeMap<(Instant, u64), Flying>,
    count: u64,
    talk: Option<Instant>,
    /// A STUN server is asked now and then, which keeps the mapping.
    stun: Instant,
    told_traffic: Instant,
    /// Percent, each way, of direct paths.
    pub(crate) loss: u32,
    /// One way, direct; at random up to twice as long.
    pub(crate) delay: Duration,
    pub(crate) delay6: Duration,
    /// Of direct IPv4 and IPv6, and from which node.
    pub(crate) blocked: [[bool; 2]; 2],
    /// Longest IP packet that direct paths carry; longer ones vanish.
    pub(crate) width: usize,
    pub(crate) data_blocked: bool,
    pub(crate) relay: bool,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl World {
    pub(crate) fn new(seed: u64, kinds: [nat::Kind; 2]) -> Self {
        let begin = Instant::now();
        let mut random = fastrand::Rng::with_seed(seed);
        let [a, b] = kinds;
        let mut node = |at: u8, kind: nat::Kind| {
            let inner = SocketAddr::new(IpAddr::from([198, 18, at, 2]), PORT);
            let mut nat = Nat::new(kind, inner, IpAddr::from([203, 0, 113, at + 1]));
            let reflexive = nat.sends(SocketAddr::new(ip(RELAY), 3478), &mut random, begin);
            Node {
                pairs: Pairs::new(fastrand::Rng::with_seed(seed * 2 + u64::from(at))),
                nat,
                local: LocalSettings {
                    has_relay: true,
                    relays: vec![ip(RELAY)],
                    mapping: Some(kind.mapping),
                    ..LocalSettings::default()
                },
                ipv6: None,
                reflexive,
                relayed: SocketAddr::new(ip(RELAY), 50_000 + u16::from(at)),
                path: None,
                told: Vec::new(),
                received: begin,
                gap: Duration::ZERO,
                sent: 0,
                last_check: Vec::new(),
                heard: None,
            }
        };
        let nodes = [node(0, a), node(1, b)];
        let mut world = Self {
            begin,
            now: begin,
            random,
            nodes,
            flying: BTreeMap::new(),
            count: 0,
            talk: None,
            stun: begin,
            told_traffic: begin,
            loss: 0,
            delay: Duration::from_millis(20),
            delay6: Duration::from_millis(20),
            blocked: [[false; 2]; 2],
            width: 1500,
            data_blocked: false,
            relay: true,
        };
        for at in 0..2 {
            let local = world.nodes[at].local.clone();
            world.nodes[at].pairs.set_local(local, begin);
        }
        world.exchange_maps();
        world
    }

    pub(crate) fn with_ipv6(mut self, filtering: Filtering) -> Self {
        for (at, node) in self.nodes.iter_mut().enumerate() {
            let inner = SocketAddr::new(ip(["2001:db8:a::2", "2001:db8:b::2"][at]), PORT);
            node.ipv6 = Some(Nat::new(nat::Kind::new(Mapping::None, filtering), inner, inner.ip()));
        }
        self.exchange_maps();
        self
    }

    /// Each node learns the other's addresses.
    fn exchange_maps(&mut self) {
        let keys = [[1; 32], [2; 32]];
        for at in 0..2 {
            let peer = self.candidates(1 - at);
            let mapping = Some(self.nodes[1 - at].nat.kind.mapping);
            let secret = PairSecret::new(&[9; 32], &keys[at], &keys[1 - at]);
            let settings = PeerSettings { secret, candidates: peer, mapping };
            self.nodes[at].pairs.set_peer(PEER, settings, self.now);
            self.drain(at);
        }
    }

    fn candidates(&self, at: usize) -> Vec<Candidate> {
        let node = &self.nodes[at];
        let mut candidates = vec![
            Candidate { address: node.relayed, kind: Kind::Relayed },
            Candidate { address: node.reflexive, kind: Kind::Reflexive },
        ];
        let host = SocketAddr::new(IpAddr::from([198, 18, u8::try_from(at).unwrap(), 2]), PORT);
        candidates.push(Candidate { address: host, kind: Kind::Host });
        if node.ipv6.is_some() {
            let host = SocketAddr::new(ip(["2001:db8:a::2", "2001:db8:b::2"][at]), PORT);
            candidates.push(Candidate { address: host, kind: Kind::Host });
        }
        candidates
    }

    /// The nodes ask a STUN server, and the map tells.
    pub(crate) fn ask_stun(&mut self) {
        let seen = self.seen();
        for (node, seen) in self.nodes.iter_mut().zip(seen) {
            node.reflexive = seen;
        }
        self.exchange_maps();
    }

    fn seen(&mut self) -> [SocketAddr; 2] {
        let server = SocketAddr::new(ip(RELAY), 3478);
        [0, 1].map(|at| self.nodes[at].nat.sends(server, &mut self.random, self.now))
    }

    /// The relay stands or not, and the nodes know.
    pub(crate) fn set_relay(&mut self, up: bool) {
        self.relay = up;
        for at in 0..2 {
            self.nodes[at].local.has_relay = up;
            let local = self.nodes[at].local.clone();
            self.nodes[at].pairs.set_local(local, self.now);
            self.drain(at);
        }
    }

    /// Whether each node says so, of the other's address there.
    pub(crate) fn relayed_in_use(&self) -> [bool; 2] {
        [0, 1].map(|at| {
            let used: Vec<_> = self.nodes[at].pairs.relayed_in_use().collect();
            assert!(used.is_empty() || used == [(PEER, self.nodes[1 - at].relayed)], "{used:?}");
            !used.is_empty()
        })
    }

    pub(crate) fn set_keepalive(&mut self, keepalive: Duration) {
        for at in 0..2 {
            self.nodes[at].local.keepalive = keepalive;
            let local = self.nodes[at].local.clone();
            self.nodes[at].pairs.set_local(local, self.now);
            self.drain(at);
        }
    }

    pub(crate) fn block(&mut self, blocked: bool) {
        self.blocked = [[blocked; 2]; 2];
    }

    pub(crate) fn talk(&mut self, talks: bool) {
        self.talk = talks.then_some(self.now);
        self.told_traffic = self.now;
        for node in &mut self.nodes {
            node.received = self.now;
        }
        if talks {
            self.traffic();
        }
    }

    pub(crate) fn talks(&self) -> bool {
        self.talk.is_some()
    }

    /// The one node has something to send.
    pub(crate) fn needed(&mut self, at: usize) {
        self.nodes[at].pairs.needed(PEER, self.now);
        self.drain(at);
    }

    pub(crate) fn network_changed(&mut self) {
        for at in 0..2 {
            self.nodes[at].pairs.network_changed(self.now);
            self.drain(at);
        }
    }

    pub(crate) fn silent(&mut self) {
        for at in 0..2 {
            self.nodes[at].pairs.silent(PEER, self.now);
            self.drain(at);
        }
    }

    pub(crate) fn forget_gaps(&mut self) {
        for node in &mut self.nodes {
            (node.gap, node.received) = (Duration::ZERO, self.now);
        }
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.nodes.iter().all(|node| node.path.is_some_and(|path| !path.is_relayed()))
    }

    pub(crate) fn is_relayed(&self) -> bool {
        self.nodes.iter().all(|node| node.path.is_some_and(|path| path.is_relayed()))
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        self.run_until(duration, |_| false);
    }

    /// How long it took until that was so; none if it is not within the time.
    pub(crate) fn run_until(&mut self, most: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (from, end) = (self.now, self.now + most);
        loop {
            if done(self) {
                return Some(self.now - from);
            }
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let timeouts = self.nodes.iter().filter_map(|node| node.pairs.poll_timeout());
            let traffic = self.talk.map(|_| self.told_traffic + Duration::from_secs(1));
            let others = [Some(self.stun), arrival, self.talk, traffic];
            let next = timeouts.chain(others.into_iter().flatten()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return done(self).then_some(most);
            };
            assert!(next >= self.now, "a timeout lies in the past");
            self.now = next;
            if arrival == Some(next)
                && let Some((_, flying)) = self.flying.pop_first()
            {
                self.arrive(flying);
            }
            if self.talk == Some(next) {
                self.talk = Some(next + TALK);
                self.say(0);
                self.say(1);
            }
            if traffic == Some(next) {
                self.traffic();
            }
            if self.stun == next {
                self.stun = next + STUN;
                self.seen();
            }
            for at in 0..2 {
                if self.nodes[at].pairs.poll_timeout().is_some_and(|due| due <= next) {
                    self.nodes[at].pairs.handle_timeout(next);
                    let again = self.nodes[at].pairs.poll_timeout();
                    assert!(again.is_none_or(|again| again > next), "a timeout that is handled is over");
                    self.drain(at);
                }
            }
        }
    }

    /// As if it came from there, to that node.
    pub(crate) fn inject(&mut self, to: usize, from: SocketAddr, datagram: &[u8]) -> Handled<u8> {
        let handled = self.nodes[to].pairs.handle_datagram(from, datagram, self.now);
        self.drain(to);
        handled
    }

    fn traffic(&mut self) {
        self.told_traffic = self.now;
        for at in 0..2 {
            self.nodes[at].pairs.needed(PEER, self.now);
            self.drain(at);
        }
    }

    fn say(&mut self, at: usize) {
        if let Some(path) = self.nodes[at].path {
            self.send(at, path.remote, What::Data);
        }
        let node = &mut self.nodes[at];
        node.gap = node.gap.max(self.now - node.received);
    }

    fn drain(&mut self, at: usize) {
        while let Some(transmit) = self.nodes[at].pairs.poll_transmit() {
            self.nodes[at].sent += 1;
            if transmit.datagram.starts_with(&[0, 1]) {
                self.nodes[at].last_check.clone_from(&transmit.datagram);
            }
            self.send(at, transmit.to, What::Check(transmit.datagram));
        }
        while let Some(Event::Path { id, path, why }) = self.nodes[at].pairs.poll_event() {
            assert_eq!((id, path), (PEER, self.nodes[at].pairs.path(PEER)));
            let when = self.now - self.begin;
            self.nodes[at].path = path;
            self.nodes[at].told.push((when, path, why));
        }
    }

    fn send(&mut self, at: usize, to: SocketAddr, what: What) {
        let peer = 1 - at;
        if to == self.nodes[peer].relayed {
            let from = self.nodes[at].relayed;
            if self.relay {
                self.fly(Duration::from_millis(30), Flying { to: peer, from, what });
            }
            return;
        }
        let ipv6 = usize::from(to.is_ipv6());
        let now = self.now;
        let nats = &mut self.nodes[at];
        let nat = if to.is_ipv6() { nats.ipv6.as_mut() } else { Some(&mut nats.nat) };
        let Some(nat) = nat else { return };
        let from = nat.sends(to, &mut self.random, now);
        let len = match &what {
            What::Check(datagram) => datagram.len() + [28, 48][ipv6],
            What::Data => 100,
        };
        let lost = self.random.u32(0..100) < self.loss || self.blocked[ipv6][at] || len > self.width;
        let there = &self.nodes[peer];
        let nat = if to.is_ipv6() { there.ipv6.as_ref() } else { Some(&there.nat) };
        let Some(nat) = nat.filter(|nat| nat.outer() == to.ip()) else { return };
        if lost || (self.data_blocked && matches!(what, What::Data)) || !nat.lets_in(to.port(), from, now) {
            return;
        }
        let delay = if to.is_ipv6() { self.delay6 } else { self.delay };
        let spread = u64::try_from(delay.as_micros()).unwrap();
        let delay = delay + Duration::from_micros(self.random.u64(0..=spread));
        self.fly(delay, Flying { to: peer, from, what });
    }

    fn fly(&mut self, delay: Duration, flying: Flying) {
        self.count += 1;
        self.flying.insert((self.now + delay, self.count), flying);
    }

    fn arrive(&mut self, Flying { to, from, what }: Flying) {
        let now = self.now;
        let node = &mut self.nodes[to];
        match what {
            What::Check(datagram) => {
                node.pairs.handle_datagram(from, &datagram, now);
            }
            What::Data => {
                node.received = now;
                let elsewhere = node.path.is_none_or(|path| path.remote != from);
                if elsewhere && node.heard.is_none_or(|at| now >= at + Duration::from_millis(200)) {
                    node.heard = Some(now);
                    node.pairs.heard(PEER, from, now);
                }
            }
        }
        self.drain(to);
    }
}
