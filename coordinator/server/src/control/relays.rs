//! What nodes are told of relays: where they are, and a credential of their own for a while.

use std::net::SocketAddr;
use std::time::Duration;

use twinmesh_control::{NodeId, RelayAccess, RelayPassword, RelayTransport, Relays};

use crate::relay::{Credential, Place, RelaySecret};

/// How long a credential is good for: as long as a coordinator may be away without relayed tunnels ending.
const VALIDITY: Duration = Duration::from_hours(6);
/// How often a node gets another one.
pub(super) const RENEWAL: Duration = Duration::from_hours(1);

/// The network's relays, and the secret that they share.
#[derive(Clone, Debug)]
pub struct RelayGrants {
    pub secret: RelaySecret,
    pub relays: Vec<SocketAddr>,
}

impl RelayGrants {
    /// All relays, with a credential that opens ports at each of them: a node's peers have theirs there. `None` if
    /// there is no relay.
    pub(super) fn of(&self, node: NodeId, unix: i64) -> Option<Relays> {
        let validity = i64::try_from(VALIDITY.as_secs()).unwrap_or_default();
        let mut addresses: Vec<_> = self.relays.iter().map(SocketAddr::ip).collect();
        addresses.dedup();
        let places = addresses.into_iter().map(Place::Relay).collect();
        let username = Credential { until: unix + validity, node, places }.username();
        let password = self.secret.password(&username);
        let relays = self.relays.iter().map(|address| RelayAccess {
            address: *address,
            transport: RelayTransport::Udp,
            username: username.clone(),
            password: RelayPassword(password.to_string()),
            valid_for: VALIDITY.as_secs(),
        });
        let relays = Relays { relays: relays.collect() };
        (!relays.relays.is_empty()).then_some(relays)
    }
}
