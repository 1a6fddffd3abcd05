//! Datagrams of one worker on their way out, in buffers that are made once.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use socket2::SockAddr;
use twinmesh_wireguard::{MIN_BUFFER_LEN, OVERHEAD};

use crate::batch::BATCH;
use crate::counters::{Counters, DropReason};
use crate::raw::{RawSocket, RawSockets};
use crate::sys::Message;
use crate::udp::UdpPort;

/// Room beyond a batch for copies of handshakes and packets that had waited.
const SPARE: usize = 64;
/// More than any suite adds: SPI and sequence number, IV of 16, padding of 15 and its length and next header, ICV of 32.
const ESP_OVERHEAD: usize = 80;

/// Sealed datagrams on their way out. One `sendmmsg` takes all that go through one socket; with GSO, neighbours of one
/// size and one destination will become one message here.
pub(crate) struct SendBatch {
    storage: Box<[u8]>,
    stride: usize,
    queued: Vec<Queued>,
    /// Where ESP without UDP goes.
    raw: RawSockets,
}

/// A datagram in its slot.
struct Queued {
    exit: Exit,
    address: SockAddr,
    length: usize,
    /// DSCP and ECN of the outer header.
    traffic_class: u8,
}

/// Through which socket, and there from which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Udp { from: Option<IpAddr> },
    Raw { to: IpAddr, from: Option<IpAddr> },
}

impl Exit {
    /// Whether both use one socket.
    const fn joins(self, other: Self) -> bool {
        match (self, other) {
            (Self::Udp { .. }, Self::Udp { .. }) => true,
            (Self::Raw { to: one, .. }, Self::Raw { to: other, .. }) => one.is_ipv4() == other.is_ipv4(),
            (Self::Udp { .. }, Self::Raw { .. }) | (Self::Raw { .. }, Self::Udp { .. }) => false,
        }
    }
}

impl SendBatch {
    /// For inner packets of at most `max_packet` bytes.
    pub(crate) fn new(max_packet: usize) -> Self {
        let stride = (max_packet + OVERHEAD.max(ESP_OVERHEAD)).max(MIN_BUFFER_LEN);
        Self {
            storage: vec![0; stride * (BATCH + SPARE)].into(),
            stride,
            queued: Vec::with_capacity(BATCH + SPARE),
            raw: RawSockets::default(),
        }
    }

    /// ESP without UDP goes through these from now on.
    pub(crate) fn set_raw(&mut self, raw: RawSockets) {
        self.raw = raw;
    }

    /// Where the next datagram is to be written; empties the batch first if it is nearly full.
    pub(crate) fn slot(&mut self, udp: &UdpPort, counters: &Counters) -> &mut [u8] {
        if self.queued.len() >= BATCH {
            self.flush(udp, counters);
        }
        let start = self.queued.len() * self.stride;
        &mut self.storage[start..start + self.stride]
    }

    /// Takes the datagram in [`Self::slot`], a copy for each destination; few enough to fit the spare room.
    pub(crate) fn commit(
        &mut self,
        length: usize,
        destinations: impl Iterator<Item = SocketAddr>,
        udp: &UdpPort,
        counters: &Counters,
    ) {
        let first = self.queued.len() * self.stride;
        for destination in destinations.take(SPARE) {
            let Some(address) = udp.address(destination) else {
                counters.dropped(DropReason::NoIpv6);
                continue;
            };
            let start = self.queued.len() * self.stride;
            if start != first {
                self.storage.copy_within(first..first + length, start);
            }
            let exit = Exit::Udp { from: None };
            self.queued.push(Queued { exit, address, length, traffic_class: 0 });
        }
    }

    /// Takes the ESP packet in [`Self::slot`], to be sent in UDP, with DSCP and ECN for the outer header; `from` as in
    /// [`Self::commit_raw`].
    pub(crate) fn commit_esp(
        &mut self,
        length: usize,
        traffic_class: u8,
        to: SocketAddr,
        from: Option<IpAddr>,
        (udp, counters): (&UdpPort, &Counters),
    ) {
        let Some(address) = udp.address(to) else { return counters.dropped(DropReason::NoIpv6) };
        self.queued.push(Queued { exit: Exit::Udp { from }, address, length, traffic_class });
    }

    /// Takes the ESP packet in [`Self::slot`], to be sent as it is; `from` is one of this node's addresses, or none for
    /// the one that leads there.
    pub(crate) fn commit_raw(&mut self, length: usize, traffic_class: u8, to: IpAddr, from: Option<IpAddr>) {
        let (exit, address) = (Exit::Raw { to, from }, RawSocket::address(to));
        self.queued.push(Queued { exit, address, length, traffic_class });
    }

    /// Copies a datagram that was written elsewhere.
    pub(crate) fn push(
        &mut self,
        datagram: &[u8],
        destination: SocketAddr,
        udp: &UdpPort,
        counters: &Counters,
    ) {
        let slot = self.slot(udp, counters);
        if let Some(slot) = slot.get_mut(..datagram.len()) {
            slot.copy_from_slice(datagram);
            self.commit(datagram.len(), std::iter::once(destination), udp, counters);
        }
    }

    /// Sends everything. What the system refuses is counted and skipped.
    pub(crate) fn flush(&mut self, udp: &UdpPort, counters: &Counters) {
        let mut slots = &*self.storage;
        for run in self.queued.chunk_by(|one, next| one.exit.joins(next.exit)) {
            let (own, rest) = slots.split_at(run.len() * self.stride);
            slots = rest;
            let messages = run.iter().zip(own.chunks_exact(self.stride)).map(|(queued, slot)| Message {
                to: &queued.address,
                from: match queued.exit {
                    Exit::Udp { from } | Exit::Raw { from, .. } => from,
                },
                datagram: &slot[..queued.length],
                traffic_class: queued.traffic_class,
            });
            let mut done = 0;
            while let Err(error) = self.send(run, &messages, &mut done, udp) {
                let reason = refusal(&error);
                // A full buffer would refuse the others too, each after a wait.
                let refused = if reason == DropReason::SendBlocked { run.len() - done } else { 1 };
                for _ in 0..refused {
                    counters.dropped(reason);
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
        match run.first().map(|queued| queued.exit) {
            Some(Exit::Raw { to, .. }) if *done < run.len() => match self.raw.to(to) {
                Some(socket) => socket.send(messages, done),
                // Its last tunnel has gone meanwhile.
                None => Err(io::ErrorKind::NotConnected.into()),
            },
            Some(Exit::Raw { .. }) | None => Ok(()),
            Some(Exit::Udp { .. }) => udp.send(messages, done),
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
