//! An ESP packet → opened in place by its SA → TUN.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Instant;

use twinmesh_esp::{
    Addresses, Content, Copied, DropReason as EspDrop, OuterHeader, decapsulate_ecn, write_ip_header,
};
use twinmesh_packet::{IpPacket, Sums};
use twinmesh_wireguard::PeerIndex;

use crate::batch::InnerBatch;
use crate::counters::DropReason;
use crate::engine::Engine;
use crate::esp_tunnel::EspTunnel;
use crate::event::Event;
use crate::fit::clamp;
use crate::outbound::Ports;
use crate::peer_slot::PeerSlot;
use crate::probe::Probe;
use crate::table::Table;

/// Only this host sees it.
const HOP_LIMIT: u8 = 64;

/// What the kernel says of an ESP packet.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) from: IpAddr,
    /// The sender's port, where it came in UDP and is not known to come from where the path leads.
    pub(crate) port: Option<u16>,
    /// The lower two bits of the outer header's traffic class.
    pub(crate) ecn: u8,
}

/// What a packet was besides what it carries.
#[derive(Default)]
pub(crate) struct Taken<'t> {
    /// No later one had come before it.
    pub(crate) newest: bool,
    /// It carries a probe, and nothing for the TUN device.
    pub(crate) probe: Option<(&'t PeerSlot, Probe)>,
    /// It came from elsewhere than where the peer's path leads.
    pub(crate) elsewhere: Option<Event>,
    /// Where in the datagram the packet for the TUN device lies, if not in the batch.
    pub(crate) packet: Option<Range<usize>>,
}

/// Opens an ESP packet and hands what it carries to the TUN device.
pub(crate) fn open<'t>(
    tunnel: &EspTunnel,
    Arrival { from, port, ecn }: Arrival,
    datagram: &mut [u8],
    table: &'t Table,
    batch: &mut InnerBatch,
    ports: Ports<'_>,
    now: Instant,
) -> Result<Taken<'t>, DropReason> {
    let local = tunnel.local.unwrap_or(from);
    let outer = Addresses { source: from, destination: local };
    let opened = tunnel.inbound.open(datagram, outer, now).map_err(DropReason::Esp)?;
    let mut taken = Taken { newest: opened.newest, ..Taken::default() };
    if let Some(port) = port.filter(|_| opened.newest) {
        taken.elsewhere = heard_from(tunnel, SocketAddr::new(from, port), table, now);
    }
    match opened.content {
        Content::Packet(range) => {
            let packet = datagram.get_mut(range.clone()).unwrap_or_default();
            if let Some(peer) = tunnel.peer {
                taken.probe = from_peer(packet, peer, table)?;
                if taken.probe.is_some() {
                    return Ok(taken);
                }
            }
            decapsulate_ecn(ecn, packet).map_err(DropReason::Esp)?;
            clamp(packet, tunnel.mtu(), ports);
            taken.packet = Some(range);
        }
        Content::Payload { next_header, range } => {
            let payload = datagram.get(range).unwrap_or_default();
            let space = batch.space();
            let length = transport_packet(outer, ecn, next_header, payload, space)
                .ok_or(DropReason::Esp(EspDrop::InnerMalformed))?;
            clamp(batch.last(length), tunnel.mtu(), ports);
            batch.commit(length, Sums::Full);
        }
        Content::Dummy => return Err(DropReason::Esp(EspDrop::Dummy)),
    }
    Ok(taken)
}

/// The agent decides where a managed peer's packets go, and is told.
fn heard_from(tunnel: &EspTunnel, from: SocketAddr, table: &Table, now: Instant) -> Option<Event> {
    if tunnel.path().remote == from {
        return None;
    }
    let managed = tunnel.peer.and_then(|peer| table.by_index(peer)).filter(|slot| slot.is_managed());
    if managed.is_none_or(|slot| slot.path().is_none()) {
        tunnel.heard_from(from);
    }
    managed.and_then(|slot| slot.heard_from(from, now))
}

/// Whether the peer that the tunnel is bound to may use the source, as in WireGuard; the probe, if it is one.
fn from_peer<'t>(
    packet: &[u8],
    peer: PeerIndex,
    table: &'t Table,
) -> Result<Option<(&'t PeerSlot, Probe)>, DropReason> {
    let packet = IpPacket::parse(packet).map_err(|_| DropReason::Esp(EspDrop::InnerMalformed))?;
    let owner = table.route(packet.source()).filter(|owner| owner.index == peer);
    let slot = owner.ok_or(DropReason::SourceNotAllowed)?;
    Ok(slot.engines.heard(Engine::Esp, &packet).map(|probe| (slot, probe)))
}

/// The packet that was meant: the kernel has taken the header that stood before the datagram, so it is made
/// anew, from the addresses that arrived.
fn transport_packet(
    outer: Addresses,
    ecn: u8,
    next_header: u8,
    payload: &[u8],
    out: &mut [u8],
) -> Option<usize> {
    let header = OuterHeader {
        source: outer.source,
        destination: outer.destination,
        protocol: next_header,
        copied: Copied { traffic_class: ecn, df: true, flow_label: 0, hop_limit: HOP_LIMIT },
        identification: 0,
    };
    let header_len = write_ip_header(&header, payload.len(), out).ok()?;
    out.get_mut(header_len..header_len + payload.len())?.copy_from_slice(payload);
    Some(header_len + payload.len())
}
