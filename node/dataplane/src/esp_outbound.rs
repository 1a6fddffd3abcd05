//! A packet from TUN → policy → sealed by the tunnel's SA → send batch.

use std::time::Instant;

use twinmesh_esp::{Action, Flow, Spd, outer_fields};
use twinmesh_packet::IpPacket;

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
            ports.counters.sent(packet.len());
            let EspPath { local, remote, encapsulation } = tunnel.path();
            let form = OuterForm {
                from: local,
                traffic_class: outer_fields(&tunnel.outer, packet).traffic_class,
                in_fragments: packet.len() > usize::from(tunnel.mtu()),
            };
            if form.in_fragments {
                ports.counters.adjusted(Adjustment::OuterFragmented);
            }
            match encapsulation {
                Encapsulation::Udp => sends.commit_udp(length, remote, form, ports),
                Encapsulation::Raw => sends.commit_raw(length, remote.ip(), form),
            }
        }
        Err(reason) => ports.counters.dropped(DropReason::EspSeal(reason)),
    }
}
