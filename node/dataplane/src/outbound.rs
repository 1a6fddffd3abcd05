//! TUN → policy or route → ESP tunnel, guard or peer → seal by its engine → UDP, a batch at a time.

use std::io;
use std::time::Instant;

use parking_lot::MutexGuard;
use twinmesh_esp::{Action, Flow};
use twinmesh_packet::{IcmpError, IpPacket, MAX_ERROR_LEN, write_error};
use twinmesh_wireguard::{Destination, Peer, Sealed, Transmit};

use crate::batch::PacketBatch;
use crate::counters::{Counters, DropReason};
use crate::engine::Engine;
use crate::esp_outbound;
use crate::esp_table::Protection;
use crate::esp_tunnel::EspTunnel;
use crate::event::Event;
use crate::gate::Met;
use crate::guard::Guard;
use crate::inbound::Events;
use crate::peer_slot::PeerSlot;
use crate::relays::Relays;
use crate::send_batch::SendBatch;
use crate::table::Table;
use crate::tun::TunQueue;
use crate::udp::UdpPort;

/// What a worker has at hand for both directions.
#[derive(Clone, Copy)]
pub(crate) struct Ports<'w> {
    pub(crate) tun: &'w TunQueue,
    pub(crate) udp: &'w UdpPort,
    pub(crate) relays: &'w Relays,
    pub(crate) counters: &'w Counters,
}

/// The outbound half of a worker.
pub(crate) struct Outbound {
    packets: PacketBatch,
    /// For the fragments of a packet that an ESP tunnel cannot carry whole.
    fragment: Box<[u8]>,
    mtu: u16,
    news: Vec<Event>,
}

/// What the handling of each packet shares.
struct Pass<'t, 'p> {
    table: &'t Table,
    fragment: &'p mut [u8],
    mtu: u16,
    news: &'p mut Vec<Event>,
    sends: &'p mut SendBatch,
    held: Held<'t>,
    ports: Ports<'p>,
    now: Instant,
}

impl Outbound {
    pub(crate) fn new(mtu: u16) -> Self {
        // One byte more than allowed: a longer packet must be seen as such, not as a truncated one.
        Self {
            packets: PacketBatch::new(usize::from(mtu) + 1),
            fragment: vec![0; usize::from(mtu)].into(),
            mtu,
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
        let drained = self.packets.fill(ports.tun)?;
        let Self { packets, fragment, mtu, news } = self;
        let pass = Pass::new(table, fragment, *mtu, news, sends, ports);
        pass.carry_all(packets.iter(), events);
        Ok(drained)
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
        let Self { fragment, mtu, news, .. } = self;
        let pass = Pass::new(table, fragment, *mtu, news, sends, ports);
        pass.carry_all(packets.iter().map(AsRef::as_ref), events);
    }
}

impl<'t, 'p> Pass<'t, 'p> {
    fn new(
        table: &'t Table,
        fragment: &'p mut [u8],
        mtu: u16,
        news: &'p mut Vec<Event>,
        sends: &'p mut SendBatch,
        ports: Ports<'p>,
    ) -> Self {
        Self { table, fragment, mtu, news, sends, held: Held::default(), ports, now: Instant::now() }
    }

    fn carry_all<'a>(mut self, packets: impl Iterator<Item = &'a [u8]>, events: &Events) {
        for bytes in packets {
            self.carry(bytes);
        }
        let Self { news, sends, held, ports, .. } = self;
        // Not before the last peer's lock is released: the receiver may call back.
        drop(held);
        news.drain(..).for_each(|event| events(event));
        sends.flush(ports);
    }

    fn carry(&mut self, bytes: &[u8]) {
        let Some((packet, way)) = self.destination(bytes) else { return };
        let Self { fragment, news, sends, held, ports, now, .. } = self;
        match way {
            Way::Esp(tunnel) => esp_outbound::seal(tunnel, &packet, fragment, sends, *ports, *now),
            Way::Peer(slot) => {
                let engine = slot.engines.present.get();
                if let Some(marks) = slot.engines.marks(engine) {
                    marks.sent();
                }
                match engine {
                    Engine::WireGuard => match held.take(slot) {
                        Some(peer) => {
                            seal(peer, packet.bytes(), sends, *ports, *now);
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
                            self.met(met, &packet, || Event::Needed { peer: slot.key });
                        }
                    },
                }
            }
        }
    }

    /// Finds whose packet it is; answers with ICMP if it can go nowhere.
    fn destination<'a>(&mut self, bytes: &'a [u8]) -> Option<(IpPacket<'a>, Way<'t>)> {
        let ports = self.ports;
        if bytes.len() > usize::from(self.mtu) {
            self.answer_too_big(bytes);
            return None;
        }
        let Ok(packet) = IpPacket::parse(bytes) else {
            ports.counters.dropped(DropReason::Malformed);
            return None;
        };
        if let Some(policies) = self.table.esp.policies() {
            match esp_outbound::policy(policies, &packet) {
                Some((_, Action::Protect(Protection::Tunnel(tunnel)))) => {
                    return Some((packet, Way::Esp(tunnel)));
                }
                Some((flow, Action::Protect(Protection::Guard(guard)))) => {
                    self.guarded(guard, &packet, flow);
                    return None;
                }
                Some((_, Action::Discard)) => {
                    ports.counters.dropped(DropReason::Discarded);
                    answer(&packet, IcmpError::NoRoute, ports);
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
            answer(&packet, IcmpError::NoRoute, ports);
            return None;
        };
        Some((packet, Way::Peer(slot)))
    }

    fn guarded(&mut self, guard: &Guard, packet: &IpPacket<'_>, flow: Flow) {
        let met = guard.meet(packet.bytes(), self.now);
        self.met(met, packet, || Event::Wanted { guard: guard.name.clone(), flow });
    }

    /// What becomes of a packet without a tunnel.
    fn met(&mut self, met: Met, packet: &IpPacket<'_>, call: impl FnOnce() -> Event) {
        match met {
            Met::Called => self.news.push(call()),
            Met::Kept => {}
            Met::Dropped => self.ports.counters.dropped(DropReason::NoSa),
            Met::Refused => {
                self.ports.counters.dropped(DropReason::NoSa);
                answer(packet, IcmpError::Prohibited, self.ports);
            }
        }
    }

    /// Only the head was read, which is all that an ICMP error quotes.
    fn answer_too_big(&self, head: &[u8]) {
        self.ports.counters.dropped(DropReason::TooBig);
        if let Ok(packet) = IpPacket::parse_truncated(head) {
            answer(&packet, IcmpError::TooBig { mtu: self.mtu }, self.ports);
        }
    }
}

/// What carries a packet.
enum Way<'t> {
    Peer(&'t PeerSlot),
    Esp(&'t EspTunnel),
}

pub(crate) fn answer(packet: &IpPacket<'_>, error: IcmpError, ports: Ports<'_>) {
    let mut out = [0; MAX_ERROR_LEN];
    if let Some(bytes) = write_error(packet, error, &mut out).and_then(|length| out.get(..length))
        && ports.tun.write(bytes).is_err()
    {
        ports.counters.dropped(DropReason::TunWrite);
    }
}

pub(crate) fn seal(peer: &mut Peer, packet: &[u8], sends: &mut SendBatch, ports: Ports<'_>, now: Instant) {
    let transmit = match peer.seal(packet, sends.slot(ports), now) {
        Sealed::Send(transmit) => Some(transmit),
        Sealed::Waiting(transmit) => transmit,
        Sealed::Dropped(reason) => return ports.counters.dropped(DropReason::WireGuard(reason)),
    };
    ports.counters.sent(packet.len());
    if let Some(Transmit { to, datagram }) = transmit {
        let length = datagram.len();
        commit(peer, to, length, sends, ports);
    }
}

/// Queues the datagram in the batch's slot for wherever the peer says.
pub(crate) fn commit(peer: &Peer, to: Destination, length: usize, sends: &mut SendBatch, ports: Ports<'_>) {
    match to {
        Destination::Endpoint(endpoint) => {
            sends.commit_udp(length, endpoint, None, 0, ports);
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
