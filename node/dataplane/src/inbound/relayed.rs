//! Datagrams that came by way of a relay: as channel data on the shared port, or unpacked by the agent.

use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use mio::Waker;
use parking_lot::Mutex;
use twinmesh_wireguard::Device;

use super::{Events, Inbound, Outer, Pass};
use crate::counters::{Counters, DropReason};
use crate::datagram::{DatagramKind, classify};
use crate::dataplane::wake;
use crate::outbound::Ports;
use crate::send_batch::SendBatch;
use crate::table::Table;
use crate::turn::{CHANNEL_HEADER_LEN, parse_channel};

/// Datagrams that may wait for the worker; beyond, the newest are dropped.
const MOST_WAITING: usize = 1024;

/// Takes datagrams that the agent has unpacked ([`crate::Dataplane::take_relayed`]). Clones share what waits.
#[derive(Clone)]
pub struct RelayedInbound(Arc<Queue>);

struct Queue {
    waiting: Mutex<Vec<Relayed>>,
    /// One alone, so that they stay in order.
    worker: OnceLock<Arc<Waker>>,
    counters: Arc<Counters>,
}

/// A datagram and the relayed address that it is from.
pub(crate) struct Relayed {
    from: SocketAddr,
    datagram: Vec<u8>,
}

impl RelayedInbound {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self(Arc::new(Queue { waiting: Mutex::default(), worker: OnceLock::new(), counters }))
    }

    /// The worker that is to be called; the first one given.
    pub(crate) fn wakes(&self, worker: Arc<Waker>) {
        self.0.worker.get_or_init(|| worker);
    }

    pub(crate) fn waiting(&self) -> Vec<Relayed> {
        mem::take(&mut *self.0.waiting.lock())
    }

    /// Handles a datagram exactly as if it had come in on the shared port from `from`, a relayed address; does not wait
    /// for that. Nothing happens once the data plane has ended.
    pub fn take(&self, from: SocketAddr, datagram: &[u8]) {
        let mut waiting = self.0.waiting.lock();
        if waiting.len() >= MOST_WAITING {
            return self.0.counters.dropped(DropReason::RelayedBacklog);
        }
        waiting.push(Relayed { from, datagram: datagram.to_vec() });
        let is_first = waiting.len() == 1;
        drop(waiting);
        if is_first && let Some(worker) = self.0.worker.get() {
            wake(worker);
        }
    }
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
            pass.unwrapped(Outer { from, to: None, ecn: 0, start: 0 }, &mut datagram);
            pass.flush(&mut datagram);
        }
        pass.end(events);
    }
}

impl Pass<'_, '_> {
    /// Channel data (RFC 8656 §12.6): what is in it comes from a relayed address. The address that it was sent to is the
    /// relay's to know.
    pub(super) fn channel(&mut self, outer: Outer, datagram: &mut [u8]) {
        let Some((number, content)) = parse_channel(datagram) else {
            return self.dropped(DropReason::MalformedChannel);
        };
        match self.ports.relays.peer_of(outer.from, number) {
            Some(from) => {
                self.unwrapped(
                    Outer { from, to: None, start: outer.start + CHANNEL_HEADER_LEN, ..outer },
                    content,
                );
            }
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
