//! Datagrams of one worker on their way out, in buffers that are made once.

mod addresses;

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use nix::errno::Errno;
use socket2::SockAddr;
use twinmesh_wireguard::{MIN_BUFFER_LEN, OVERHEAD};

use crate::counters::{Call, DropReason};
use crate::outbound::Ports;
use crate::raw::RawSockets;
use crate::sys::Message;
use crate::turn::{HEADROOM, TAILROOM};
use addresses::Addresses;

/// Datagrams that are sent together, and packets read from the TUN device before what is queued is sent.
pub(crate) const BATCH: usize = 64;
/// Room beyond a batch for copies of handshakes and packets that had waited.
const SPARE: usize = 64;
/// More than any suite adds: SPI and sequence number, IV of 16, padding of 15 and its length and next header, ICV of 32.
pub(crate) const ESP_OVERHEAD: usize = 80;

/// Most bytes of a train: the kernel counts it as one packet, of at most 65,535 bytes with IPv6's header and UDP's.
const MAX_TRAIN_LEN: usize = 65_535 - 40 - 8;

/// Sealed datagrams on their way out. One `sendmmsg` takes all that go through one socket; neighbours of one size and one
/// destination are a *train*, which is one message that the kernel cuts (GSO).
///
/// They lie end to end, so that a train is one piece of memory; only what may get a frame for a relay has room around it.
pub(crate) struct SendBatch {
    storage: Box<[u8]>,
    /// The longest datagram.
    longest: usize,
    /// Where the next datagram begins, at least [`HEADROOM`] into the storage.
    next: usize,
    queued: Vec<Queued>,
    addresses: Addresses,
    /// Where ESP without UDP goes.
    raw: RawSockets,
    /// Names of indications to relays, which guard nothing: only the relay that sends no answer sees them.
    transactions: fastrand::Rng,
}

/// A datagram in the storage.
struct Queued {
    exit: Exit,
    /// Its place among the [`Addresses`].
    address: usize,
    range: Range<usize>,
    form: OuterForm,
}

/// What the outer packet is to be like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

    /// Whether the other can be in one train with this, whatever its length.
    fn follows(&self, other: &Self) -> bool {
        self.exit == Exit::Udp
            && other.exit == Exit::Udp
            && self.form == other.form
            && self.address == other.address
    }
}

/// How many of the first datagrams are one train.
fn train_len(queued: &[Queued], most: usize) -> usize {
    let Some(first) = queued.first().filter(|first| !first.form.in_fragments) else {
        return queued.len().min(1);
    };
    let size = first.range.len();
    let most = most.min(MAX_TRAIN_LEN / size.max(1)).max(1);
    let others = queued.iter().take(most).skip(1);
    let alike = others.take_while(|it| it.range.len() == size && it.follows(first)).count() + 1;
    // The last may be shorter.
    let tail = queued.get(alike).filter(|it| alike < most && it.range.len() < size && it.follows(first));
    alike + usize::from(tail.is_some())
}

/// The datagrams as messages, trains of at most `most` together.
fn trains<'a>(
    mut queued: &'a [Queued],
    addresses: &'a [SockAddr],
    mut pieces: &'a [IoSlice<'a>],
    most: usize,
) -> impl Iterator<Item = Message<'a>> + Clone {
    std::iter::from_fn(move || {
        let first = queued.first()?;
        let length = train_len(queued, most);
        let (own, rest) = pieces.split_at_checked(length)?;
        (queued, pieces) = (queued.get(length..)?, rest);
        let segment = if length > 1 { u16::try_from(first.range.len()).ok() } else { None };
        let OuterForm { from, traffic_class, .. } = first.form;
        Some(Message { to: addresses.get(first.address)?, from, pieces: own, segment, traffic_class })
    })
}

impl SendBatch {
    /// For inner packets of at most `max_packet` bytes.
    pub(crate) fn new(max_packet: usize, transactions: fastrand::Rng) -> Self {
        let longest = (max_packet + OVERHEAD.max(ESP_OVERHEAD)).max(MIN_BUFFER_LEN);
        Self {
            storage: vec![0; (HEADROOM + longest + TAILROOM) * (BATCH + SPARE)].into(),
            longest,
            next: HEADROOM,
            queued: Vec::with_capacity(BATCH + SPARE),
            addresses: Addresses::with_capacity(BATCH + SPARE),
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
        &mut self.storage[self.next..self.next + self.longest]
    }

    /// Makes room for so many datagrams, if it can be, so that they stay together.
    pub(crate) fn reserve(&mut self, count: usize, ports: Ports<'_>) {
        if self.queued.len() + count > BATCH {
            self.flush(ports);
        }
    }

    /// Takes the datagram in [`Self::slot`], a copy for each destination; few enough to fit the spare room.
    pub(crate) fn commit(
        &mut self,
        length: usize,
        destinations: impl Iterator<Item = SocketAddr>,
        ports: Ports<'_>,
    ) {
        let mut last = self.next;
        for destination in destinations.take(SPARE) {
            if self.next != last {
                self.storage.copy_within(last..last + length, self.next);
                last = self.next;
            }
            self.commit_udp(length, destination, OuterForm::default(), ports);
        }
    }

    /// Takes the datagram in [`Self::slot`], to be sent in UDP from the shared port.
    pub(crate) fn commit_udp(&mut self, length: usize, to: SocketAddr, form: OuterForm, ports: Ports<'_>) {
        let start = self.next - HEADROOM;
        let slot = &mut self.storage[start..self.next + length + TAILROOM];
        let transactions = &mut self.transactions;
        match ports.relays.carry(to, slot, length, || Some(std::array::from_fn(|_| transactions.u8(..)))) {
            Ok(Some((next, range))) => match self.addresses.of_udp(next, ports.udp) {
                Some(address) => {
                    let form = OuterForm { from: form.from.filter(|_| next == to), ..form };
                    let range = start + range.start..start + range.end;
                    self.push_queued(Queued { exit: Exit::Udp, address, range, form }, ports);
                }
                None => ports.counters.dropped(DropReason::NoIpv6),
            },
            Ok(None) => {}
            Err(reason) => ports.counters.dropped(reason),
        }
    }

    /// Takes the ESP packet in [`Self::slot`], to be sent as it is.
    pub(crate) fn commit_raw(&mut self, length: usize, to: IpAddr, form: OuterForm, ports: Ports<'_>) {
        let (address, range) = (self.addresses.of_raw(to), self.next..self.next + length);
        self.push_queued(Queued { exit: Exit::Raw { to }, address, range, form }, ports);
    }

    fn push_queued(&mut self, queued: Queued, Ports { relays, .. }: Ports<'_>) {
        let room = if relays.is_empty() { 0 } else { HEADROOM };
        self.next = queued.range.end + room;
        self.queued.push(queued);
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
        if self.queued.is_empty() {
            return;
        }
        let mut pieces = [IoSlice::new(&[]); BATCH + SPARE];
        for (piece, queued) in pieces.iter_mut().zip(&self.queued) {
            *piece = IoSlice::new(&self.storage[queued.range.clone()]);
        }
        let mut rest = pieces.as_slice();
        for run in self.queued.chunk_by(Queued::joins) {
            let (own, after) = rest.split_at(run.len());
            rest = after;
            self.send_run(run, own, ports.udp.most_segments(), ports);
        }
        self.queued.clear();
        self.addresses.clear();
        self.next = HEADROOM;
    }

    /// Sends datagrams that go through one socket. If a train is refused, each of it goes alone.
    fn send_run(&self, run: &[Queued], pieces: &[IoSlice<'_>], most: usize, ports: Ports<'_>) {
        let messages = trains(run, self.addresses.all(), pieces, most);
        let mut done = 0;
        while let Err(error) = self.send(run, &messages, &mut done, ports) {
            let gone: usize = messages.clone().take(done).map(|train| train.pieces.len()).sum();
            let length = messages.clone().nth(done).map_or(0, |train| train.pieces.len());
            let reason = refusal(&error);
            if reason == DropReason::SendBlocked {
                // A full buffer would refuse the others too, each after a wait.
                return (gone..run.len()).for_each(|_| ports.counters.dropped(reason));
            }
            if length > 1 {
                ports.udp.train_refused(&error);
                let train = gone..gone + length;
                self.send_run(&run[train.clone()], &pieces[train], 1, ports);
            } else {
                ports.counters.dropped(reason);
            }
            done += 1;
        }
    }

    /// Through the socket that all of a run go through.
    fn send<'a>(
        &self,
        run: &[Queued],
        messages: &(impl Iterator<Item = Message<'a>> + Clone),
        done: &mut usize,
        Ports { udp, counters, .. }: Ports<'_>,
    ) -> io::Result<()> {
        let Some(first) = run.first() else { return Ok(()) };
        counters.called(Call::Send);
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
