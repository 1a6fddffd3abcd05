//! Peers by key, by receiver index and by inner address, and ESP tunnels: one persistent snapshot.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use ipnet::IpNet;
use rpds::HashTrieMapSync;
use twinmesh_wireguard::{PeerIndex, PublicKey};

use crate::esp_table::EspTable;
use crate::peer_slot::PeerSlot;
use crate::relays::Relays;
use crate::routes::Routes;

/// What workers look things up in. Clones share their contents; a change costs O(log n).
#[derive(Clone)]
pub(crate) struct Table {
    by_key: HashTrieMapSync<PublicKey, Arc<PeerSlot>, RandomState>,
    by_index: HashTrieMapSync<PeerIndex, Arc<PeerSlot>, RandomState>,
    routes: Routes<Arc<PeerSlot>>,
    pub(crate) esp: EspTable,
    pub(crate) relays: Relays,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            by_key: HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::default()),
            by_index: HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::default()),
            routes: Routes::default(),
            esp: EspTable::default(),
            relays: Relays::default(),
        }
    }
}

impl Table {
    pub(crate) fn by_key(&self, key: &PublicKey) -> Option<&Arc<PeerSlot>> {
        self.by_key.get(key)
    }

    pub(crate) fn by_index(&self, index: PeerIndex) -> Option<&PeerSlot> {
        self.by_index.get(&index).map(Arc::as_ref)
    }

    pub(crate) fn route(&self, address: IpAddr) -> Option<&PeerSlot> {
        self.routes.lookup(address).map(Arc::as_ref)
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = &Arc<PeerSlot>> {
        self.by_key.values()
    }

    pub(crate) fn insert(&mut self, slot: Arc<PeerSlot>) {
        self.by_index.insert_mut(slot.index, Arc::clone(&slot));
        self.by_key.insert_mut(slot.key, slot);
    }

    pub(crate) fn remove(&mut self, slot: &PeerSlot) {
        self.by_index.remove_mut(&slot.index);
        self.by_key.remove_mut(&slot.key);
    }

    /// Makes a peer's packets be sealed by the tunnel that is to send now.
    pub(crate) fn bind(&self, peer: PeerIndex) {
        if let Some(slot) = self.by_index(peer) {
            slot.engines.tunnel.store(self.esp.bound_to(peer).cloned());
        }
    }

    /// Makes a prefix lead to the peer, and be its to use as a source; as with `wg`, a prefix has one owner
    /// and moves to whoever is given it last.
    pub(crate) fn allow(&mut self, prefix: IpNet, slot: &Arc<PeerSlot>) {
        self.routes.insert(prefix, Arc::clone(slot));
    }

    /// Takes a prefix from the peer, if it still owns it.
    pub(crate) fn disallow(&mut self, prefix: IpNet, slot: &Arc<PeerSlot>) {
        if self.routes.owner(prefix).is_some_and(|owner| Arc::ptr_eq(owner, slot)) {
            self.routes.remove(prefix);
        }
    }
}
