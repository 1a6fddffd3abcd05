//! A packet from TUN → policy → sealed by the tunnel's SA → send batch.

use std::time::Instant;

use twinmesh_esp::{Action, Flow, Mode, Spd, outer_fields};
use twinmesh_packet::{IpPacket, Sums, SuperPacket};

use crate::counters::{Adjustment, DropReason};
use crate::esp_config::{Encapsulation, EspPath};
use crate::esp_table::Protection;
use crate::esp_tunnel::EspTunnel;
use crate::fit::in_pieces;
use crate::outbound::Ports;
use crate::send_batch::{OuterForm, SendBatch};

/// What the policies say of a packet; nothing of one that has no flow, which then goes by its route.
pub(crate) fn policy<'t>(
    policies: &'t Spd<Protection>,
    packet: &IpPacket<'_>,
) -> Option<(Flow, &'t Action<Protection>)> {
    let flow = Flow::of_packet(packet.bytes()).ok()?;
    Some((flow, policies.lookup(&flow)?))
}

/// Seals a packet, in fragments if it is too long and its sender allows that; they are made in `buffer`.
pub(crate) fn seal(
    tunnel: &EspTunnel,
    packet: &IpPacket<'_>,
    buffer: &mut [u8],
    sends: &mut SendBatch,
    ports: Ports<'_>,
    now: Instant,
) {
    let mode = tunnel.outbound.parameters().mode;
    in_pieces(packet, tunnel.mtu(), mode, buffer, ports, |piece| seal_one(tunnel, piece, sends, ports, now));
}

/// Seals what a super-packet stands for, each segment made where it is to lie. False, and nothing is sealed, if they do not fit
/// the path, and in transport mode, which takes packets apart.
pub(crate) fn seal_segments(
    tunnel: &EspTunnel,
    whole: &SuperPacket<'_>,
    sums: Sums,
    sends: &mut SendBatch,
    ports: Ports<'_>,
    now: Instant,
) -> bool {
    let is_tunnel = tunnel.outbound.parameters().mode == Mode::Tunnel;
    if !is_tunnel || whole.packet_len(0) > usize::from(tunnel.mtu()) {
        return false;
    }
    let path = tunnel.path();
    let traffic_class = outer_fields(&tunnel.outer, whole.packet().bytes()).traffic_class;
    let form = OuterForm { from: path.local, traffic_class, in_fragments: false };
    let mut run = u32::try_from(whole.count())
        .ok()
        .and_then(|count| tunnel.outbound.run(count, whole.packets_len(), now));
    let (mut packets, mut bytes) = (0, 0);
    for index in 0..whole.count() {
        let length = whole.packet_len(index);
        let write = |text: &mut [u8]| whole.write(index, text, sums) == Some(length);
        let sealed = match &mut run {
            Some(run) => run.seal_with(length, sends.slot(ports), write),
            None => tunnel.outbound.seal_with(length, sends.slot(ports), now, write),
        };
        match sealed {
            Ok(sealed) => {
                (packets, bytes) = (packets + 1, bytes + length);
                commit(path, sealed, form, sends, ports);
            }
            Err(reason) => ports.counters.dropped(DropReason::EspSeal(reason)),
        }
    }
    ports.counters.sent(packets, bytes);
    true
}

fn commit(path: EspPath, sealed: usize, form: OuterForm, sends: &mut SendBatch, ports: Ports<'_>) {
    match path.encapsulation {
        Encapsulation::Udp => sends.commit_udp(sealed, path.remote, form, ports),
        Encapsulation::Raw => sends.commit_raw(sealed, path.remote.ip(), form, ports),
    }
}

/// What is still longer than the path carries goes in fragments outside.
pub(crate) fn seal_one(
    tunnel: &EspTunnel,
    packet: &[u8],
    sends: &mut SendBatch,
    ports: Ports<'_>,
    now: Instant,
) {
    let slot = sends.slot(ports);
    match tunnel.outbound.seal(packet, slot, now) {
        Ok(length) => {
            ports.counters.sent(1, packet.len());
            let path = tunnel.path();
            let form = OuterForm {
                from: path.local,
                traffic_class: outer_fields(&tunnel.outer, packet).traffic_class,
                in_fragments: packet.len() > usize::from(tunnel.mtu()),
            };
            if form.in_fragments {
                ports.counters.adjusted(Adjustment::OuterFragmented);
            }
            commit(path, length, form, sends, ports);
        }
        Err(reason) => ports.counters.dropped(DropReason::EspSeal(reason)),
    }
}
