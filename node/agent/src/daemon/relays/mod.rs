//! The node's way by relays: what `twinmesh-path`'s client wants done, done.
//!
//! ```text
//!   Relays of the coordinator ─► RelayClient ─► messages by the shared port, or by a Stream
//!   Relayed addresses of the map ─►   │     └─► Carry, Forget ─► Dataplane::set_relayed, remove_relayed
//!   Data indications ◄────────────────┘         Home ─► what the node reports, `status`
//! ```

mod drive;
mod grants;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tokio::sync::mpsc;
use twinmesh_control::{Fingerprint, NetworkMap, NodeId};
use twinmesh_dataplane::RelayedInbound;
use twinmesh_path::relay::{RelayClient, RelayServer};

pub(super) use stream::{StreamEvent, StreamNews};

use crate::control::MapChange;
use stream::{Known, Stream};

use super::tunnels::{Surroundings, relayed_endpoints};

/// Everything about relays.
pub(super) struct Relays {
    client: RelayClient,
    /// As the coordinator has said them last.
    granted: Vec<RelayServer>,
    fingerprints: BTreeMap<SocketAddr, Fingerprint>,
    streams: BTreeMap<SocketAddr, Stream>,
    /// Tells a stream from an earlier one to the same relay.
    opened: u64,
    events: mpsc::Sender<StreamEvent>,
    /// Addresses that are carried: streams need not ask about these.
    known: Known,
    peers: BTreeMap<NodeId, Vec<SocketAddr>>,
    /// The last trouble with any of them, in words, until home serves.
    problem: Option<String>,
}

impl Relays {
    pub(super) fn new(events: mpsc::Sender<StreamEvent>, random: fastrand::Rng) -> Self {
        Self {
            client: RelayClient::new(random),
            granted: Vec::new(),
            fingerprints: BTreeMap::new(),
            streams: BTreeMap::new(),
            opened: 0,
            events,
            known: Known::default(),
            peers: BTreeMap::new(),
            problem: None,
        }
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.client.poll_timeout(now)
    }

    /// The hosts of all relays: what comes from one of them is relayed.
    pub(super) fn hosts(&self) -> Vec<IpAddr> {
        let hosts: BTreeSet<IpAddr> = self.granted.iter().map(|relay| relay.address.ip()).collect();
        let relayed = self.peers.values().flatten().map(SocketAddr::ip);
        hosts.into_iter().chain(relayed).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Where peers have their traffic relayed to, as far as the map changed.
    fn sync(&mut self, map: Option<&NetworkMap>, change: &MapChange, here: &Surroundings, now: Instant) {
        let listed = |id: &NodeId| {
            let (map, peer) = map.and_then(|map| Some((map, map.peers.get(id)?)))?;
            Some(relayed_endpoints(peer, map, here)).filter(|addresses| !addresses.is_empty())
        };
        let ids: BTreeSet<NodeId> = match change {
            MapChange::Whole => {
                let present = map.into_iter().flat_map(|map| map.peers.keys());
                self.peers.keys().chain(present).copied().collect()
            }
            MapChange::Peers { changed, removed, .. } => changed.iter().chain(removed).copied().collect(),
        };
        let mut is_new = false;
        for id in ids {
            let before = match listed(&id) {
                Some(addresses) => self.peers.insert(id, addresses),
                None => self.peers.remove(&id),
            };
            is_new |= before.as_ref() != self.peers.get(&id);
        }
        if is_new {
            self.client.set_peers(self.peers.values().flatten().copied().collect(), now);
        }
    }

    fn open_stream(&mut self, server: SocketAddr, inbound: RelayedInbound) {
        self.opened += 1;
        let stream = Stream::open(
            (server, self.fingerprints.get(&server).copied()),
            self.opened,
            self.events.clone(),
            inbound,
            self.known.clone(),
        );
        self.streams.insert(server, stream);
    }
}
