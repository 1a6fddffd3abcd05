//! A NAT, or a firewall without translation, in memory (RFC 4787).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use twinmesh_path::{Filtering, Mapping};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) mapping: Mapping,
    pub(crate) filtering: Filtering,
    /// The next port for the next mapping, else any.
    pub(crate) sequential: bool,
    /// Of a mapping without outbound packets.
    pub(crate) lifetime: Duration,
}

impl Kind {
    pub(crate) fn new(mapping: Mapping, filtering: Filtering) -> Self {
        Self { mapping, filtering, sequential: false, lifetime: Duration::from_mins(2) }
    }
}

/// One node stands behind it.
pub(crate) struct Nat {
    pub(crate) kind: Kind,
    inner: SocketAddr,
    outer: IpAddr,
    /// By what decides the outer port.
    mappings: BTreeMap<(Option<IpAddr>, Option<u16>), Outer>,
    next: u16,
}

struct Outer {
    port: u16,
    contacted: BTreeMap<SocketAddr, Instant>,
    used: Instant,
}

impl Nat {
    pub(crate) fn new(kind: Kind, inner: SocketAddr, outer: IpAddr) -> Self {
        Self { kind, inner, outer, mappings: BTreeMap::new(), next: 40_000 }
    }

    pub(crate) fn outer(&self) -> IpAddr {
        if self.kind.mapping == Mapping::None { self.inner.ip() } else { self.outer }
    }

    /// Forgets everything, as a router does that starts anew.
    pub(crate) fn restart(&mut self) {
        self.mappings.clear();
        self.next += 1000;
    }

    /// From where others see what is sent.
    pub(crate) fn sends(&mut self, to: SocketAddr, random: &mut fastrand::Rng, now: Instant) -> SocketAddr {
        let lifetime = self.kind.lifetime;
        self.mappings.retain(|_, outer| now < outer.used + lifetime);
        let key = match self.kind.mapping {
            Mapping::None | Mapping::EndpointIndependent | Mapping::PortIndependent => (None, None),
            Mapping::AddressDependent => (Some(to.ip()), None),
            Mapping::AddressAndPortDependent => (Some(to.ip()), Some(to.port())),
        };
        let port = match self.kind {
            Kind { mapping: Mapping::None, .. } => self.inner.port(),
            Kind { sequential: true, .. } => self.next + 1,
            _ => random.u16(10_000..30_000),
        };
        let outer = self.mappings.entry(key).or_insert_with(|| {
            self.next = self.next.max(port);
            Outer { port, contacted: BTreeMap::new(), used: now }
        });
        outer.used = now;
        outer.contacted.insert(to, now);
        let port = outer.port;
        SocketAddr::new(self.outer(), port)
    }

    /// Whether what comes to that outer port from there goes in.
    pub(crate) fn lets_in(&self, port: u16, from: SocketAddr, now: Instant) -> bool {
        let lives = |at: Instant| now < at + self.kind.lifetime;
        let open = self.kind.mapping == Mapping::None && port == self.inner.port();
        if open && self.kind.filtering == Filtering::EndpointIndependent {
            return true;
        }
        self.mappings.values().filter(|outer| outer.port == port && lives(outer.used)).any(|outer| {
            let contacted = |wanted: &dyn Fn(&SocketAddr) -> bool| {
                outer.contacted.iter().any(|(remote, at)| lives(*at) && wanted(remote))
            };
            match self.kind.filtering {
                Filtering::EndpointIndependent | Filtering::PortIndependent => true,
                Filtering::AddressDependent => contacted(&|remote| remote.ip() == from.ip()),
                Filtering::AddressAndPortDependent => contacted(&|remote| *remote == from),
            }
        })
    }
}
