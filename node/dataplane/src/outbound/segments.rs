//! What the TUN device gives at once: a packet, or a super-packet that is cut into its segments.

use twinmesh_packet::{IpPacket, Offload, Sums, SuperPacket, is_syn};

use super::{Pass, Way, seal};
use crate::counters::DropReason;
use crate::engine::Engine;
use crate::esp_outbound;
use crate::partial_sums::sums;
use crate::tun::Read;

impl<'t> Pass<'t, '_> {
    /// Carries what the device gave: a packet, or the segments of a super-packet, each made in `segment`.
    pub(super) fn carry_read(&mut self, read: &Read<'_>, segment: &mut [u8]) {
        let offload = Offload::read(&read.header).ok();
        let Some(whole) = offload.and_then(|offload| SuperPacket::parse(read.packet, offload).ok()) else {
            return self.ports.counters.dropped(DropReason::Malformed);
        };
        let packet = whole.packet();
        let Some(way) = self.way(&packet, whole.packet_len(0)) else { return };
        if whole.is_plain() {
            return self.send(packet, &way);
        }
        self.sends.reserve(whole.count(), self.ports);
        // The size that a connection is told of as it opens may have to be clamped.
        if !is_syn(&packet) && self.send_together(&whole, &way, segment) {
            return;
        }
        for index in 0..whole.count() {
            let length = whole.write(index, segment, Sums::Full);
            let bytes = length.and_then(|length| segment.get(..length));
            match bytes.and_then(|bytes| IpPacket::parse(bytes).ok()) {
                Some(packet) => self.send(packet, &way),
                None => self.ports.counters.dropped(DropReason::Malformed),
            }
        }
    }

    /// Sends what a super-packet stands for with what is looked up once; false, and nothing was sent, where each needs a look of its own.
    fn send_together(&mut self, whole: &SuperPacket<'_>, way: &Way<'t>, segment: &mut [u8]) -> bool {
        let Self { news, sends, held, ports, now, .. } = self;
        let length = whole.packet_len(0);
        let slot = match *way {
            Way::Esp(tunnel) => {
                let sums = sums(tunnel.sums.sends());
                return esp_outbound::seal_segments(tunnel, whole, sums, sends, *ports, *now);
            }
            Way::Peer(slot) => slot,
        };
        let engine = slot.engines.present.get();
        let sent = match engine {
            Engine::Esp => slot.engines.tunnel().as_deref().is_some_and(|tunnel| {
                let sums = slot.engines.sums.outgoing(tunnel.sums.sends());
                esp_outbound::seal_segments(tunnel, whole, sums, sends, *ports, *now)
            }),
            Engine::WireGuard if length <= usize::from(slot.wireguard_mtu()) => {
                let Some(peer) = held.take(slot) else { return false };
                let agreed = peer.has_session() && slot.engines.sums.wireguard.sends(peer.sessions());
                let sums = slot.engines.sums.outgoing(agreed);
                for index in 0..whole.count() {
                    let length = whole.write(index, segment, sums);
                    match length.and_then(|length| segment.get(..length)) {
                        Some(piece) => seal((slot, peer), piece, sends, *ports, *now),
                        None => ports.counters.dropped(DropReason::Malformed),
                    }
                }
                news.extend(slot.needed(peer.has_session(), *now));
                true
            }
            Engine::WireGuard | Engine::Hold => false,
        };
        if let Some(marks) = slot.engines.marks(engine).filter(|_| sent) {
            marks.sent();
        }
        sent
    }
}
