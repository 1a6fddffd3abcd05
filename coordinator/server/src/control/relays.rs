//! What nodes are told of relays: where they are, and a credential of their own for a while.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use twinmesh_control::{Fingerprint, NodeId, RelayAccess, RelayPassword, RelayTransport, Relays};

use crate::relay::{CertificateError, Credential, Place, RelaySecret, RelayServer};

/// How long a credential is good for: as long as a coordinator may be away without relayed tunnels ending.
const VALIDITY: Duration = Duration::from_hours(6);
/// How often a node gets another one.
pub(super) const RENEWAL: Duration = Duration::from_hours(1);

/// Where nodes find a relay, and how they speak to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayPlace {
    pub address: SocketAddr,
    /// The key of its certificate, if it is spoken to by TLS over TCP; by UDP otherwise.
    pub tls: Option<Fingerprint>,
}

/// A relay that somebody else runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherRelay {
    pub address: SocketAddr,
    pub speaks: Speaks,
}

/// How nodes speak to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Udp,
    /// TLS, and the relay shows the key that comes out of the network's secret.
    Tls,
    /// TLS, and the relay's certificate has the key with that fingerprint.
    TlsWith(Fingerprint),
}

/// The network's relays, and the secret that they share.
#[derive(Clone, Debug)]
pub struct RelayGrants {
    secret: RelaySecret,
    relays: Vec<RelayPlace>,
}

impl RelayGrants {
    /// The network's relays: `own` in this process, if there is one, and others.
    pub fn new(
        secret: RelaySecret,
        own: Option<&RelayServer>,
        others: &[OtherRelay],
    ) -> Result<Self, CertificateError> {
        let derived = secret.fingerprint()?;
        let own = own.map_or_else(Vec::new, |own| {
            let by_udp =
                own.addresses(own.local_addr().port()).map(|address| RelayPlace { address, tls: None });
            let by_tls = own.tls_addr().into_iter().flat_map(|tls| own.addresses(tls.port()));
            by_udp.chain(by_tls.map(|address| RelayPlace { address, tls: Some(derived) })).collect()
        });
        let others = others.iter().map(|OtherRelay { address, speaks }| {
            let tls = match speaks {
                Speaks::Udp => None,
                Speaks::Tls => Some(derived),
                Speaks::TlsWith(fingerprint) => Some(*fingerprint),
            };
            RelayPlace { address: *address, tls }
        });
        Ok(Self { secret, relays: own.into_iter().chain(others).collect() })
    }

    /// The addresses at which relays have the ports that they open.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.relays.iter().map(|relay| relay.address.ip())
    }

    /// All relays, with a credential that opens ports at each of them: a node's peers have theirs there. `None` if
    /// there is no relay.
    pub(super) fn of(&self, node: NodeId, unix: i64) -> Option<Relays> {
        let validity = i64::try_from(VALIDITY.as_secs()).unwrap_or_default();
        let mut places: Vec<Place> = Vec::new();
        for relay in &self.relays {
            let place = Place::Relay(relay.address.ip());
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let username = Credential { until: unix + validity, node, places }.username();
        let password = self.secret.password(&username);
        let relays = self.relays.iter().map(|relay| RelayAccess {
            address: relay.address,
            transport: relay.tls.map_or(RelayTransport::Udp, |_| RelayTransport::Tls),
            fingerprint: relay.tls,
            username: username.clone(),
            password: RelayPassword(password.to_string()),
            valid_for: VALIDITY.as_secs(),
        });
        let relays = Relays { relays: relays.collect() };
        (!relays.relays.is_empty()).then_some(relays)
    }
}
