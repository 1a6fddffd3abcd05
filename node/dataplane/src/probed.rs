//! Probes that came: requests are answered by the engine that they came by, answers told to the agent.

use std::time::Instant;

use twinmesh_wireguard::Peer;

use crate::control::{answer_counts, is_agents};
use crate::esp_outbound;
use crate::esp_tunnel::EspTunnel;
use crate::event::Event;
use crate::outbound::{Ports, seal};
use crate::peer_slot::PeerSlot;
use crate::probe::{self, Kind, Probe};
use crate::send_batch::SendBatch;

/// Answers a probe in its tunnel; tells whose answer it is.
pub(crate) fn probed_in_esp(
    tunnel: &EspTunnel,
    slot: &PeerSlot,
    probe: Probe,
    sends: &mut SendBatch,
    ports: Ports<'_>,
    now: Instant,
) -> Option<Event> {
    if probe.kind == Kind::Answer {
        let present = slot.engines.tunnel();
        let asked = present
            .as_deref()
            .filter(|tunnel| u64::from(tunnel.outbound.parameters().spi.get()) == answer_counts(probe.token));
        if let Some(asked) = asked.filter(|_| probe.partial_sums) {
            asked.sums.send();
            slot.engines.sums.agreed();
        }
        return answered(slot, probe);
    }
    let partial_sums = probe.partial_sums && slot.engines.sums.wanted();
    if partial_sums {
        tunnel.sums.take();
    }
    answer(slot, probe, partial_sums, |packet| {
        // By the one that it came by, as long as the peer receives on that.
        match slot.engines.tunnel().as_deref().filter(|_| !tunnel.sends()) {
            Some(next) => esp_outbound::seal_one(next, packet, sends, ports, now),
            None => esp_outbound::seal_one(tunnel, packet, sends, ports, now),
        }
    });
    None
}

pub(crate) fn probed_in_wireguard(
    (slot, peer): (&PeerSlot, &mut Peer),
    probe: Probe,
    sends: &mut SendBatch,
    ports: Ports<'_>,
    now: Instant,
) -> Option<Event> {
    if probe.kind == Kind::Answer {
        if probe.partial_sums {
            slot.engines.sums.wireguard.send(answer_counts(probe.token));
            slot.engines.sums.agreed();
        }
        return answered(slot, probe);
    }
    let partial_sums = probe.partial_sums && slot.engines.sums.wanted();
    if partial_sums {
        slot.engines.sums.wireguard.take(peer.sessions());
    }
    answer(slot, probe, partial_sums, |packet| seal((slot, peer), packet, sends, ports, now));
    None
}

fn answer(slot: &PeerSlot, probe: Probe, partial_sums: bool, seal: impl FnOnce(&[u8])) {
    let mut packet = [0; probe::MAX_LEN];
    let ends = slot.engines.probe_addresses();
    ends.and_then(|ends| probe.answer(partial_sums).write(ends, &mut packet)).map(seal);
}

fn answered(slot: &PeerSlot, Probe { engine, token, .. }: Probe) -> Option<Event> {
    is_agents(token).then_some(Event::Probed { peer: slot.key, engine, token })
}
