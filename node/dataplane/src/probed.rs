//! Probes that came: requests are answered by the engine that they came by, answers told to the agent.

use std::time::Instant;

use twinmesh_wireguard::Peer;

use crate::control::OWN_TOKEN;
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
    answer(slot, probe, |packet| {
        // The one that it came by, as long as the peer receives on that.
        match slot.engines.tunnel().as_deref().filter(|_| !tunnel.sends()) {
            Some(next) => esp_outbound::seal_one(next, packet, sends, ports, now),
            None => esp_outbound::seal_one(tunnel, packet, sends, ports, now),
        }
    })
}

pub(crate) fn probed_in_wireguard(
    peer: &mut Peer,
    slot: &PeerSlot,
    probe: Probe,
    sends: &mut SendBatch,
    ports: Ports<'_>,
    now: Instant,
) -> Option<Event> {
    answer(slot, probe, |packet| seal((slot, peer), packet, sends, ports, now))
}

fn answer(slot: &PeerSlot, probe: Probe, seal: impl FnOnce(&[u8])) -> Option<Event> {
    let Probe { kind, engine, token, .. } = probe;
    match kind {
        Kind::Request => {
            let mut packet = [0; probe::MAX_LEN];
            let ends = slot.engines.probe_addresses()?;
            probe.answer().write(ends, &mut packet).map(seal);
            None
        }
        Kind::Answer => (token != OWN_TOKEN).then_some(Event::Probed { peer: slot.key, engine, token }),
    }
}
