//! A node behind a NAT, and a STUN server, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::attribute::{AttributeType, MappedSocketAddr, XorMappedAddress};
use stun_types::message::{Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec};
use twinmesh_path::{Filtering, Findings, Local, Mapping, Prober};

/// Delay of one way.
pub(crate) const LEAST: Duration = Duration::from_millis(5);
pub(crate) const MOST: Duration = Duration::from_millis(40);

const INSIDE: &str = "198.18.0.2";
const OUTSIDE: &str = "203.0.113.1";
const FIRST: &str = "192.0.2.1";
const OTHER: &str = "198.51.100.1";
const PORTS: [u16; 2] = [3478, 3479];

/// What the server can do of RFC 5780.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    TwoAddresses,
    /// Two ports, of which the client knows.
    OneAddress,
    /// Announces another address, and answers from where it was asked all the same.
    Stays,
    /// Announces another address, and refuses to answer from there.
    Refuses,
    /// RFC 8489 and no more.
    Plain,
}

#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) mapping: Mapping,
    pub(crate) filtering: Filtering,
    pub(crate) hairpin: bool,
    pub(crate) server: Server,
    /// Percent, each way.
    pub(crate) loss: u32,
    pub(crate) seed: u64,
    pub(crate) forgets_at: Option<Duration>,
    /// Sends this, and answers with false transaction ids, to both ports.
    pub(crate) forger: Option<Vec<u8>>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::AddressAndPortDependent,
            hairpin: false,
            server: Server::TwoAddresses,
            loss: 0,
            seed: 1,
            forgets_at: None,
            forger: None,
        }
    }
}

/// By remote endpoint as far as it decides.
type Key = (u16, Option<IpAddr>, Option<u16>);

#[derive(Default)]
struct Nat {
    outer: BTreeMap<Key, u16>,
    inner: BTreeMap<u16, u16>,
    contacted: BTreeSet<(u16, SocketAddr)>,
    next: u16,
}

struct Flying {
    from: SocketAddr,
    at: Local,
    datagram: Vec<u8>,
}

impl Network {
    /// What the prober finds, and how long it takes.
    pub(crate) fn measure(&self) -> (Findings, Duration) {
        let begin = Instant::now();
        let mut now = begin;
        let mut random = fastrand::Rng::with_seed(self.seed);
        let other_port = (self.server == Server::OneAddress).then_some(PORTS[1]);
        let server = twinmesh_path::Server { address: address(FIRST, PORTS[0]), other_port };
        let own = if self.mapping == Mapping::None { OUTSIDE } else { INSIDE };
        let own = BTreeSet::from([own.parse().unwrap()]);
        let mut prober = Prober::new([server], own, fastrand::Rng::with_seed(!self.seed), now);
        let mut nat = Nat::default();
        let mut forgets_at = self.forgets_at;
        let mut flying: BTreeMap<(Instant, u64), Flying> = BTreeMap::new();
        let mut sent = 0;
        loop {
            prober.handle_timeout(now);
            while let Some(transmit) = prober.poll_transmit() {
                if forgets_at.is_some_and(|at| begin + at <= now) {
                    forgets_at = None;
                    nat = Nat { next: 1000, ..Nat::default() };
                }
                let arriving = self.carry(&mut nat, transmit.from, transmit.to, &transmit.datagram);
                let forged = self.forged(transmit.from, &transmit.datagram);
                for (arrival, ways) in arriving.map(|arrival| (arrival, 2)).into_iter().chain(forged) {
                    if (0..ways).any(|_| random.u32(0..100) < self.loss) {
                        continue;
                    }
                    let spread = u64::try_from(MOST.abs_diff(LEAST).as_micros()).unwrap();
                    let delay = LEAST * ways + Duration::from_micros(random.u64(0..spread)) * ways;
                    sent += 1;
                    flying.insert((now + delay, sent), arrival);
                }
            }
            let Some(timeout) = prober.poll_timeout() else {
                return (prober.findings().unwrap(), now - begin);
            };
            now = match flying.first_key_value() {
                Some(((arrives, _), _)) if *arrives <= timeout => {
                    let ((arrives, _), Flying { from, at, datagram }) = flying.pop_first().unwrap();
                    prober.handle_datagram(at, from, &datagram, arrives);
                    arrives
                }
                _ => timeout.max(now),
            };
        }
    }

    /// Through the NAT, to the server, and what comes back, if it may.
    fn carry(&self, nat: &mut Nat, from: Local, to: SocketAddr, datagram: &[u8]) -> Option<Flying> {
        let outer = self.out(nat, from, to);
        if to.ip() == outer.ip() {
            let inner = *nat.inner.get(&to.port()).filter(|_| self.hairpin)?;
            return Some(Flying { from: outer, at: local(inner), datagram: datagram.to_vec() });
        }
        let (origin, answer) = self.answer(to, outer, datagram)?;
        let contacted = |wanted: &dyn Fn(SocketAddr) -> bool| {
            nat.contacted.iter().any(|(port, remote)| *port == outer.port() && wanted(*remote))
        };
        let passes = match self.filtering {
            Filtering::EndpointIndependent | Filtering::PortIndependent => true,
            Filtering::AddressDependent => contacted(&|remote| remote.ip() == origin.ip()),
            Filtering::AddressAndPortDependent => contacted(&|remote| remote == origin),
        };
        passes.then_some(Flying { from: origin, at: from, datagram: answer })
    }

    fn out(&self, nat: &mut Nat, from: Local, to: SocketAddr) -> SocketAddr {
        let inner = port(from);
        let key = match self.mapping {
            Mapping::None | Mapping::EndpointIndependent | Mapping::PortIndependent => (inner, None, None),
            Mapping::AddressDependent => (inner, Some(to.ip()), None),
            Mapping::AddressAndPortDependent => (inner, Some(to.ip()), Some(to.port())),
        };
        let next = &mut nat.next;
        let outer = *nat.outer.entry(key).or_insert_with(|| {
            *next += 1;
            40_000 + *next
        });
        nat.inner.insert(outer, inner);
        nat.contacted.insert((outer, to));
        address(OUTSIDE, outer)
    }

    /// From where the server answers, and what.
    fn answer(&self, asked: SocketAddr, from: SocketAddr, datagram: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
        let request = Message::from_bytes(datagram).ok()?;
        let two = matches!(self.server, Server::TwoAddresses | Server::Stays | Server::Refuses);
        let here = [Some(FIRST), two.then_some(OTHER)];
        let known = here.into_iter().flatten().any(|ip| asked.ip() == ip.parse::<IpAddr>().unwrap());
        let ports = if self.server == Server::Plain { &PORTS[..1] } else { &PORTS[..] };
        if !known || !ports.contains(&asked.port()) {
            return None;
        }
        let elsewhere = |ip: IpAddr| address(if ip.to_string() == FIRST { OTHER } else { FIRST }, 0).ip();
        let other_port = PORTS[0] + PORTS[1] - asked.port();
        let change = request.raw_attribute(AttributeType::new(3)).map_or(0, |raw| raw.value[3]);
        if change != 0 && self.server == Server::Refuses {
            return Some((asked, Message::builder_error(&request, MessageWriteVec::new()).finish()));
        }
        let origin = match (self.server, change) {
            (_, 0) | (Server::Stays | Server::Plain, _) => asked,
            (_, 2) => SocketAddr::new(asked.ip(), other_port),
            _ if two => SocketAddr::new(elsewhere(asked.ip()), other_port),
            _ => return None,
        };
        let mut answer = Message::builder_success(&request, MessageWriteVec::new());
        answer.add_attribute(&XorMappedAddress::new(from, request.transaction_id())).unwrap();
        if two {
            let other = MappedSocketAddr::new(SocketAddr::new(elsewhere(asked.ip()), other_port));
            answer.add_attribute(&other.to_raw(AttributeType::new(0x802c))).unwrap();
        }
        Some((origin, answer.finish()))
    }

    /// Of somebody who sees that we ask, but not what.
    fn forged(&self, at: Local, datagram: &[u8]) -> Vec<(Flying, u32)> {
        let Some(garbage) = &self.forger else { return Vec::new() };
        let mut false_id = datagram.to_vec();
        false_id[19] ^= 1;
        let liar = address("192.0.2.66", 9);
        let (_, answer) = self.answer(address(FIRST, PORTS[0]), liar, &false_id).unwrap();
        // With the true id, but from where nobody was asked.
        let (_, elsewhere) = self.answer(address(FIRST, PORTS[0]), liar, datagram).unwrap();
        [(address(FIRST, PORTS[0]), answer), (liar, elsewhere), (address(FIRST, PORTS[0]), garbage.clone())]
            .map(|(from, datagram)| (Flying { from, at, datagram }, 1))
            .into()
    }
}

fn address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

fn port(local: Local) -> u16 {
    match local {
        Local::Main => 1001,
        Local::Second => 1002,
    }
}

fn local(port: u16) -> Local {
    if port == 1001 { Local::Main } else { Local::Second }
}
