//! Datagrams that came by way of a relay: as channel data on the shared port, or unpacked by the agent.

use std::net::SocketAddr;

use twinmesh_wireguard::Device;

use super::{Events, Inbound, Outer, Pass};
use crate::counters::DropReason;
use crate::datagram::{DatagramKind, classify};
use crate::outbound::Ports;
use crate::send_batch::SendBatch;
use crate::table::Table;
use crate::turn::parse_channel;

/// A datagram that the agent has unpacked.
pub(crate) struct Relayed {
    pub(crate) from: SocketAddr,
    pub(crate) datagram: Vec<u8>,
}

impl Inbound {
    /// Carries datagrams that the agent has unpacked, as if they had come in on the shared port.
    pub(crate) fn run_relayed(
        &mut self,
        relayed: Vec<Relayed>,
        table: &Table,
        device: &Device,
        events: &Events,
        sends: &mut SendBatch,
        ports: Ports<'_>,
    ) {
        let (mut pass, _, _) = self.pass(table, device, sends, ports);
        for Relayed { from, mut datagram } in relayed {
            pass.unwrapped(Outer { from, to: None, ecn: 0 }, &mut datagram);
        }
        pass.end(events);
    }
}

impl Pass<'_, '_> {
    /// Channel data (RFC 8656 §12.6): what is in it comes from a relayed address. The address that it was sent to is the
    /// relay's to know.
    pub(super) fn channel(&mut self, server: SocketAddr, ecn: u8, datagram: &mut [u8]) {
        let Some((number, content)) = parse_channel(datagram) else {
            return self.dropped(DropReason::MalformedChannel);
        };
        match self.ports.relays.peer_of(server, number) {
            Some(from) => self.unwrapped(Outer { from, to: None, ecn }, content),
            None => self.dropped(DropReason::UnknownChannel),
        }
    }

    /// No relay is reached by a relay, so nothing is wrapped twice.
    fn unwrapped(&mut self, outer: Outer, datagram: &mut [u8]) {
        if classify(datagram) == DatagramKind::TurnChannel {
            return self.dropped(DropReason::MalformedChannel);
        }
        self.datagram(outer, datagram);
    }
}
