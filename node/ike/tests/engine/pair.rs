//! Two engines and the network between them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use twinmesh_ike::auth::{Credentials, LocalCredential, PreSharedKey, RemoteCredential};
use twinmesh_ike::config::{
    ChildConfig, ConnectionConfig, Legacy, Lifetime, Proposal, Protocol, Remote, SelectorPair,
    TrafficSelector,
};
use twinmesh_ike::trace::Trace;
use twinmesh_ike::{
    ChildSaEstablished, ChildSaId, Command, DeleteReason, Encapsulation, Engine, EngineConfig, Event, Failed,
    IkeSaEstablished, IkeSaId, Output,
};

/// A generator that is the same in each run: xorshift64*.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next().to_be_bytes()[2];
        }
    }
}

/// What the link does to datagrams; percentages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) delay: Duration,
    /// Up to so much more, which reorders.
    pub(crate) jitter: Duration,
}

impl Link {
    pub(crate) const GOOD: Self =
        Self { loss: 0, duplication: 0, delay: Duration::from_millis(10), jitter: Duration::ZERO };
    pub(crate) const BAD: Self = Self {
        loss: 20,
        duplication: 20,
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(400),
    };
}

/// A child SA as the data plane would have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Esp {
    pub(crate) ike_sa: IkeSaId,
    pub(crate) child: String,
    pub(crate) inbound: (u32, Vec<u8>),
    pub(crate) outbound: (u32, Vec<u8>),
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) address: SocketAddr,
    pub(crate) dice: Dice,
    pub(crate) established: Vec<IkeSaEstablished>,
    pub(crate) children_established: Vec<ChildSaEstablished>,
    pub(crate) failures: Vec<Failed>,
    pub(crate) deleted: Vec<DeleteReason>,
    pub(crate) children_deleted: Vec<DeleteReason>,
    pub(crate) rekeyed: usize,
    pub(crate) moved: Vec<SocketAddr>,
    pub(crate) traces: Vec<Trace>,
    /// Other addresses of this node.
    pub(crate) also: Vec<IpAddr>,
    /// Between which ends ESP goes.
    pub(crate) data: Option<(SocketAddr, SocketAddr)>,
    pub(crate) encapsulation: Option<Encapsulation>,
    /// The same of the children of each IKE SA.
    pub(crate) paths: BTreeMap<IkeSaId, (SocketAddr, SocketAddr)>,
    /// What is up now.
    pub(crate) ike: Vec<IkeSaId>,
    pub(crate) esp: BTreeMap<ChildSaId, Esp>,
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) left: Node,
    pub(crate) right: Node,
    pub(crate) link: Link,
    pub(crate) dice: Dice,
    /// The address that a NAT gives to the left, and to the right.
    pub(crate) nat: Option<SocketAddr>,
    pub(crate) right_nat: Option<SocketAddr>,
    /// Addresses that nothing reaches.
    pub(crate) cut: Vec<IpAddr>,
    in_flight: BTreeMap<(Instant, u64), Datagram>,
    sequence: u64,
    /// Every datagram sent, for those who look at the wire.
    pub(crate) wire: Vec<Datagram>,
}

#[derive(Debug, Clone)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) const SECRET: &str = "uT7.kQ_2mVx9eR4pLs0b";

pub(crate) fn left_address() -> SocketAddr {
    "192.0.2.1:500".parse().unwrap()
}

pub(crate) fn right_address() -> SocketAddr {
    "198.51.100.1:500".parse().unwrap()
}

fn selectors(text: &[(&str, &str)]) -> Vec<TrafficSelector> {
    let one = |(first, last): &(&str, &str)| {
        TrafficSelector::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    };
    text.iter().map(one).collect()
}

pub(crate) fn proposals(protocol: Protocol, text: &str) -> Vec<Proposal> {
    text.split(',').map(|text| Proposal::parse(protocol, text, Legacy::Allowed).unwrap()).collect()
}

pub(crate) fn psk(secret: &str) -> Credentials {
    let key = PreSharedKey::parse(secret).unwrap();
    Credentials {
        local: LocalCredential::PreSharedKey(key.clone()),
        remote: RemoteCredential::PreSharedKey(key),
    }
}

/// The left's configuration; `flip` makes the right's of it.
pub(crate) fn connection() -> ConnectionConfig {
    let child = |name: &str, net: &str| {
        let range = |site: &str| (format!("10.{site}.{net}.0"), format!("10.{site}.{net}.255"));
        let side = |site: &str| {
            let (first, last) = range(site);
            selectors(&[(&first, &last)])
        };
        ChildConfig {
            proposals: proposals(Protocol::Esp, "aes128gcm16-x25519-modpnone"),
            lifetime: Lifetime::UNLIMITED,
            ..ChildConfig::new(name, SelectorPair { local: side("1"), remote: side("2") })
        }
    };
    ConnectionConfig {
        proposals: proposals(Protocol::Ike, "aes128gcm16-prfsha256-x25519"),
        children: vec![child("lan", "1")],
        lifetime: Lifetime::UNLIMITED,
        mobike: false,
        ..ConnectionConfig::new(
            "site",
            left_address(),
            Remote::At(right_address()),
            "left.example.org".parse().unwrap(),
            "right.example.org".parse().unwrap(),
            psk(SECRET),
        )
    }
}

/// A second child, `voice`.
pub(crate) fn voice() -> ChildConfig {
    let mut voice = connection().children.remove(0);
    voice.name = "voice".into();
    voice.selectors = SelectorPair {
        local: selectors(&[("10.1.9.0", "10.1.9.255")]),
        remote: selectors(&[("10.2.9.0", "10.2.9.255")]),
    };
    voice
}

/// The other side of a connection.
pub(crate) fn flip(left: &ConnectionConfig) -> ConnectionConfig {
    let Remote::At(remote) = left.remote else { panic!("the left knows the right") };
    let flipped = |child: &ChildConfig| {
        let SelectorPair { local, remote } = child.selectors.clone();
        ChildConfig { selectors: SelectorPair { local: remote, remote: local }, ..child.clone() }
    };
    ConnectionConfig {
        local: remote,
        remote: Remote::At(left.local),
        local_identity: left.remote_identity.exact().unwrap().clone(),
        remote_identity: left.local_identity.to_string().parse().unwrap(),
        children: left.children.iter().map(flipped).collect(),
        ..left.clone()
    }
}

impl Node {
    fn new(config: EngineConfig, connection: ConnectionConfig, seed: u64, now: Instant) -> Self {
        let address = connection.local;
        let mut engine = Engine::new(config);
        engine.set_wall_clock(now, SystemTime::now());
        engine.add_connection(connection);
        Self {
            engine,
            address,
            dice: Dice::new(seed),
            established: Vec::new(),
            children_established: Vec::new(),
            failures: Vec::new(),
            deleted: Vec::new(),
            children_deleted: Vec::new(),
            rekeyed: 0,
            moved: Vec::new(),
            traces: Vec::new(),
            also: Vec::new(),
            data: None,
            encapsulation: None,
            paths: BTreeMap::new(),
            ike: Vec::new(),
            esp: BTreeMap::new(),
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::IkeSaEstablished(it) => {
                self.ike.push(it.ike_sa);
                self.paths.insert(it.ike_sa, (it.local, it.remote));
                self.established.push(it);
            }
            Event::IkeSaRekeyed { old, new, .. } => {
                self.rekeyed += 1;
                assert!(self.ike.contains(&old));
                self.ike.push(new);
                self.paths.extend(self.paths.get(&old).copied().map(|path| (new, path)));
                self.esp.values_mut().filter(|esp| esp.ike_sa == old).for_each(|esp| esp.ike_sa = new);
            }
            Event::IkeSaDeleted { ike_sa, reason, .. } => {
                assert!(self.ike.contains(&ike_sa), "an unknown IKE SA is gone");
                self.ike.retain(|known| *known != ike_sa);
                self.deleted.push(reason);
                assert!(self.esp.values().all(|esp| esp.ike_sa != ike_sa), "children outlive their IKE SA");
            }
            Event::ChildSaEstablished(child) => {
                assert!(child.spis.inbound >= 0x8000_0000, "the top bit is set");
                let esp = Esp {
                    ike_sa: child.ike_sa,
                    child: child.child.to_string(),
                    inbound: (child.spis.inbound, child.keys.inbound.to_vec()),
                    outbound: (child.spis.outbound, child.keys.outbound.to_vec()),
                };
                assert!(self.esp.insert(child.child_sa, esp).is_none());
                self.data = Some((child.local, child.remote));
                self.encapsulation = Some(child.encapsulation);
                self.children_established.push(*child);
            }
            Event::ChildSaDeleted(child) => {
                assert!(self.esp.remove(&child.child_sa).is_some(), "an unknown child is gone");
                self.children_deleted.push(child.reason);
            }
            Event::IkeSaReplaced { old, new, .. } => {
                assert!(self.ike.contains(&old) && self.ike.contains(&new), "both stand");
            }
            Event::Failed(failed) => self.failures.push(failed),
            Event::AddressChanged { ike_sa, local, remote, encapsulation, .. } => {
                self.paths.insert(ike_sa, (local, remote));
                self.encapsulation = Some(encapsulation);
                self.moved.push(remote);
                self.data = Some((local, remote));
            }
            _ => {}
        }
    }
}

/// What a NAT makes of a port behind it.
fn outside(nat: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(nat.ip(), nat.port() + port / 10)
}

/// Where a NAT sends what comes to it; where it has no mapping for, to nobody.
fn inside(nat: Option<SocketAddr>, to: SocketAddr, behind: IpAddr) -> SocketAddr {
    let Some(nat) = nat else { return to };
    let port = [500, 4500].into_iter().find(|port| to == outside(nat, *port));
    port.map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |port| SocketAddr::new(behind, port))
}

impl Pair {
    pub(crate) fn new(left: ConnectionConfig) -> Self {
        let right = flip(&left);
        Self::of(left, right, EngineConfig::default(), 1)
    }

    pub(crate) fn of(
        left: ConnectionConfig,
        right: ConnectionConfig,
        config: EngineConfig,
        seed: u64,
    ) -> Self {
        let now = Instant::now();
        Self {
            now,
            start: now,
            left: Node::new(config.clone(), left, seed * 3 + 1, now),
            right: Node::new(config, right, seed * 3 + 2, now),
            link: Link::GOOD,
            dice: Dice::new(seed * 3 + 3),
            nat: None,
            right_nat: None,
            cut: Vec::new(),
            in_flight: BTreeMap::new(),
            sequence: 0,
            wire: Vec::new(),
        }
    }

    pub(crate) fn left_does(&mut self, command: Command) {
        let Node { engine, dice, .. } = &mut self.left;
        engine.handle_command(self.now, command, &mut |bytes| dice.fill(bytes));
        self.drain();
    }

    pub(crate) fn right_does(&mut self, command: Command) {
        let Node { engine, dice, .. } = &mut self.right;
        engine.handle_command(self.now, command, &mut |bytes| dice.fill(bytes));
        self.drain();
    }

    pub(crate) fn initiate(&mut self) {
        self.left_does(Command::Initiate { connection: "site".into() });
    }

    /// Over a link that is bad for a minute; both ends hold the same in the end.
    #[track_caller]
    pub(crate) fn initiate_over_a_bad_link(&mut self) {
        self.link = Link::BAD;
        self.initiate();
        self.run_secs(60);
        self.link = Link::GOOD;
        self.run_secs(200);
        self.assert_agreed();
    }

    /// The left is elsewhere, and has noticed it.
    pub(crate) fn move_left(&mut self, address: &str) {
        let local: IpAddr = address.parse().unwrap();
        self.left.address.set_ip(local);
        let additional = self.left.also.clone();
        self.left_does(Command::AddressesChanged { connection: "site".into(), local, additional });
    }

    pub(crate) fn move_right(&mut self, address: &str) {
        let local: IpAddr = address.parse().unwrap();
        self.right.address.set_ip(local);
        let additional = self.right.also.clone();
        self.right_does(Command::AddressesChanged { connection: "site".into(), local, additional });
    }

    /// Puts a datagram on the link as if somebody had sent it.
    pub(crate) fn inject(&mut self, datagram: Datagram) {
        self.sequence += 1;
        self.in_flight.insert((self.now + self.link.delay, self.sequence), datagram);
    }

    /// Takes datagrams off the link.
    pub(crate) fn lose(&mut self, which: impl Fn(&Datagram) -> bool) {
        self.in_flight.retain(|_, datagram| !which(datagram));
    }

    fn drain(&mut self) {
        loop {
            let (output, from_left) = match self.left.engine.poll_output() {
                Some(output) => (output, true),
                None => match self.right.engine.poll_output() {
                    Some(output) => (output, false),
                    None => return,
                },
            };
            match output {
                Output::Event(event) if from_left => self.left.note(event),
                Output::Event(event) => self.right.note(event),
                Output::Trace(trace) if from_left => self.left.traces.push(*trace),
                Output::Trace(trace) => self.right.traces.push(*trace),
                Output::Transmit(transmit) => {
                    let (here, nat) =
                        if from_left { (&self.left, self.nat) } else { (&self.right, self.right_nat) };
                    let (there, their_nat) =
                        if from_left { (&self.right, self.right_nat) } else { (&self.left, self.nat) };
                    // As a kernel does it: from an address that there is.
                    let own = Some(transmit.local.ip()).filter(|address| here.also.contains(address));
                    let own = SocketAddr::new(own.unwrap_or(here.address.ip()), transmit.local.port());
                    let from = nat.map_or(own, |nat| outside(nat, own.port()));
                    let to = inside(their_nat, transmit.remote, there.address.ip());
                    self.carry(&Datagram { from, to, bytes: transmit.datagram });
                }
            }
        }
    }

    fn carry(&mut self, datagram: &Datagram) {
        self.wire.push(datagram.clone());
        let copies = 1 + u64::from(self.dice.below(100) < self.link.duplication);
        for _ in 0..copies {
            if self.dice.below(100) < self.link.loss {
                continue;
            }
            let jitter = u64::try_from(self.link.jitter.as_millis()).unwrap();
            let delay = self.link.delay + Duration::from_millis(self.dice.below(jitter + 1));
            self.sequence += 1;
            self.in_flight.insert((self.now + delay, self.sequence), datagram.clone());
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.drain();
            let timers = [self.left.engine.poll_timeout(), self.right.engine.poll_timeout()];
            let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
            let next = timers.into_iter().flatten().chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if arrival.is_some_and(|at| at <= self.now)
                && let Some((_, datagram)) = self.in_flight.pop_first()
            {
                let Datagram { from, to, bytes } = datagram;
                let reached = [&mut self.left, &mut self.right]
                    .into_iter()
                    .find(|node| node.address.ip() == to.ip() || node.also.contains(&to.ip()));
                if let Some(Node { engine, dice, .. }) = reached.filter(|_| !self.cut.contains(&to.ip())) {
                    engine.handle_input(self.now, to, from, &bytes, &mut |bytes| dice.fill(bytes));
                }
            }
            for node in [&mut self.left, &mut self.right] {
                let Node { engine, dice, .. } = node;
                engine.handle_timeout(self.now, &mut |bytes| dice.fill(bytes));
            }
        }
        self.now = end;
    }

    pub(crate) fn run_secs(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    /// Established with one child on both sides, and nothing failed.
    pub(crate) fn established(connection: ConnectionConfig) -> Self {
        let mut pair = Self::new(connection);
        pair.initiate();
        pair.run_secs(1);
        pair.assert_agreed();
        assert_eq!((pair.left.ike.len(), pair.left.esp.len()), (1, 1));
        pair
    }

    /// Both ends hold the same SAs with the same keys.
    #[track_caller]
    pub(crate) fn assert_agreed(&self) {
        let mut left: Vec<_> = self.left.esp.values().map(|it| (&it.inbound, &it.outbound)).collect();
        let mut right: Vec<_> = self.right.esp.values().map(|it| (&it.outbound, &it.inbound)).collect();
        left.sort();
        right.sort();
        assert_eq!(left, right, "both ends hold the same child SAs");
        assert_eq!(self.left.ike.len(), self.right.ike.len(), "both ends hold the same IKE SAs");
    }

    /// Neither waits for anything.
    #[track_caller]
    pub(crate) fn assert_at_rest(&self) {
        for end in [&self.left, &self.right] {
            assert_eq!(end.engine.poll_timeout(), None, "nothing is left over");
        }
    }

    pub(crate) fn left_ike(&self) -> IkeSaId {
        *self.left.ike.last().expect("an IKE SA")
    }

    pub(crate) fn right_ike(&self) -> IkeSaId {
        *self.right.ike.last().expect("an IKE SA")
    }

    pub(crate) fn left_child(&self) -> ChildSaId {
        *self.left.esp.keys().next().expect("a child")
    }

    pub(crate) fn right_child(&self) -> ChildSaId {
        *self.right.esp.keys().next().expect("a child")
    }
}
