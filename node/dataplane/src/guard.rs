//! Traffic that only an SA may carry: while none stands, its packets go nowhere, and may call for one.
//!
//! ```text
//!   packet ─► policies of the guard's tunnels ─► sealed
//!             none: the guard ─┬─ Refuse: dropped, the sender is told
//!                              └─ Call: Event::Wanted, kept ─► sealed as soon as a tunnel stands
//! ```

use std::time::Instant;

use twinmesh_esp::Selectors;

use crate::gate::{Gate, Met};

/// What happens to packets for which there is no tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardAction {
    /// They are dropped, and their senders told by ICMP, so that programs fail at once.
    Refuse,
    /// The agent is told ([`crate::Event::Wanted`]); the first ones are kept and sent once a tunnel stands.
    Call,
}

/// A guard as the agent sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardConfig {
    /// Unique in this node; [`crate::EspConfig::guard`] names it.
    pub name: String,
    pub selectors: Selectors,
    pub action: GuardAction,
}

/// A guard at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardStatus {
    pub name: String,
    /// Packets that went nowhere since the guard was set.
    pub dropped: u64,
    /// Packets that wait for a tunnel.
    pub kept: usize,
}

/// A guard as the workers meet it.
pub(crate) struct Guard {
    pub(crate) name: String,
    pub(crate) selectors: Selectors,
    gate: Gate,
}

impl Guard {
    /// Takes over what a former guard of that name has counted.
    pub(crate) fn new(config: GuardConfig, former: Option<&Self>, now: Instant) -> Self {
        let dropped = former.map_or(0, |former| {
            former.gate.release();
            former.gate.counts().0
        });
        Self { name: config.name, selectors: config.selectors, gate: Gate::new(config.action, dropped, now) }
    }

    pub(crate) fn act(&self, action: GuardAction) {
        self.gate.act(action);
    }

    /// A packet has met the guard instead of a tunnel.
    pub(crate) fn meet(&self, packet: &[u8], now: Instant) -> Met {
        self.gate.meet(packet, now)
    }

    /// A tunnel stands: what it shall send.
    pub(crate) fn take(&self, now: Instant) -> Vec<Box<[u8]>> {
        self.gate.take(now)
    }

    pub(crate) fn status(&self) -> GuardStatus {
        let (dropped, kept) = self.gate.counts();
        GuardStatus { name: self.name.clone(), dropped, kept }
    }
}
