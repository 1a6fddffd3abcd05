//! One worker thread: a TUN queue and a UDP socket, served in turns.

use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, mem};

use arc_swap::{ArcSwap, Cache};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token, Waker};
use parking_lot::Mutex;
use twinmesh_wireguard::Device;

use crate::counters::{Counters, DropReason};
use crate::inbound::{Events, Inbound, RelayedInbound};
use crate::outbound::{Outbound, Ports};
use crate::raw::{RawSocket, RawSockets};
use crate::send_batch::SendBatch;
use crate::table::Table;
use crate::tun::TunQueue;
use crate::udp::UdpPort;

const TUN: Token = Token(0);
const UDP: Token = Token(1);
/// To stop, to look at the table, or to send what was released.
const CALLED: Token = Token(2);
const RAW: Token = Token(3);

/// What all threads of a data plane share. Nothing in it is written per packet.
pub(crate) struct Shared {
    pub(crate) device: Device,
    pub(crate) table: Arc<ArcSwap<Table>>,
    pub(crate) events: Events,
    pub(crate) mtu: u16,
    /// `SO_MARK` of the sockets.
    pub(crate) mark: Option<u32>,
    /// Packets that were kept for a tunnel which stands now.
    pub(crate) released: Mutex<Vec<Box<[u8]>>>,
    /// What the agent had from relays, for the first worker.
    pub(crate) relayed: RelayedInbound,
    pub(crate) stop: AtomicBool,
}

/// A worker before it runs.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    tun: TunQueue,
    udp: UdpPort,
    /// It receives on raw sockets, each of which gets every packet, and what relays sent, which must stay in order.
    is_first: bool,
    raw: RawSockets,
    transactions: fastrand::Rng,
    poll: Poll,
}

impl Worker {
    /// Registers both descriptors; the waker interrupts the wait so that the worker sees `shared`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        counters: Arc<Counters>,
        tun: TunQueue,
        udp: UdpPort,
        is_first: bool,
    ) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&tun.as_raw_fd()), TUN, Interest::READABLE)?;
        poll.registry().register(&mut SourceFd(&udp.as_raw_fd()), UDP, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), CALLED)?);
        if is_first {
            shared.relayed.wakes(Arc::clone(&waker));
        }
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let transactions = fastrand::Rng::with_seed(u64::from_ne_bytes(seed));
        let raw = RawSockets::default();
        Ok((Self { shared, counters, tun, udp, is_first, raw, transactions, poll }, waker))
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut outbound = Outbound::new(self.shared.mtu);
        let mut inbound = Inbound::new();
        let mut sends = SendBatch::new(self.shared.mtu.into(), self.transactions.clone());
        let mut table = Cache::new(Arc::clone(&self.shared.table));
        let mut events = mio::Events::with_capacity(4);
        // The poll tells of each arrival once, so what was not drained is remembered here.
        let (mut tun_ready, mut udp_ready, mut raw_ready) = (true, true, false);
        let mut called = false;
        while !self.shared.stop.load(Ordering::Acquire) {
            // One table for the whole turn, so that tunnels and raw sockets belong together.
            let table = table.load();
            if !self.raw.is(table.esp.raw()) {
                self.take_raw(table.esp.raw());
                sends.set_raw(self.raw.clone());
                raw_ready = self.is_first;
            }
            let ports = Ports {
                tun: &self.tun,
                udp: &self.udp,
                relays: &table.relays,
                counters: &self.counters,
                mtu: self.shared.mtu,
            };
            let news = &self.shared.events;
            if mem::take(&mut called) {
                let released = mem::take(&mut *self.shared.released.lock());
                outbound.run_released(&released, table, news, &mut sends, ports);
                if self.is_first {
                    let relayed = self.shared.relayed.waiting();
                    inbound.run_relayed(relayed, table, &self.shared.device, news, &mut sends, ports);
                }
            }
            if udp_ready {
                let run = inbound.run(table, &self.shared.device, news, &mut sends, ports);
                udp_ready = !drained(run, "UDP", &self.counters);
            }
            if tun_ready {
                let run = outbound.run(table, news, &mut sends, ports);
                tun_ready = !drained(run, "TUN", &self.counters);
            }
            if mem::take(&mut raw_ready) {
                for socket in self.raw.iter() {
                    let run = inbound.run_raw(socket, table, news, &mut sends, ports);
                    raw_ready |= !drained(run, "ESP", &self.counters);
                    raw_ready |= !drained(inbound.run_too_big(socket, table), "ICMPv6", &self.counters);
                }
            }
            let patience = (tun_ready || udp_ready || raw_ready).then_some(Duration::ZERO);
            match self.poll.poll(&mut events, patience) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "a data plane worker cannot wait for packets and ends");
                    return;
                }
            }
            for event in &events {
                tun_ready |= event.token() == TUN;
                udp_ready |= event.token() == UDP;
                raw_ready |= event.token() == RAW;
                called |= event.token() == CALLED;
            }
        }
    }
}

impl Worker {
    /// Sends through these raw sockets from now on, and may have to receive on them.
    fn take_raw(&mut self, raw: &RawSockets) {
        let former = mem::replace(&mut self.raw, raw.clone());
        if !self.is_first {
            return;
        }
        let registry = self.poll.registry();
        let left = former
            .iter()
            .flat_map(RawSocket::descriptors)
            .try_for_each(|socket| registry.deregister(&mut SourceFd(&socket)));
        let joined = self
            .raw
            .iter()
            .flat_map(RawSocket::descriptors)
            .try_for_each(|socket| registry.register(&mut SourceFd(&socket), RAW, Interest::READABLE));
        if let Err(error) = left.and(joined) {
            tracing::error!(%error, "a data plane worker cannot wait for ESP packets");
        }
    }
}

/// Whether to wait for the next arrival. After an error too: a device that is gone must not be asked forever.
fn drained(run: io::Result<bool>, port: &'static str, counters: &Counters) -> bool {
    run.unwrap_or_else(|error| {
        tracing::debug!(port, %error, "receiving failed");
        counters.dropped(DropReason::ReceiveFailed);
        true
    })
}
