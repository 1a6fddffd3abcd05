//! Two nodes in memory, a queue of datagrams in each direction, and one clock for all.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use twinmesh_wireguard::{
    Admission, Change, Destination, Device, DropReason, IndexAllocator, MAX_REPLY_LEN, Opened, Peer,
    PeerIndex, PeerSettings, PrivateKey, Sealed, Transmit,
};

const BUFFER: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What the receiver of a datagram made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Packet(Vec<u8>),
    /// Accepted; whatever it called for lies in the outbox.
    Accepted,
    Dropped(DropReason),
}

/// One end: a device with a single peer.
pub struct Node {
    pub device: Device,
    pub peer: Peer,
    pub address: SocketAddr,
    pub outbox: VecDeque<Datagram>,
    pub changes: Vec<Change>,
}

impl Node {
    pub fn seal(&mut self, packet: &[u8], now: Instant) -> Option<DropReason> {
        let mut out = [0; BUFFER];
        let transmit = match self.peer.seal(packet, &mut out, now) {
            Sealed::Send(transmit) => Some(transmit),
            Sealed::Waiting(transmit) => transmit,
            Sealed::Dropped(reason) => return Some(reason),
        };
        post(&mut self.outbox, &self.peer, self.address, transmit.as_ref());
        None
    }

    pub fn tick(&mut self, now: Instant) {
        let mut out = [0; BUFFER];
        self.device.tick();
        let transmit = self.peer.tick(&mut out, now);
        post(&mut self.outbox, &self.peer, self.address, transmit.as_ref());
    }

    pub fn network_changed(&mut self, now: Instant) {
        let mut out = [0; BUFFER];
        let transmit = self.peer.network_changed(&mut out, now);
        post(&mut self.outbox, &self.peer, self.address, transmit.as_ref());
    }

    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Seen {
        let mut reply = [0; MAX_REPLY_LEN];
        match self.device.admit(from.ip(), bytes, &mut reply) {
            Admission::Index(index) if index != self.peer.index() => {
                return Seen::Dropped(DropReason::UnknownIndex);
            }
            Admission::Initiation(key) if key != self.peer.public_key() => {
                return Seen::Dropped(DropReason::UnknownPeer);
            }
            Admission::Index(_) | Admission::Initiation(_) => {}
            Admission::Cookie(cookie) => {
                self.outbox.push_back(Datagram { from: self.address, to: from, bytes: cookie.to_vec() });
                return Seen::Dropped(DropReason::UnderLoad);
            }
            Admission::Drop(reason) => return Seen::Dropped(reason),
        }
        let mut out = [0; BUFFER];
        let (outcome, change) = self.peer.open(from, bytes, &mut out, now);
        self.changes.extend(change);
        let seen = match outcome {
            Opened::Packet(packet) => Seen::Packet(packet.to_vec()),
            Opened::Answer(answer) => {
                post(&mut self.outbox, &self.peer, self.address, Some(&answer));
                Seen::Accepted
            }
            Opened::Nothing => Seen::Accepted,
            Opened::Dropped(reason) => Seen::Dropped(reason),
        };
        while let Some(transmit) = self.peer.next_waiting(&mut out, now) {
            post(&mut self.outbox, &self.peer, self.address, Some(&transmit));
        }
        seen
    }
}

fn post(outbox: &mut VecDeque<Datagram>, peer: &Peer, from: SocketAddr, transmit: Option<&Transmit<'_>>) {
    let Some(&Transmit { to, datagram }) = transmit else { return };
    let mut send = |to| outbox.push_back(Datagram { from, to, bytes: datagram.to_vec() });
    match to {
        Destination::Endpoint(endpoint) => send(endpoint),
        Destination::Candidates => peer.targets().for_each(send),
    }
}

pub struct World {
    pub a: Node,
    pub b: Node,
    pub now: Instant,
}

impl World {
    /// Nodes that know each other's address.
    pub fn new() -> Self {
        let settings = |at| PeerSettings { candidates: vec![address(at)], ..PeerSettings::default() };
        Self::with(settings(2), settings(1))
    }

    /// `a` reaches `b` by the first settings, and the other way round.
    pub fn with(of_b: PeerSettings, of_a: PeerSettings) -> Self {
        let now = Instant::now();
        let [a, b] = [(); 2].map(|()| Device::new(&PrivateKey::generate().unwrap()));
        let mut indices = IndexAllocator::default();
        let mut index = || -> PeerIndex { indices.allocate(now).unwrap() };
        let at_a = Peer::new(&a, b.public_key(), index(), of_b, now);
        let at_b = Peer::new(&b, a.public_key(), index(), of_a, now);
        let node = |device, peer, at| Node {
            device,
            peer,
            address: address(at),
            outbox: VecDeque::new(),
            changes: Vec::new(),
        };
        Self { a: node(a, at_a, 1), b: node(b, at_b, 2), now }
    }

    /// With a session that `a` began, nothing under way, and what happened so far forgotten.
    pub fn up() -> Self {
        let mut world = Self::new();
        world.a.seal(&packet(0), world.now);
        assert_eq!(world.deliver().1, [packet(0)]);
        world.a.changes.clear();
        world.b.changes.clear();
        world
    }

    /// Delivers until all is quiet; the inner packets that came out at `a` and at `b`.
    pub fn deliver(&mut self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let mut out = (Vec::new(), Vec::new());
        loop {
            let to_b = self.a.outbox.pop_front();
            let to_a = self.b.outbox.pop_front();
            if to_a.is_none() && to_b.is_none() {
                return out;
            }
            let (at_a, at_b) = (self.a.address, self.b.address);
            for datagram in to_b.into_iter().filter(|datagram| datagram.to == at_b) {
                if let Seen::Packet(packet) = self.b.receive(datagram.from, &datagram.bytes, self.now) {
                    out.1.push(packet);
                }
            }
            for datagram in to_a.into_iter().filter(|datagram| datagram.to == at_a) {
                if let Seen::Packet(packet) = self.a.receive(datagram.from, &datagram.bytes, self.now) {
                    out.0.push(packet);
                }
            }
        }
    }

    /// Moves this clock, and `boringtun`'s where it can be moved.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        #[cfg(feature = "mock-clock")]
        mock_instant::MockClock::advance(time);
    }
}

pub fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, last], 4500))
}

/// A small IPv4 packet that carries its number.
pub fn packet(number: u16) -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 22, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    bytes.extend(number.to_be_bytes());
    bytes
}
