//! What a NAT does, in the words of RFC 4787.

use std::net::SocketAddr;
use std::time::Duration;

/// What decides the outer endpoint of an inner one (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapping {
    /// Nothing is translated.
    None,
    /// One outer endpoint, whoever it sends to.
    EndpointIndependent,
    /// Not the remote port. Whether the remote address does is not known: the server has only one.
    PortIndependent,
    /// One for each remote address.
    AddressDependent,
    /// One for each remote address and port.
    AddressAndPortDependent,
}

/// Whom a mapping, or a firewall without translation, lets in (RFC 4787 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filtering {
    /// Everybody.
    EndpointIndependent,
    /// Other ports of an address that was sent to. Whether other addresses too is not known: the server has only one.
    PortIndependent,
    /// Addresses that were sent to.
    AddressDependent,
    /// Exactly the endpoints that were sent to.
    AddressAndPortDependent,
}

/// The class of a node by one IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatClass {
    Mapping(Mapping),
    /// No server answers.
    UdpBlocked,
}

impl Mapping {
    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::EndpointIndependent => "endpoint-independent",
            Self::PortIndependent => "port-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address-and-port-dependent",
        }
    }
}

impl Filtering {
    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::PortIndependent => "port-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address-and-port-dependent",
        }
    }
}

impl NatClass {
    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mapping(mapping) => mapping.as_str(),
            Self::UdpBlocked => "udp-blocked",
        }
    }
}

/// A server and its shortest round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    pub server: SocketAddr,
    /// None: no answer.
    pub round_trip: Option<Duration>,
}

/// What a [`crate::Prober`] found by one IP version. `None` is what the servers could not tell or the network lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    pub servers: Vec<Latency>,
    /// What the server saw of a fresh port.
    pub seen: Option<SocketAddr>,
    pub mapping: Option<Mapping>,
    pub filtering: Option<Filtering>,
    /// Whether nodes behind the same NAT reach each other by their outer endpoints; none without a NAT.
    pub hairpin: Option<bool>,
}

impl Findings {
    /// None: a server answers, but the mapping could not be told.
    pub fn class(&self) -> Option<NatClass> {
        if self.servers.iter().all(|server| server.round_trip.is_none()) {
            return Some(NatClass::UdpBlocked);
        }
        self.mapping.map(NatClass::Mapping)
    }
}
