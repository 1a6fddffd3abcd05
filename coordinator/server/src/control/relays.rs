//! What nodes are told of relays: where they are, and a credential of their own for a while.

use std::net::SocketAddr;
use std::time::Duration;

use twinmesh_control::{Fingerprint, NodeId, RelayAccess, RelayPassword, RelayTransport, Relays};

use crate::relay::{Credential, Place, RelaySecret};

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

/// The network's relays, and the secret that they share.
#[derive(Clone, Debug)]
pub struct RelayGrants {
    pub secret: RelaySecret,
    pub relays: Vec<RelayPlace>,
}

impl RelayGrants {
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
