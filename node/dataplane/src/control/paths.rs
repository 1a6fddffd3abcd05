//! Where peers are reached.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use twinmesh_wireguard::PublicKey;

use super::Control;
use crate::config::PeerPath;
use crate::relays::RelayCarrier;

impl Control {
    pub(crate) fn set_path(&self, key: &PublicKey, path: Option<PeerPath>) -> bool {
        let table = self.shared.table.load();
        let Some(slot) = table.by_key(key).filter(|slot| slot.set_path(path)) else { return false };
        if let Some(path) = path {
            let now = Instant::now();
            table.esp.lead_bound(slot.index, path, table.relays.hop(path.remote), now);
            let bound = table.esp.tunnels().iter().filter(|tunnel| tunnel.peer == Some(slot.index));
            bound.for_each(|tunnel| self.measure_esp(tunnel, &table.relays, now));
        }
        self.measure(slot, &table.relays);
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
}
