//! An ESP packet → opened in place by its SA → TUN.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use twinmesh_esp::{
    Addresses, Content, Copied, DropReason as EspDrop, OuterHeader, decapsulate_ecn, write_ip_header,
};

use crate::batch::InnerBatch;
use crate::counters::DropReason;
use crate::esp_tunnel::EspTunnel;
use crate::outbound::Ports;

/// Only this host sees it.
const HOP_LIMIT: u8 = 64;

/// What the kernel says of an ESP packet.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) from: IpAddr,
    /// The sender's port, where it came in UDP.
    pub(crate) port: Option<u16>,
    /// The lower two bits of the outer header's traffic class.
    pub(crate) ecn: u8,
}

/// Opens an ESP packet and hands what it carries to the TUN device.
pub(crate) fn open(
    tunnel: &EspTunnel,
    Arrival { from, port, ecn }: Arrival,
    datagram: &mut [u8],
    batch: &mut InnerBatch,
    ports: Ports<'_>,
    now: Instant,
) -> Result<(), DropReason> {
    let local = tunnel.local.unwrap_or(from);
    let outer = Addresses { source: from, destination: local };
    let opened = tunnel.inbound.open(datagram, outer, now).map_err(DropReason::Esp)?;
    if let Some(port) = port.filter(|_| opened.newest) {
        tunnel.heard_from(SocketAddr::new(from, port));
    }
    match opened.content {
        // Written from where it was opened.
        Content::Packet(range) => {
            let packet = datagram.get_mut(range).unwrap_or_default();
            decapsulate_ecn(ecn, packet).map_err(DropReason::Esp)?;
            ports.tun.write(packet).map_err(|_| DropReason::TunWrite)?;
            ports.counters.received(packet.len());
        }
        Content::Payload { next_header, range } => {
            let payload = datagram.get(range).unwrap_or_default();
            let space = batch.space(ports.tun, ports.counters);
            let length = transport_packet(outer, ecn, next_header, payload, space)
                .ok_or(DropReason::Esp(EspDrop::InnerMalformed))?;
            batch.commit(length);
        }
        Content::Dummy => return Err(DropReason::Esp(EspDrop::Dummy)),
    }
    Ok(())
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
