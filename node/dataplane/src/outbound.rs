//! TUN → policy or route → ESP tunnel, guard or peer → seal by its engine → UDP, a batch at a time.

mod segments;

use std::io;
use std::time::Instant;

use parking_lot::MutexGuard;
use twinmesh_esp::{Action, Flow, Mode};
use twinmesh_packet::{IcmpError, IpPacket, MAX_ERROR_LEN, Offload, is_mistakable, is_syn, write_error};
use twinmesh_wireguard::{Destination, OVERHEAD, Peer, Sealed, Transmit};

use crate::counters::{Adjustment, Call, Counters, DropReason};
use crate::engine::Engine;
use crate::esp_outbound;
use crate::esp_table::Protection;
use crate::esp_tunnel::EspTunnel;
use crate::event::Event;
use crate::fit::{clamp, in_pieces};
use crate::gate::Met;
use crate::guard::Guard;
use crate::inbound::Events;
use crate::peer_slot::PeerSlot;
use crate::relays::Relays;
use crate::send_batch::{BATCH, OuterForm, SendBatch};
use crate::table::Table;
use crate::tun::{MAX_READ, TunQueue};
use crate::udp::UdpPort;

/// Bytes read from the TUN device in a batch, besides the last packet: four super-packets.
const BATCH_BYTES: usize = 3 * 65_535;

/// What a worker has at hand for both directions.
#[derive(Clone, Copy)]
pub(crate) struct Ports<'w> {
    pub(crate) tun: &'w TunQueue,
    pub(crate) udp: &'w UdpPort,
    pub(crate) relays: &'w Relays,
    pub(crate) counters: &'w Counters,
    /// Of the TUN device.
    pub(crate) mtu: u16,
}

/// The outbound half of a worker.
pub(crate) struct Outbound {
    read: Box<[u8]>,
    /// One segment of what was read.
    segment: Box<[u8]>,
    scratch: Scratch,
    news: Vec<Event>,
}

/// Where packets are made that are not quite what the device gave.
struct Scratch {
    /// The fragments of one that its way does not carry whole.
    fragment: Box<[u8]>,
    /// One that opens a connection.
    opening: Box<[u8]>,
}

/// What the handling of each packet shares.
struct Pass<'t, 'p> {
    table: &'t Table,
    scratch: &'p mut Scratch,
    news: &'p mut Vec<Event>,
    sends: &'p mut SendBatch,
    held: Held<'t>,
    ports: Ports<'p>,
    now: Instant,
}

impl Outbound {
    pub(crate) fn new(mtu: u16) -> Self {
        Self {
            read: vec![0; MAX_READ].into(),
            segment: vec![0; usize::from(mtu)].into(),
            scratch: Scratch {
                fragment: vec![0; usize::from(mtu)].into(),
                opening: vec![0; usize::from(mtu)].into(),
            },
            news: Vec::new(),
        }
    }

    /// Carries one batch; true when the device has no more.
    pub(crate) fn run(
        &mut self,
        table: &Table,
        events: &Events,
        sends: &mut SendBatch,
        ports: Ports<'_>,
    ) -> io::Result<bool> {
        let Self { read, segment, scratch, news } = self;
        let mut pass = Pass::new(table, scratch, news, sends, ports);
        let (mut reads, mut bytes) = (0, 0);
        let drained = loop {
            if reads == BATCH || bytes > BATCH_BYTES {
                break Ok(false);
            }
            ports.counters.called(Call::TunRead);
            match ports.tun.read(read) {
                Ok(read) => {
                    (reads, bytes) = (reads + 1, bytes + read.packet.len());
                    pass.carry_read(&read, segment);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        pass.end(events);
        drained
    }

    /// Carries packets that had been kept, as if the device had just given them.
    pub(crate) fn run_released(
        &mut self,
        packets: &[Box<[u8]>],
        table: &Table,
        events: &Events,
        sends: &mut SendBatch,
        ports: Ports<'_>,
    ) {
        let Self { scratch, news, .. } = self;
        let mut pass = Pass::new(table, scratch, news, sends, ports);
        for bytes in packets {
            pass.carry(bytes);
        }
        pass.end(events);
    }
}

impl<'t, 'p> Pass<'t, 'p> {
    fn new(
        table: &'t Table,
        scratch: &'p mut Scratch,
        news: &'p mut Vec<Event>,
        sends: &'p mut SendBatch,
        ports: Ports<'p>,
    ) -> Self {
        Self { table, scratch, news, sends, held: Held::default(), ports, now: Instant::now() }
    }

    fn end(self, events: &Events) {
        let Self { news, sends, held, ports, .. } = self;
        // Not before the last peer's lock is released: the receiver may call back.
        drop(held);
        news.drain(..).for_each(|event| events(event));
        sends.flush(ports);
    }

    /// Carries one packet as it is.
    fn carry(&mut self, bytes: &[u8]) {
        let Ok(packet) = IpPacket::parse(bytes) else {
            return self.ports.counters.dropped(DropReason::Malformed);
        };
        if let Some(way) = self.way(&packet, bytes.len()) {
            self.send(packet, &way);
        }
    }

    fn send(&mut self, packet: IpPacket<'_>, way: &Way<'t>) {
        let guards = match *way {
            Way::Peer(slot) => slot.engines.sums.guards(),
            Way::Esp(tunnel) => tunnel.sums.sends(),
        };
        if guards && is_mistakable(&packet) {
            return self.ports.counters.dropped(DropReason::WrongChecksum);
        }
        let Self { scratch: Scratch { fragment, opening }, news, sends, held, ports, now, .. } = self;
        let packet = if is_syn(&packet) { clamped(packet, way, opening, *ports) } else { packet };
        match *way {
            Way::Esp(tunnel) => esp_outbound::seal(tunnel, &packet, fragment, sends, *ports, *now),
            Way::Peer(slot) => {
                let engine = slot.engines.present.get();
                if let Some(marks) = slot.engines.marks(engine) {
                    marks.sent();
                }
                match engine {
                    Engine::WireGuard => match held.take(slot) {
                        Some(peer) => {
                            let mtu = slot.wireguard_mtu();
                            in_pieces(&packet, mtu, Mode::Tunnel, fragment, *ports, |piece| {
                                seal((slot, peer), piece, sends, *ports, *now);
                            });
                            news.extend(slot.needed(peer.has_session(), *now));
                        }
                        None => ports.counters.dropped(DropReason::PeerRemoved),
                    },
                    Engine::Esp | Engine::Hold => match slot.engines.tunnel().as_deref() {
                        Some(tunnel) if engine == Engine::Esp => {
                            esp_outbound::seal(tunnel, &packet, fragment, sends, *ports, *now);
                        }
                        Some(_) | None => {
                            let met = slot.engines.gate.meet(packet.bytes(), *now);
                            met_gate(met, &packet, news, *ports, || Event::Needed { peer: slot.key });
                        }
                    },
                }
            }
        }
    }

    /// Finds whose packet it is, which goes in pieces of at most `length` bytes; answers with ICMP if it can go nowhere.
    fn way(&mut self, packet: &IpPacket<'_>, length: usize) -> Option<Way<'t>> {
        let ports = self.ports;
        if length > usize::from(ports.mtu) {
            ports.counters.dropped(DropReason::TooBig);
            answer(packet, IcmpError::TooBig { mtu: ports.mtu }, ports);
            return None;
        }
        if let Some(policies) = self.table.esp.policies() {
            match esp_outbound::policy(policies, packet) {
                Some((_, Action::Protect(Protection::Tunnel(tunnel)))) => {
                    return Some(Way::Esp(tunnel));
                }
                Some((flow, Action::Protect(Protection::Guard(guard)))) => {
                    self.guarded(guard, packet, flow);
                    return None;
                }
                Some((_, Action::Discard)) => {
                    ports.counters.dropped(DropReason::Discarded);
                    answer(packet, IcmpError::NoRoute, ports);
                    return None;
                }
                Some((_, Action::Bypass)) | None => {}
            }
        }
        let Some(slot) = self.table.route(packet.destination()) else {
            if packet.destination().is_multicast() {
                ports.counters.dropped(DropReason::Multicast);
                return None;
            }
            ports.counters.dropped(DropReason::NoRoute);
            answer(packet, IcmpError::NoRoute, ports);
            return None;
        };
        Some(Way::Peer(slot))
    }

    fn guarded(&mut self, guard: &Guard, packet: &IpPacket<'_>, flow: Flow) {
        let met = guard.meet(packet.bytes(), self.now);
        let call = || Event::Wanted { guard: guard.name.clone(), flow };
        met_gate(met, packet, self.news, self.ports, call);
    }
}

/// What carries a packet.
enum Way<'t> {
    Peer(&'t PeerSlot),
    Esp(&'t EspTunnel),
}

/// What becomes of a packet without a tunnel.
fn met_gate(
    met: Met,
    packet: &IpPacket<'_>,
    news: &mut Vec<Event>,
    ports: Ports<'_>,
    call: impl FnOnce() -> Event,
) {
    match met {
        Met::Called => news.push(call()),
        Met::Kept => {}
        Met::Dropped => ports.counters.dropped(DropReason::NoSa),
        Met::Refused => {
            ports.counters.dropped(DropReason::NoSa);
            answer(packet, IcmpError::Prohibited, ports);
        }
    }
}

/// The packet, which opens a connection, such that this connection's segments fit; made in `buffer`.
fn clamped<'a>(packet: IpPacket<'a>, way: &Way<'_>, buffer: &'a mut [u8], ports: Ports<'_>) -> IpPacket<'a> {
    let mtu = match way {
        Way::Peer(slot) => slot.mtu(),
        Way::Esp(tunnel) => tunnel.mtu(),
    };
    let Some(copy) = buffer.get_mut(..packet.bytes().len()) else { return packet };
    copy.copy_from_slice(packet.bytes());
    clamp(copy, mtu, ports);
    IpPacket::parse(copy).unwrap_or(packet)
}

pub(crate) fn answer(packet: &IpPacket<'_>, error: IcmpError, ports: Ports<'_>) {
    let mut out = [0; MAX_ERROR_LEN];
    if let Some(bytes) = write_error(packet, error, &mut out).and_then(|length| out.get(..length))
        && ports.tun.write(bytes, Offload::NONE).is_err()
    {
        ports.counters.dropped(DropReason::TunWrite);
    }
}

pub(crate) fn seal(
    (slot, peer): (&PeerSlot, &mut Peer),
    packet: &[u8],
    sends: &mut SendBatch,
    ports: Ports<'_>,
    now: Instant,
) {
    let transmit = match peer.seal(packet, sends.slot(ports), now) {
        Sealed::Send(transmit) => Some(transmit),
        Sealed::Waiting(transmit) => transmit,
        Sealed::Dropped(reason) => return ports.counters.dropped(DropReason::WireGuard(reason)),
    };
    ports.counters.sent(1, packet.len());
    if let Some(Transmit { to, datagram }) = transmit {
        let length = datagram.len();
        commit((slot, peer), to, length, sends, ports);
    }
}

/// Queues the datagram in the batch's slot for wherever the peer says. What the way does not carry whole was let pass
/// all the same, or waited while it got narrower: it goes in fragments.
pub(crate) fn commit(
    (slot, peer): (&PeerSlot, &Peer),
    to: Destination,
    length: usize,
    sends: &mut SendBatch,
    ports: Ports<'_>,
) {
    match to {
        Destination::Endpoint(endpoint) => {
            let in_fragments = length > usize::from(slot.wireguard_mtu()) + OVERHEAD;
            if in_fragments {
                ports.counters.adjusted(Adjustment::OuterFragmented);
            }
            sends.commit_udp(length, endpoint, OuterForm { in_fragments, ..OuterForm::default() }, ports);
        }
        Destination::Candidates => sends.commit(length, peer.targets(), ports),
    }
}

/// The lock of one peer, kept from packet to packet while they concern the same one. Never two at a time:
/// two workers could wait for each other.
#[derive(Default)]
pub(crate) struct Held<'t>(Option<(&'t PeerSlot, MutexGuard<'t, Option<Peer>>)>);

impl<'t> Held<'t> {
    /// The slot's peer, if it was not removed.
    pub(crate) fn take(&mut self, slot: &'t PeerSlot) -> Option<&mut Peer> {
        if self.0.as_ref().is_none_or(|(held, _)| !std::ptr::eq(*held, slot)) {
            self.0 = None;
            self.0 = Some((slot, slot.peer.lock()));
        }
        self.0.as_mut().and_then(|(_, guard)| guard.as_mut())
    }
}
