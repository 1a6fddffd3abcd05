//! ESP packets without UDP, and what routers say of those that were sent.

use std::io;
use std::time::Instant;

use quinn_udp::BATCH_SIZE;
use twinmesh_esp::Spi;

use super::{BUFFER_LEN, Events, Inbound, follow_up, receive, take_packet};
use crate::esp_inbound::{self, Arrival};
use crate::outbound::Ports;
use crate::raw::RawSocket;
use crate::send_batch::SendBatch;
use crate::table::Table;

impl Inbound {
    /// Carries one batch of ESP packets without UDP; true when the socket has no more. Whose SPI is not ours belongs to
    /// the kernel or to another program, which have copies of their own.
    pub(crate) fn run_raw(
        &mut self,
        socket: &RawSocket,
        table: &Table,
        events: &Events,
        sends: &mut SendBatch,
        ports: Ports<'_>,
    ) -> io::Result<bool> {
        let received =
            receive(&mut self.storage, &mut self.metas, |buffers, metas| socket.receive(buffers, metas))?;
        let Some(count) = received else { return Ok(true) };
        let now = Instant::now();
        for (buffer, meta) in self.storage.chunks_exact_mut(BUFFER_LEN).zip(self.metas.iter().take(count)) {
            let received = buffer.get_mut(..meta.len).unwrap_or_default();
            let Some(packet) = socket.esp_offset(received).and_then(|offset| received.get_mut(offset..))
            else {
                continue;
            };
            let Some(tunnel) = Spi::of_packet(packet).and_then(|spi| table.esp.by_spi(spi)) else { continue };
            ports.counters.raw_esp();
            let arrival =
                Arrival { from: meta.addr.ip(), port: None, ecn: meta.ecn.map_or(0, |ecn| ecn as u8) };
            match esp_inbound::open(tunnel, arrival, packet, table, &mut self.opened, ports, now) {
                Ok(taken) => {
                    take_packet(&taken, tunnel, packet, 0, &mut self.opened);
                    self.news.extend(follow_up(taken, tunnel, sends, ports, now));
                }
                Err(reason) => ports.counters.dropped(reason),
            }
            self.opened.flush(packet, ports.tun, ports.counters);
        }
        self.news.drain(..).for_each(|event| events(event));
        sends.flush(ports);
        Ok(count < BATCH_SIZE)
    }

    /// Reads what routers say of packets of ESP tunnels; true when there is no more.
    pub(crate) fn run_too_big(&mut self, socket: &RawSocket, table: &Table) -> io::Result<bool> {
        let buffer = self.storage.get_mut(..BUFFER_LEN).unwrap_or_default();
        for _ in 0..BATCH_SIZE {
            let Some(report) = socket.too_big(buffer)? else { return Ok(true) };
            table.esp.too_big(&report, Instant::now());
        }
        Ok(false)
    }
}
