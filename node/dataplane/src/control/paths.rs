//! Where peers are reached.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use twinmesh_wireguard::PublicKey;

use super::Control;
use crate::config::PeerPath;
use crate::counters::DropReason;
use crate::inbound::Relayed;
use crate::relays::RelayCarrier;

/// Datagrams from relays that may wait for the worker; beyond, the newest are dropped.
const MOST_WAITING: usize = 1024;

impl Control {
    pub(crate) fn set_path(&self, key: &PublicKey, path: Option<PeerPath>) -> bool {
        let table = self.shared.table.load();
        let Some(slot) = table.by_key(key).filter(|slot| slot.set_path(path)) else { return false };
        if let Some(path) = path {
            table.esp.lead_bound(slot.index, path.remote, Instant::now());
        }
        true
    }

    pub(crate) fn set_relayed(&self, address: SocketAddr, carrier: RelayCarrier) {
        let mut peers = self.peers.lock();
        peers.table.relays.set(address, carrier);
        self.shared.table.store(Arc::new(peers.table.clone()));
    }

    pub(crate) fn remove_relayed(&self, address: SocketAddr) -> bool {
        let mut peers = self.peers.lock();
        let removed = peers.table.relays.remove(address);
        self.shared.table.store(Arc::new(peers.table.clone()));
        removed
    }

    /// Leaves it to the first worker; true if that has to be called.
    pub(crate) fn take_relayed(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        let mut relayed = self.shared.relayed.lock();
        if relayed.len() >= MOST_WAITING {
            self.port.counters.dropped(DropReason::RelayedBacklog);
            return false;
        }
        relayed.push(Relayed { from, datagram: datagram.to_vec() });
        relayed.len() == 1
    }
}
