//! UDP → demultiplexer → open → source check → TUN, a batch at a time.

mod raw;
mod relayed;

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use quinn_udp::{BATCH_SIZE, RecvMeta};
use twinmesh_esp::{DropReason as EspDrop, Spi};
use twinmesh_packet::{IpPacket, is_syn};
use twinmesh_wireguard::{
    Admission, Change, Device, DropReason as WireGuardDrop, MAX_REPLY_LEN, Opened, Peer,
};

use crate::batch::InnerBatch;
use crate::counters::{Call, DropReason};
use crate::datagram::{DatagramKind, classify};
use crate::engine::Engine;
use crate::esp_inbound::{self, Arrival, Taken};
use crate::esp_tunnel::EspTunnel;
use crate::event::Event;
use crate::fit::clamp;
use crate::outbound::{Held, Ports, commit};
use crate::peer_slot::PeerSlot;
use crate::probed::{probed_in_esp, probed_in_wireguard};
use crate::send_batch::SendBatch;
use crate::table::Table;
use crate::udp;

pub use relayed::RelayedInbound;

/// With GRO the kernel may fill a buffer with up to 64 KiB of datagrams.
const BUFFER_LEN: usize = 65_536;

/// Where events go.
pub(crate) type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// The inbound half of a worker.
pub(crate) struct Inbound {
    storage: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
    opened: InnerBatch,
    news: Vec<Event>,
}

/// What the kernel says of a datagram.
#[derive(Clone, Copy)]
struct Outer {
    from: SocketAddr,
    /// This node's address.
    to: Option<IpAddr>,
    /// The lower two bits of the outer header's traffic class.
    ecn: u8,
    /// Where in what was received the datagram begins.
    start: usize,
}

/// What the handling of each datagram shares.
struct Pass<'t, 'p> {
    table: &'t Table,
    device: &'t Device,
    news: &'p mut Vec<Event>,
    sends: &'p mut SendBatch,
    opened: &'p mut InnerBatch,
    held: Held<'t>,
    ports: Ports<'p>,
    now: Instant,
    /// Datagrams of one kind that are not yet counted.
    kind: (DatagramKind, u64),
    /// Of the last ESP packet.
    esp: Option<EspSender<'t>>,
}

/// The far end of a tunnel in one pass.
#[derive(Clone, Copy)]
struct EspSender<'t> {
    spi: Spi,
    tunnel: &'t EspTunnel,
    /// From where one of its newest packets came, of which the tunnel knows.
    heard_from: Option<SocketAddr>,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self {
            storage: vec![0; BUFFER_LEN * BATCH_SIZE].into(),
            metas: [RecvMeta::default(); BATCH_SIZE],
            opened: InnerBatch::new(),
            news: Vec::new(),
        }
    }

    /// Carries one batch; true when the socket has no more.
    pub(crate) fn run(
        &mut self,
        table: &Table,
        device: &Device,
        events: &Events,
        sends: &mut SendBatch,
        ports: Ports<'_>,
    ) -> io::Result<bool> {
        ports.counters.called(Call::Receive);
        let received =
            receive(&mut self.storage, &mut self.metas, |buffers, metas| ports.udp.receive(buffers, metas))?;
        let Some(count) = received else { return Ok(true) };
        let (mut pass, storage, metas) = self.pass(table, device, sends, ports);
        for (meta, start) in metas.iter().take(count).zip((0..).step_by(BUFFER_LEN)) {
            let from = udp::canonical(meta.addr);
            let ecn = meta.ecn.map_or(0, |ecn| ecn as u8);
            let outer = Outer { from, to: meta.dst_ip, ecn, start };
            let filled = storage.get_mut(start..start + meta.len).unwrap_or_default();
            let stride = meta.stride.max(1);
            if filled.is_empty() {
                pass.datagram(outer, filled);
            }
            for (index, datagram) in filled.chunks_mut(stride).enumerate() {
                pass.datagram(Outer { start: start + index * stride, ..outer }, datagram);
            }
            // A super-packet of the sender's may be longer than a train: its end comes in the next buffer.
            if pass.opened.bytes() > BUFFER_LEN {
                pass.flush(storage);
            }
        }
        pass.flush(storage);
        pass.end(events);
        Ok(count < BATCH_SIZE)
    }

    /// The handling of datagrams, and what was received.
    fn pass<'t, 'p>(
        &'p mut self,
        table: &'t Table,
        device: &'t Device,
        sends: &'p mut SendBatch,
        ports: Ports<'p>,
    ) -> (Pass<'t, 'p>, &'p mut [u8], &'p [RecvMeta]) {
        let Self { storage, metas, opened, news } = self;
        let (held, now) = (Held::default(), Instant::now());
        let kind = (DatagramKind::Unknown, 0);
        (Pass { table, device, news, sends, opened, held, ports, now, kind, esp: None }, storage, metas)
    }
}

/// Fills the buffers; `None` when the socket has nothing.
fn receive(
    storage: &mut [u8],
    metas: &mut [RecvMeta],
    from: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
) -> io::Result<Option<usize>> {
    let mut chunks = storage.chunks_exact_mut(BUFFER_LEN);
    let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
        std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
    match from(&mut buffers, metas) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

impl<'t> Pass<'t, '_> {
    /// Writes the packets that were opened; `buffer` is what they were received in.
    fn flush(&mut self, buffer: &mut [u8]) {
        self.opened.flush(buffer, self.ports.tun, self.ports.counters);
    }

    /// Hands out what has gathered.
    fn end(self, events: &Events) {
        self.count_kind();
        let Self { news, sends, held, ports, .. } = self;
        // Not before the last peer's lock is released: the receiver may call back.
        drop(held);
        news.drain(..).for_each(|event| events(event));
        sends.flush(ports);
    }

    fn datagram(&mut self, outer: Outer, datagram: &mut [u8]) {
        let Outer { from, to, .. } = outer;
        let kind = classify(datagram);
        if self.kind.0 != kind {
            self.count_kind();
            self.kind = (kind, 0);
        }
        self.kind.1 += 1;
        match kind {
            DatagramKind::WireGuard => self.wireguard(from, datagram),
            DatagramKind::Stun => self.news.push(Event::Stun { from, datagram: datagram.to_vec() }),
            DatagramKind::NatKeepalive => {}
            DatagramKind::Esp => self.esp(outer, datagram),
            DatagramKind::Ike => {
                let to = to.map(|to| to.to_canonical());
                self.news.push(Event::Ike { from, to, datagram: datagram.to_vec() });
            }
            DatagramKind::TurnChannel => self.channel(outer, datagram),
            DatagramKind::Unknown => self.dropped(DropReason::UnknownDatagram),
        }
    }

    fn count_kind(&self) {
        if self.kind.1 > 0 {
            self.ports.counters.datagrams(self.kind.0, self.kind.1);
        }
    }

    fn esp(&mut self, Outer { from, ecn, start, .. }: Outer, datagram: &mut [u8]) {
        let Some(EspSender { tunnel, heard_from, .. }) = self.esp_sender(datagram) else {
            return self.dropped(DropReason::Esp(EspDrop::UnknownSpi));
        };
        let port = (heard_from != Some(from)).then_some(from.port());
        let arrival = Arrival { from: from.ip(), port, ecn };
        let Self { table, opened, ports, now, .. } = self;
        match esp_inbound::open(tunnel, arrival, datagram, table, opened, *ports, *now) {
            Ok(taken) => {
                if let Some(sender) = self.esp.as_mut().filter(|_| taken.newest) {
                    sender.heard_from = Some(from);
                }
                take_packet(&taken, tunnel, datagram, start, opened);
                self.news.extend(follow_up(taken, tunnel, self.sends, self.ports, self.now));
            }
            Err(reason) => self.dropped(reason),
        }
    }

    /// Whose ESP packet it is: neighbours mostly are of one tunnel.
    fn esp_sender(&mut self, packet: &[u8]) -> Option<EspSender<'t>> {
        let spi = Spi::of_packet(packet)?;
        if self.esp.is_none_or(|last| last.spi != spi) {
            let tunnel = self.table.esp.by_spi(spi)?;
            self.esp = Some(EspSender { spi, tunnel, heard_from: None });
        }
        self.esp
    }

    fn wireguard(&mut self, from: SocketAddr, datagram: &[u8]) {
        let mut reply = [0; MAX_REPLY_LEN];
        let slot = match self.device.admit(from.ip(), datagram, &mut reply) {
            Admission::Index(index) => self.table.by_index(index).ok_or(WireGuardDrop::UnknownIndex),
            Admission::Initiation(key) => {
                self.table.by_key(&key).map(AsRef::as_ref).ok_or(WireGuardDrop::UnknownPeer)
            }
            Admission::Cookie(cookie) => {
                self.sends.push(cookie, from, self.ports);
                Err(WireGuardDrop::UnderLoad)
            }
            Admission::Drop(reason) => Err(reason),
        };
        match slot {
            Ok(slot) => self.open(slot, from, datagram),
            Err(reason) => self.dropped(DropReason::WireGuard(reason)),
        }
    }

    fn open(&mut self, slot: &'t PeerSlot, from: SocketAddr, datagram: &[u8]) {
        let Self { table, sends, opened, held, ports, now, news, .. } = self;
        let Some(peer) = held.take(slot) else { return ports.counters.dropped(DropReason::PeerRemoved) };
        let (outcome, change) = peer.open(from, datagram, opened.space(), *now);
        match outcome {
            Opened::Packet(bytes) => match check_source(bytes, slot, table) {
                Ok(packet) => {
                    let (length, opens_connection) = (packet.bytes().len(), is_syn(&packet));
                    if let Some(probe) = slot.engines.heard(Engine::WireGuard, &packet) {
                        let seen = probed_in_wireguard((slot, peer), probe, sends, *ports, *now);
                        news.extend(seen);
                    } else {
                        if opens_connection {
                            clamp(opened.last(length), slot.mtu(), *ports);
                        }
                        opened.commit(length, slot.engines.sums.wireguard.incoming(peer.sessions()));
                    }
                }
                Err(reason) => ports.counters.dropped(reason),
            },
            Opened::Answer(answer) => sends.push(answer.datagram, from, *ports),
            // A keepalive, or a cookie, which proves nothing.
            Opened::Nothing => {
                if let Some(marks) = slot.engines.marks(Engine::WireGuard).filter(|_| is_data(datagram)) {
                    marks.heard();
                }
            }
            Opened::Dropped(reason) => ports.counters.dropped(DropReason::WireGuard(reason)),
        }
        send_waiting(slot, peer, sends, *ports, *now);
        news.extend(match change {
            Some(Change::Up(endpoint)) => Some(Event::PeerUp { peer: slot.key, endpoint }),
            Some(Change::Moved(endpoint)) => Some(Event::EndpointChanged { peer: slot.key, endpoint }),
            Some(Change::Heard(from)) => slot.heard_from(from, *now),
            None => None,
        });
    }

    fn dropped(&self, reason: DropReason) {
        self.ports.counters.dropped(reason);
    }
}

/// Lets the packet of a datagram, which begins at `start` in what was received, wait to be written.
fn take_packet(
    taken: &Taken<'_>,
    tunnel: &EspTunnel,
    datagram: &[u8],
    start: usize,
    opened: &mut InnerBatch,
) {
    if let Some(range) = &taken.packet {
        let packet = datagram.get(range.clone()).unwrap_or_default();
        opened.commit_received(start + range.start..start + range.end, packet, tunnel.sums.incoming());
    }
}

/// Answers a probe; what the agent is to know.
fn follow_up(
    Taken { probe, elsewhere, .. }: Taken<'_>,
    tunnel: &EspTunnel,
    sends: &mut SendBatch,
    ports: Ports<'_>,
    now: Instant,
) -> impl Iterator<Item = Event> {
    let answered = probe.and_then(|(slot, probe)| probed_in_esp(tunnel, slot, probe, sends, ports, now));
    answered.into_iter().chain(elsewhere)
}

/// Message type 4 (whitepaper §5.4.6).
fn is_data(datagram: &[u8]) -> bool {
    datagram.first() == Some(&4)
}

/// The inner packet, if its source is one that the peer may use: exactly the addresses that we would send to this peer
/// and no other.
fn check_source<'b>(bytes: &'b [u8], slot: &PeerSlot, table: &Table) -> Result<IpPacket<'b>, DropReason> {
    let packet = IpPacket::parse(bytes).map_err(|_| DropReason::WireGuard(WireGuardDrop::InnerMalformed))?;
    match table.route(packet.source()) {
        Some(owner) if std::ptr::eq(owner, slot) => Ok(packet),
        _ => Err(DropReason::SourceNotAllowed),
    }
}

/// Sends what waited for the session.
fn send_waiting(slot: &PeerSlot, peer: &mut Peer, sends: &mut SendBatch, ports: Ports<'_>, now: Instant) {
    while let Some(transmit) = peer.next_waiting(sends.slot(ports), now) {
        let (to, length) = (transmit.to, transmit.datagram.len());
        commit((slot, peer), to, length, sends, ports);
    }
}
