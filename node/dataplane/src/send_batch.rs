//! Datagrams of one worker on their way out, in buffers that are made once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use nix::errno::Errno;
use socket2::SockAddr;
use twinmesh_wireguard::{MIN_BUFFER_LEN, OVERHEAD};

use crate::batch::BATCH;
use crate::counters::DropReason;
use crate::outbound::Ports;
use crate::raw::{RawSocket, RawSockets};
use crate::sys::Message;
use crate::turn::{HEADROOM, TAILROOM};
use crate::udp::UdpPort;

/// Room beyond a batch for copies of handshakes and packets that had waited.
const SPARE: usize = 64;
/// More than any suite adds: SPI and sequence number, IV of 16, padding of 15 and its length and next header, ICV of 32.
pub(crate) const ESP_OVERHEAD: usize = 80;

/// Sealed datagrams on their way out. One `sendmmsg` takes all that go through one socket; with GSO, neighbours of one
/// size and one destination will become one message here.
pub(crate) struct SendBatch {
    storage: Box<[u8]>,
    stride: usize,
    queued: Vec<Queued>,
    /// Where ESP without UDP goes.
    raw: RawSockets,
    /// Names of indications to relays, which guard nothing: only the relay that sends no answer sees them.
    transactions: fastrand::Rng,
}

/// A datagram in its slot.
struct Queued {
    exit: Exit,
    address: SockAddr,
    /// Where in the slot: a relay wants more around it.
    range: Range<usize>,
    form: OuterForm,
}

/// What the outer packet is to be like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OuterForm {
    /// One of this node's addresses, or none for the one that leads there; of no meaning where a relay carries it. UDP
    /// leaves from it only while the machine has it.
    pub(crate) from: Option<IpAddr>,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// Its way does not carry it whole: it may be cut into fragments.
    pub(crate) in_fragments: bool,
}

/// Through which socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Udp,
    Raw { to: IpAddr },
}

impl Queued {
    /// Whether one call can send both.
    const fn joins(&self, other: &Self) -> bool {
        let one_socket = match (self.exit, other.exit) {
            (Exit::Udp, Exit::Udp) => true,
            (Exit::Raw { to: one }, Exit::Raw { to: other }) => one.is_ipv4() == other.is_ipv4(),
            (Exit::Udp, Exit::Raw { .. }) | (Exit::Raw { .. }, Exit::Udp) => false,
        };
        one_socket && self.form.in_fragments == other.form.in_fragments
    }
}

impl SendBatch {
    /// For inner packets of at most `max_packet` bytes.
    pub(crate) fn new(max_packet: usize, transactions: fastrand::Rng) -> Self {
        let datagram = (max_packet + OVERHEAD.max(ESP_OVERHEAD)).max(MIN_BUFFER_LEN);
        let stride = HEADROOM + datagram + TAILROOM;
        Self {
            storage: vec![0; stride * (BATCH + SPARE)].into(),
            stride,
            queued: Vec::with_capacity(BATCH + SPARE),
            raw: RawSockets::default(),
            transactions,
        }
    }

    /// ESP without UDP goes through these from now on.
    pub(crate) fn set_raw(&mut self, raw: RawSockets) {
        self.raw = raw;
    }

    /// Where the next datagram is to be written; empties the batch first if it is nearly full.
    pub(crate) fn slot(&mut self, ports: Ports<'_>) -> &mut [u8] {
        if self.queued.len() >= BATCH {
            self.flush(ports);
        }
        let start = self.queued.len() * self.stride;
        &mut self.storage[start + HEADROOM..start + self.stride - TAILROOM]
    }

    /// Takes the datagram in [`Self::slot`], a copy for each destination; few enough to fit the spare room.
    pub(crate) fn commit(
        &mut self,
        length: usize,
        destinations: impl Iterator<Item = SocketAddr>,
        ports: Ports<'_>,
    ) {
        let first = self.queued.len() * self.stride + HEADROOM;
        for destination in destinations.take(SPARE) {
            let start = self.queued.len() * self.stride + HEADROOM;
            if start != first {
                self.storage.copy_within(first..first + length, start);
            }
            self.commit_udp(length, destination, OuterForm::default(), ports);
        }
    }

    /// Takes the datagram in [`Self::slot`], to be sent in UDP from the shared port.
    pub(crate) fn commit_udp(&mut self, length: usize, to: SocketAddr, form: OuterForm, ports: Ports<'_>) {
        let start = self.queued.len() * self.stride;
        let slot = &mut self.storage[start..start + self.stride];
        let transactions = &mut self.transactions;
        match ports.relays.carry(to, slot, length, || Some(std::array::from_fn(|_| transactions.u8(..)))) {
            Ok(Some((next, range))) => match ports.udp.address(next) {
                Some(address) => {
                    let form = OuterForm { from: form.from.filter(|_| next == to), ..form };
                    self.queued.push(Queued { exit: Exit::Udp, address, range, form });
                }
                None => ports.counters.dropped(DropReason::NoIpv6),
            },
            Ok(None) => {}
            Err(reason) => ports.counters.dropped(reason),
        }
    }

    /// Takes the ESP packet in [`Self::slot`], to be sent as it is.
    pub(crate) fn commit_raw(&mut self, length: usize, to: IpAddr, form: OuterForm) {
        let (exit, address) = (Exit::Raw { to }, RawSocket::address(to));
        self.queued.push(Queued { exit, address, range: HEADROOM..HEADROOM + length, form });
    }

    /// Copies a datagram that was written elsewhere.
    pub(crate) fn push(&mut self, datagram: &[u8], destination: SocketAddr, ports: Ports<'_>) {
        let slot = self.slot(ports);
        if let Some(slot) = slot.get_mut(..datagram.len()) {
            slot.copy_from_slice(datagram);
            self.commit_udp(datagram.len(), destination, OuterForm::default(), ports);
        }
    }

    /// Sends everything. What the system refuses is counted and skipped.
    pub(crate) fn flush(&mut self, ports: Ports<'_>) {
        let mut slots = &*self.storage;
        for run in self.queued.chunk_by(Queued::joins) {
            let (own, rest) = slots.split_at(run.len() * self.stride);
            slots = rest;
            let messages = run.iter().zip(own.chunks_exact(self.stride)).map(|(queued, slot)| Message {
                to: &queued.address,
                from: queued.form.from,
                datagram: &slot[queued.range.clone()],
                traffic_class: queued.form.traffic_class,
            });
            let mut done = 0;
            while let Err(error) = self.send(run, &messages, &mut done, ports.udp) {
                let reason = refusal(&error);
                // A full buffer would refuse the others too, each after a wait.
                let refused = if reason == DropReason::SendBlocked { run.len() - done } else { 1 };
                for _ in 0..refused {
                    ports.counters.dropped(reason);
                }
                done += refused;
            }
        }
        self.queued.clear();
    }

    /// Through the socket that all of a run go through.
    fn send<'a>(
        &self,
        run: &[Queued],
        messages: &(impl Iterator<Item = Message<'a>> + Clone),
        done: &mut usize,
        udp: &UdpPort,
    ) -> io::Result<()> {
        let Some(first) = run.first().filter(|_| *done < run.len()) else { return Ok(()) };
        match (first.exit, first.form.in_fragments) {
            (Exit::Udp, false) => udp.send(messages, done),
            (Exit::Udp, true) => udp.send_in_fragments(messages, done),
            (Exit::Raw { to }, in_fragments) => match self.raw.to(to) {
                Some(socket) if in_fragments => socket.send_in_fragments(messages, done),
                Some(socket) => socket.send(messages, done),
                // Its last tunnel has gone meanwhile.
                None => Err(io::ErrorKind::NotConnected.into()),
            },
        }
    }
}

fn refusal(error: &io::Error) -> DropReason {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMSGSIZE) => DropReason::DatagramTooBig,
        Some(Errno::EAGAIN | Errno::ENOBUFS) => DropReason::SendBlocked,
        _ => DropReason::SendFailed,
    }
}
