//! Probes that came: requests are answered by the engine that they came by, answers told to the agent.

use std::time::Instant;

use twinmesh_wireguard::Peer;

use crate::control::OWN_TOKEN;
use crate::esp_outbound;
use crate::esp_tunnel::EspTunnel;
use crate::event::Event;
use crate::outbound::{Ports, seal};
use crate::partial_sums::{SENDS, TAKES};
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
        if probe.partial_sums {
            tunnel.sums.send();
            slot.engines.sums.agreed();
        }
        return answered(slot, probe);
    }
    // The one that it came by, as long as the peer receives on that.
    let present = slot.engines.tunnel();
    let by = present.as_deref().filter(|_| !tunnel.sends()).unwrap_or(tunnel);
    let partial_sums = probe.partial_sums && slot.engines.sums.wanted();
    if partial_sums {
        by.sums.take();
    }
    answer(slot, probe, partial_sums, |packet| esp_outbound::seal_one(by, packet, sends, ports, now));
    None
}

/// As [`probed_in_esp`]; the probe came in `datagram`.
pub(crate) fn probed_in_wireguard(
    (slot, peer): (&PeerSlot, &mut Peer),
    probe: Probe,
    datagram: &[u8],
    sends: &mut SendBatch,
    ports: Ports<'_>,
    now: Instant,
) -> Option<Event> {
    if probe.kind == Kind::Answer {
        if probe.partial_sums {
            peer.note_of(datagram, SENDS);
            slot.engines.sums.agreed();
        }
        return answered(slot, probe);
    }
    if probe.partial_sums && slot.engines.sums.wanted() {
        peer.note(TAKES);
    }
    let partial_sums = peer.noted() & TAKES != 0;
    answer(slot, probe, partial_sums, |packet| seal((slot, peer), packet, sends, ports, now));
    None
}

fn answer(slot: &PeerSlot, probe: Probe, partial_sums: bool, seal: impl FnOnce(&[u8])) {
    let mut packet = [0; probe::MAX_LEN];
    let ends = slot.engines.probe_addresses();
    ends.and_then(|ends| probe.answer(partial_sums).write(ends, &mut packet)).map(seal);
}

fn answered(slot: &PeerSlot, Probe { engine, token, .. }: Probe) -> Option<Event> {
    (token != OWN_TOKEN).then_some(Event::Probed { peer: slot.key, engine, token })
}
