//! Which engine carries each pair's traffic: the network map's wishes, what the data plane finds, and the steps between.

mod called;
mod drive;
mod machine;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use twinmesh_control::{FailedProtocol, Generation, NodeId, Peer, PeerKind, Protocol};
use twinmesh_dataplane::{Engine, PublicKey};

pub(super) use self::machine::Carrier;
use self::machine::{Change, Wish};
use super::agenda::Agenda;
use super::agent::Agent;
use super::tunnels::{in_esp, in_wireguard};
use crate::control::MapChange;

/// A failure that the other engine does not share is reported at once; of others the peer may just be starting anew.
const REPORT_PATIENCE: Duration = Duration::from_secs(5);

/// All pairs with agents.
#[derive(Debug, Default)]
pub(super) struct EngineChanges {
    pairs: BTreeMap<NodeId, Pair>,
    agenda: Agenda,
    /// When one that begins IKE is looked for again.
    next_call: Option<Instant>,
}

#[derive(Debug)]
struct Pair {
    change: Change,
    /// By which the data plane knows the peer.
    key: PublicKey,
    /// Of all its probes.
    token: u64,
    failures: Vec<Failing>,
}

/// A failure that lasts.
#[derive(Debug)]
struct Failing {
    carrier: Carrier,
    report: FailedProtocol,
    /// When the coordinator is to hear of it.
    due: Instant,
    is_told: bool,
}

impl Carrier {
    pub(super) const fn engine(self) -> Engine {
        match self {
            Self::WireGuard => Engine::WireGuard,
            Self::Esp => Engine::Esp,
        }
    }

    const fn of(engine: Engine) -> Option<Self> {
        match engine {
            Engine::WireGuard => Some(Self::WireGuard),
            Engine::Esp => Some(Self::Esp),
            Engine::Hold => None,
        }
    }

    pub(super) const fn protocol(self) -> Protocol {
        match self {
            Self::WireGuard => Protocol::Wireguard,
            Self::Esp => Protocol::Esp,
        }
    }

    /// As people write it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::WireGuard => "WireGuard",
            Self::Esp => "ESP",
        }
    }
}

/// What the map wants for a pair with an agent.
fn wish(peer: &Peer) -> Option<Wish> {
    let carrier = match in_esp(peer) {
        Some(_) => Carrier::Esp,
        None if in_wireguard(peer) => Carrier::WireGuard,
        None => return None,
    };
    let other_allowed = peer.identity.is_some() && !peer.compliance;
    (peer.kind == PeerKind::Agent).then_some(Wish { carrier, generation: peer.generation, other_allowed })
}

impl Pair {
    /// When a step of its change or the word of a failure is due.
    fn due(&self) -> Option<Instant> {
        let reports = self.failures.iter().filter(|failing| !failing.is_told).map(|failing| failing.due);
        self.change.poll_timeout().into_iter().chain(reports).min()
    }
}

impl EngineChanges {
    /// What is sent by to that peer; none of a peer that is no agent.
    pub(super) fn sending(&self, peer: NodeId) -> Option<Carrier> {
        self.pairs.get(&peer).map(|pair| pair.change.sending())
    }

    /// Of the choice by which the peer is sent to.
    pub(super) fn generation(&self, peer: NodeId) -> Option<Generation> {
        self.pairs.get(&peer).map(|pair| pair.change.generation())
    }

    /// Whether the peer is to be reachable in ESP.
    pub(super) fn is_in_esp(&self, peer: NodeId) -> bool {
        self.pairs.get(&peer).is_some_and(|pair| pair.change.is_open(Carrier::Esp))
    }

    /// For the coordinator.
    pub(super) fn failed(&self, peer: NodeId, now: Instant) -> Vec<FailedProtocol> {
        let failing = self.pairs.get(&peer).into_iter().flat_map(|pair| &pair.failures);
        failing.filter(|failing| failing.due <= now).map(|failing| failing.report.clone()).collect()
    }

    /// Why another engine carries the traffic than the one that is wanted, or why none does, in words.
    pub(super) fn problem(&self, peer: NodeId) -> Option<String> {
        let failing = self.pairs.get(&peer)?.failures.first()?;
        Some(failing.report.text.clone())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.agenda.poll_timeout()
    }

    /// The tunnels are down.
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.agenda = Agenda::default();
    }

    /// To change it; the next turn sees to what follows.
    fn pair_mut(&mut self, id: NodeId) -> Option<&mut Pair> {
        let pair = self.pairs.get_mut(&id)?;
        self.agenda.touch(id);
        Some(pair)
    }
}

impl Agent {
    /// Brings the wishes to the map; the peers are in the data plane already.
    pub(super) fn sync_changes(&mut self, change: &MapChange, now: Instant) {
        let Some(map) = self.stored.map.as_ref().filter(|_| self.plane.is_some()) else { return };
        let ids: Vec<NodeId> = match change {
            MapChange::Whole => {
                let gone = self.changes.pairs.keys().filter(|id| !map.peers.contains_key(id));
                gone.chain(map.peers.keys()).copied().collect()
            }
            MapChange::Peers { changed, removed, .. } => removed.iter().chain(changed).copied().collect(),
        };
        for id in ids {
            let peer = map.peers.get(&id);
            let Some((peer, wish)) = peer.and_then(|peer| Some((peer, wish(peer)?))) else {
                self.changes.pairs.remove(&id);
                self.changes.agenda.schedule(id, None);
                continue;
            };
            let key = PublicKey(peer.wireguard_key.0);
            if let Some(pair) = self.changes.pair_mut(id).filter(|pair| pair.key == key) {
                pair.change.set_wish(now, wish);
            } else if let Ok(token) = getrandom::u64() {
                // 0 is the data plane's.
                let pair = Pair { change: Change::new(wish), key, token: token | 1, failures: Vec::new() };
                self.changes.pairs.insert(id, pair);
                self.changes.agenda.touch(id);
            }
        }
    }
}
