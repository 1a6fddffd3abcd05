//! The slow side of a peer's two engines: which one sends, and whether they still carry anything.

use std::time::Instant;

use twinmesh_wireguard::{PublicKey, Sealed};

use super::{Control, Port};
use crate::engine::Engine;
use crate::esp_config::EspPath;
use crate::event::Event;
use crate::guard::GuardAction;
use crate::liveness::Finding;
use crate::peer_slot::PeerSlot;
use crate::probe::{self, Kind, Probe};
use crate::relays::Relays;
use crate::send_batch::ESP_OVERHEAD;

/// Of the probes of the data plane's own, which are even; the agent is not told of their answers.
const OWN_TOKEN: u64 = 0;

/// Whether the agent asked.
pub(crate) const fn is_agents(token: u64) -> bool {
    token % 2 == 1
}

/// Of the question whether checksums may be partial; `counts` says for how long an answer counts: in ESP the SPI of what
/// was sealed with, in WireGuard how many sessions had been confirmed.
const fn sums_token(counts: u64) -> u64 {
    counts << 1
}

/// What [`sums_token`] was made of.
pub(crate) const fn answer_counts(token: u64) -> u64 {
    token >> 1
}

/// What a probe asks.
#[derive(Clone, Copy)]
struct Question {
    engine: Engine,
    attempt: u8,
    token: Token,
}

/// What the answer is known by.
#[derive(Clone, Copy)]
enum Token {
    /// Odd where it is the agent's.
    Given(u64),
    /// Of the question whether checksums may be partial: for how long the answer counts.
    PartialSums,
}

impl Control {
    pub(crate) fn set_engine(&self, key: &PublicKey, engine: Engine) -> bool {
        let table = self.shared.table.load();
        let Some(slot) = table.by_key(key) else { return false };
        slot.engines.present.set(engine);
        slot.engines.gate.act(match engine {
            Engine::WireGuard | Engine::Esp => GuardAction::Call,
            Engine::Hold => GuardAction::Refuse,
        });
        if engine == Engine::WireGuard {
            self.shared.released.lock().extend(slot.engines.gate.take(Instant::now()));
        }
        true
    }

    pub(crate) fn probe(&self, key: &PublicKey, engine: Engine, token: u64) -> bool {
        let table = self.shared.table.load();
        table.by_key(key).is_some_and(|slot| {
            self.port.ask(
                slot,
                &table.relays,
                Question { engine, attempt: 0, token: Token::Given(token) },
                Instant::now(),
            )
        })
    }

    /// Whether both engines still carry something to an agent.
    pub(super) fn look_at_engines(&self, slot: &PeerSlot, relays: &Relays, now: Instant) {
        if slot.engines.probe_addresses().is_none() {
            slot.engines.both(|_, marks, _| marks.wipe());
            return;
        }
        let found = slot.engines.both(|engine, marks, liveness| (engine, liveness.look(marks, now)));
        for (engine, findings) in found {
            for finding in findings.into_iter().flatten() {
                self.act_on_finding((slot, engine), relays, finding, now);
            }
        }
        if slot.engines.sums.is_due(now) {
            let engine = slot.engines.present.get();
            self.port.ask(slot, relays, Question { engine, attempt: 0, token: Token::PartialSums }, now);
        }
    }

    fn act_on_finding(
        &self,
        (slot, engine): (&PeerSlot, Engine),
        relays: &Relays,
        finding: Finding,
        now: Instant,
    ) {
        let peer = slot.key;
        let event = match finding {
            Finding::Probe { attempt } => {
                self.port.ask(
                    slot,
                    relays,
                    Question { engine, attempt, token: Token::Given(OWN_TOKEN) },
                    now,
                );
                if engine == Engine::WireGuard && attempt == 1 {
                    // The other end may have lost the session with its memory.
                    self.port.act_on(slot, relays, |peer, out| peer.renew(out, now));
                }
                return;
            }
            Finding::Silent => Event::Silent { peer, engine },
            Finding::Answers => Event::Answers { peer, engine },
            Finding::Unheard => Event::Unheard { peer, engine },
        };
        tracing::debug!(%peer, ?engine, ?finding, "an engine's liveness");
        (self.shared.events)(event);
    }
}

impl Port {
    /// Asks the peer by this engine whether it still hears us; false where there is nothing to ask by.
    fn ask(&self, slot: &PeerSlot, relays: &Relays, question: Question, now: Instant) -> bool {
        let Question { engine, attempt, token } = question;
        let Some(ends) = slot.engines.probe_addresses() else { return false };
        let mut packet = [0; probe::MAX_LEN];
        let request = |counts: u64| match token {
            Token::Given(token) => Probe { kind: Kind::Request, engine, attempt, partial_sums: false, token },
            Token::PartialSums => {
                slot.engines.sums.ask();
                let token = sums_token(counts);
                Probe { kind: Kind::Request, engine, attempt, partial_sums: true, token }
            }
        };
        if let Some(marks) = slot.engines.marks(engine) {
            marks.used();
        }
        match engine {
            Engine::WireGuard => {
                let mut asked = false;
                self.act_on(slot, relays, |peer, out| {
                    // What waits for a session is sealed in one that nobody knows yet.
                    if matches!(token, Token::PartialSums) && !peer.has_session() {
                        return None;
                    }
                    let packet = request(peer.sessions()).write(ends, &mut packet)?;
                    match peer.seal(packet, out, now) {
                        Sealed::Send(transmit) => {
                            asked = true;
                            Some(transmit)
                        }
                        Sealed::Waiting(transmit) => {
                            asked = true;
                            transmit
                        }
                        Sealed::Dropped(_) => None,
                    }
                });
                asked
            }
            Engine::Esp => {
                let tunnel = slot.engines.tunnel();
                let mut out = [0; probe::MAX_LEN + ESP_OVERHEAD];
                let sealed = tunnel.as_ref().and_then(|tunnel| {
                    let counts = tunnel.outbound.parameters().spi.get().into();
                    let packet = request(counts).write(ends, &mut packet)?;
                    let length = tunnel.outbound.seal(packet, &mut out, now).ok()?;
                    Some((tunnel.path(), out.get(..length)?))
                });
                // Peers have raw ESP of no kind: only UDP passes every NAT.
                let Some((EspPath { local, remote, .. }, datagram)) = sealed else { return false };
                self.send(relays, local, remote, datagram).is_ok()
            }
            Engine::Hold => false,
        }
    }
}
