//! What the ways to peers carry: asked of the kernel where something has changed, and now and then where it matters.

use std::net::SocketAddr;
use std::time::Instant;

use twinmesh_wireguard::OVERHEAD;

use super::Control;
use crate::esp_tunnel::EspTunnel;
use crate::peer_slot::PeerSlot;
use crate::relays::Relays;

impl Control {
    /// Measures a peer's way if that is called for; `again` where it may be narrower by now.
    pub(super) fn look_at_way(&self, slot: &PeerSlot, relays: &Relays, again: bool) {
        let seen = slot.peer.lock().as_ref().map(|peer| (peer.endpoint(), peer.sent().packets));
        let Some((endpoint, sent)) = seen else { return };
        if slot.is_another_way(endpoint.map(|endpoint| relays.hop(endpoint)), sent, again) {
            self.measure(slot, relays);
        }
    }

    /// Takes note of what the way to a peer carries in WireGuard; before its address is known, what all ways do.
    pub(super) fn measure(&self, slot: &PeerSlot, relays: &Relays) {
        let ways: Vec<SocketAddr> = match slot.peer.lock().as_ref() {
            Some(peer) => peer.endpoint().map_or_else(|| peer.targets().collect(), |endpoint| vec![endpoint]),
            None => return,
        };
        let path = slot.path();
        let overhead = u16::try_from(OVERHEAD).unwrap_or(u16::MAX);
        let carries = |to: SocketAddr| {
            let found = path.filter(|path| path.remote == to).map(|path| path.mtu);
            // No route at all: the peer is out of reach there for other reasons too.
            relays.hop(to).inner_mtu(overhead, found, &self.routes).ok()
        };
        if let Some(mtu) = ways.into_iter().filter_map(carries).min() {
            slot.set_wireguard_mtu(mtu);
        }
    }

    /// Measures the way of an ESP tunnel where another hop leads there, or where it may be narrower by now.
    pub(super) fn look_at_esp_way(&self, tunnel: &EspTunnel, relays: &Relays, now: Instant) {
        if tunnel.is_another_way(relays.hop(tunnel.path().remote)) {
            self.measure_esp(tunnel, relays, now);
        }
    }

    /// Takes note of what the way of an ESP tunnel carries.
    pub(super) fn measure_esp(&self, tunnel: &EspTunnel, relays: &Relays, now: Instant) {
        let hop = relays.hop(tunnel.path().remote);
        let route_mtu = hop.next().and_then(|next| {
            self.routes
                .of(next)
                .inspect_err(|error| tracing::trace!(tunnel = tunnel.name, %error, "no MTU of the path"))
                .ok()
        });
        tunnel.take_hop(hop, route_mtu, now);
    }
}
