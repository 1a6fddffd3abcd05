//! A packet from TUN → policy → sealed by the tunnel's SA → send batch.

use std::time::Instant;

use twinmesh_esp::{Action, Flow, Mode, Spd, outer_fields};
use twinmesh_packet::{Fragments, IcmpError, IpPacket};

use crate::counters::DropReason;
use crate::esp_config::{Encapsulation, EspPath};
use crate::esp_table::Protection;
use crate::esp_tunnel::EspTunnel;
use crate::outbound::{Ports, answer};
use crate::send_batch::SendBatch;

/// What the policies say of a packet; nothing of one that has no flow, which then goes by its route.
pub(crate) fn policy<'t>(
    policies: &'t Spd<Protection>,
    packet: &IpPacket<'_>,
) -> Option<(Flow, &'t Action<Protection>)> {
    let flow = Flow::of_packet(packet.bytes()).ok()?;
    Some((flow, policies.lookup(&flow)?))
}

/// Seals a packet, in fragments if it is too long and its sender allows that (RFC 4301 §8.2.1); they are made in
/// `buffer`.
pub(crate) fn seal(
    tunnel: &EspTunnel,
    packet: &IpPacket<'_>,
    buffer: &mut [u8],
    sends: &mut SendBatch,
    ports: Ports<'_>,
    now: Instant,
) {
    let mtu = tunnel.mtu();
    if packet.bytes().len() <= usize::from(mtu) {
        return seal_one(tunnel, packet.bytes(), sends, ports, now);
    }
    // Transport mode takes whole packets only (RFC 4303 §3.3.4).
    let fragments = match tunnel.outbound.parameters().mode {
        Mode::Tunnel => Fragments::of(packet, mtu),
        Mode::Transport => None,
    };
    let Some(mut fragments) = fragments else {
        ports.counters.dropped(DropReason::TooBig);
        return answer(packet, IcmpError::TooBig { mtu }, ports);
    };
    while let Some(fragment) = fragments.next_into(buffer) {
        seal_one(tunnel, fragment, sends, ports, now);
    }
}

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
            let traffic_class = outer_fields(&tunnel.outer, packet).traffic_class;
            let EspPath { local, remote, encapsulation } = tunnel.path();
            match encapsulation {
                Encapsulation::Udp => {
                    sends.commit_udp(length, remote, local, traffic_class, ports);
                }
                Encapsulation::Raw => sends.commit_raw(length, traffic_class, remote.ip(), local),
            }
        }
        Err(reason) => ports.counters.dropped(DropReason::EspSeal(reason)),
    }
}
