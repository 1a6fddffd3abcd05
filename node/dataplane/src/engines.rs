//! Both engines of one peer, and which of them sends.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;
use twinmesh_packet::IpPacket;

use crate::engine::{Engine, EngineCell};
use crate::esp_tunnel::EspTunnel;
use crate::gate::Gate;
use crate::guard::GuardAction;
use crate::liveness::{Liveness, MOST_PROBES, Marks};
use crate::partial_sums::PartialSums;
use crate::probe::{Kind, Probe, ProbeAddresses};
use crate::watch::Watch;

/// What a peer's place has of both, but for the session of WireGuard.
pub(crate) struct Engines {
    /// Which one sends.
    pub(crate) present: EngineCell,
    /// What ESP seals with.
    pub(crate) tunnel: ArcSwapOption<EspTunnel>,
    /// Where packets wait that no ESP tunnel carries yet, or are refused.
    pub(crate) gate: Gate,
    pub(crate) probe: ArcSwapOption<ProbeAddresses>,
    pub(crate) sums: PartialSums,
    wireguard: Marks,
    esp: Marks,
    liveness: Mutex<[Liveness; 2]>,
}

impl Engines {
    /// Of a peer that nothing is sent to yet.
    pub(crate) fn new(watch: &Arc<Watch>, now: Instant) -> Self {
        Self {
            present: EngineCell::new(Engine::Hold),
            tunnel: ArcSwapOption::empty(),
            gate: Gate::new(GuardAction::Refuse, 0, now),
            probe: ArcSwapOption::empty(),
            sums: PartialSums::default(),
            wireguard: Marks::new(Arc::clone(watch)),
            esp: Marks::new(Arc::clone(watch)),
            liveness: Mutex::default(),
        }
    }

    pub(crate) fn tunnel(&self) -> Guard<Option<Arc<EspTunnel>>> {
        self.tunnel.load()
    }

    /// What workers note of an engine; of none for [`Engine::Hold`], by which nothing goes.
    pub(crate) const fn marks(&self, engine: Engine) -> Option<&Marks> {
        match engine {
            Engine::WireGuard => Some(&self.wireguard),
            Engine::Esp => Some(&self.esp),
            Engine::Hold => None,
        }
    }

    /// Both engines, with what was noted and found of them.
    pub(crate) fn both<T>(&self, mut look: impl FnMut(Engine, &Marks, &mut Liveness) -> T) -> [T; 2] {
        let mut liveness = self.liveness.lock();
        let [wireguard, esp] = &mut *liveness;
        [look(Engine::WireGuard, &self.wireguard, wireguard), look(Engine::Esp, &self.esp, esp)]
    }

    /// An authentic packet that the peer sent by this engine; what it asks or answers, if it is a probe.
    pub(crate) fn heard(&self, engine: Engine, packet: &IpPacket<'_>) -> Option<Probe> {
        let marks = self.marks(engine)?;
        marks.heard();
        marks.used();
        let probe = Probe::parse(packet, self.probe_addresses()?).filter(|probe| probe.engine == engine)?;
        if probe.kind == Kind::Request && probe.attempt >= MOST_PROBES - 1 {
            marks.unheard();
        }
        Some(probe)
    }

    /// Whether inner packets went or came by either since this was last asked.
    pub(crate) fn take_used(&self) -> bool {
        let used = [&self.wireguard, &self.esp].map(Marks::take_used);
        used.contains(&true)
    }

    /// Whether both carry nothing, and nobody waits for an answer.
    pub(crate) fn are_quiet(&self) -> bool {
        self.both(|_, marks, liveness| marks.are_blank() && liveness.is_quiet()) == [true, true]
    }

    pub(crate) fn probe_addresses(&self) -> Option<ProbeAddresses> {
        self.probe.load().as_deref().copied()
    }
}
