//! Child SAs that exist.

use std::sync::Arc;
use std::time::Instant;

use crate::config::{ChildConfig, TrafficSelector};
use crate::output::{ChildSaId, ChildSpis};

/// One child SA: the ESP SA of each direction.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) id: ChildSaId,
    pub(crate) config: Arc<ChildConfig>,
    pub(crate) spis: ChildSpis,
    /// Narrowed, and what a rekey proposes again (RFC 7296 §2.9.2).
    pub(crate) local_ts: Vec<TrafficSelector>,
    pub(crate) remote_ts: Vec<TrafficSelector>,
    pub(crate) stage: Stage,
    /// Soft limit: rekeyed from here on.
    pub(crate) rekey_at: Option<Instant>,
    /// Hard limit: deleted.
    pub(crate) expires_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Installed,
    /// Another took its place; it waits for the DELETE of the side that rekeyed it.
    Superseded,
    /// Our DELETE is on its way.
    Deleting,
}

/// The child SAs of one IKE SA.
#[derive(Debug, Default)]
pub(crate) struct Children(Vec<Child>);

impl Children {
    pub(crate) fn add(&mut self, child: Child) {
        self.0.push(child);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Child> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Child> {
        self.0.iter_mut()
    }

    pub(crate) fn by_id(&self, id: ChildSaId) -> Option<&Child> {
        self.0.iter().find(|child| child.id == id)
    }

    pub(crate) fn by_id_mut(&mut self, id: ChildSaId) -> Option<&mut Child> {
        self.0.iter_mut().find(|child| child.id == id)
    }

    /// By the SPI that the peer names it with: the one that the peer receives with (RFC 7296 §1.4.1).
    pub(crate) fn by_peer_spi(&self, spi: u32) -> Option<&Child> {
        self.0.iter().find(|child| child.spis.outbound == spi)
    }

    pub(crate) fn remove(&mut self, id: ChildSaId) -> Option<Child> {
        let at = self.0.iter().position(|child| child.id == id)?;
        Some(self.0.remove(at))
    }

    /// All of them, for the IKE SA that takes over.
    pub(crate) fn take(&mut self) -> Vec<Child> {
        std::mem::take(&mut self.0)
    }
}
