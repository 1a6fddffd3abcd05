//! What the sessions of one engine share, and what a step of one of them works with.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::cookie::Cookies;
use super::half_open::HalfOpen;
use super::window::Datagrams;
use super::{Random, Session};
use crate::config::ConnectionConfig;
use crate::error::IkeError;
use crate::output::{ChildSaId, EngineConfig, Event, Failed, IkeSaId, Output, Transmit};
use crate::trace::{Discarded, Trace, Traced, TracedMessage, Tracing};
use crate::wire::{Header, IkeSpi, Message, with_non_esp_marker};

/// The port of IKE without the non-ESP marker.
pub(crate) const PLAIN_PORT: u16 = 500;
/// The port of IKE and ESP in UDP (RFC 3948).
pub(crate) const NAT_PORT: u16 = 4500;

pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) connections: BTreeMap<Arc<str>, Arc<ConnectionConfig>>,
    /// By this side's SPI. The session that a step belongs to is taken out meanwhile.
    pub(crate) sessions: BTreeMap<IkeSpi, Session>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) tracing: Tracing,
    pub(crate) half_open: HalfOpen,
    pub(crate) cookies: Option<Cookies>,
    /// Half-open sessions by who made them, so that a repeated IKE_SA_INIT finds its own.
    pub(crate) initiators: BTreeMap<(SocketAddr, IkeSpi), IkeSpi>,
    pub(crate) inbound_spis: BTreeSet<u32>,
    pub(crate) next_ike_sa: u64,
    pub(crate) next_child_sa: u64,
    /// Sessions whose deadline may have changed beside the one at work.
    pub(crate) touched: Vec<IkeSpi>,
}

/// Of one step: time and randomness, and the engine around the session.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    /// For the validity of certificates only.
    pub(crate) wall: SystemTime,
    pub(crate) random: &'a mut Random<'a>,
    pub(crate) shared: &'a mut Shared,
}

/// Where the datagrams of a session go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Shared {
    pub(crate) fn insert(&mut self, session: Session) {
        let spi = session.core.local_spi();
        self.touched.push(spi);
        self.sessions.insert(spi, session);
    }

    /// Whether an IKE SA of this connection is at work.
    pub(crate) fn knows(&self, connection: &str) -> bool {
        let established = self.sessions.values().filter_map(Session::established);
        established.into_iter().any(|established| *established.connection.name == *connection)
    }
}

impl Context<'_> {
    pub(crate) fn event(&mut self, event: Event) {
        self.shared.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn failed(
        &mut self,
        connection: Option<Arc<str>>,
        child: Option<Arc<str>>,
        ike_sa: Option<IkeSaId>,
        remote: SocketAddr,
        error: IkeError,
    ) {
        self.event(Event::Failed(Failed { connection, child, ike_sa, remote, error }));
    }

    pub(crate) fn send(&mut self, path: Path, message: &[u8]) {
        let datagram =
            if path.local.port() == PLAIN_PORT { message.to_vec() } else { with_non_esp_marker(message) };
        let transmit = Transmit { local: path.local, remote: path.remote, datagram };
        self.shared.outputs.push_back(Output::Transmit(transmit));
    }

    /// A message that is not sealed.
    pub(crate) fn send_clear(&mut self, path: Path, message: &[u8]) {
        self.send(path, message);
        if self.shared.tracing.messages
            && let Ok(message) = Message::parse(message)
        {
            self.trace(path, Traced::Sent(TracedMessage::clear(&message)));
        }
    }

    pub(crate) fn send_all(&mut self, path: Path, datagrams: &Datagrams) {
        for datagram in datagrams {
            self.send(path, datagram);
        }
    }

    /// Only if somebody wants to know. The engine adds whose it is.
    pub(crate) fn trace(&mut self, path: Path, what: Traced) {
        if self.shared.tracing.messages {
            let Path { local, remote } = path;
            let trace = Trace { connection: None, ike_sa: None, local, remote, what };
            self.shared.outputs.push_back(Output::Trace(Box::new(trace)));
        }
    }

    pub(crate) fn dropped(&mut self, path: Path, header: &Header, reason: Discarded) {
        self.trace(path, Traced::Dropped { header: Some(*header), reason });
    }

    /// A request that went out before, there or elsewhere.
    pub(crate) fn send_again(&mut self, path: Path, datagrams: &Datagrams) {
        self.send_all(path, datagrams);
        if self.shared.tracing.messages
            && let Some(Ok(message)) = datagrams.first().map(|datagram| Message::parse(datagram))
        {
            self.trace(path, Traced::Retransmitted(message.header));
        }
    }

    /// RFC 3948 §2.3.
    pub(crate) fn send_keepalive(&mut self, path: Path) {
        let transmit = Transmit { local: path.local, remote: path.remote, datagram: vec![0xff] };
        self.shared.outputs.push_back(Output::Transmit(transmit));
    }

    pub(crate) fn random_array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// RFC 7296 §2.10: at least half the key size of the PRF, and 128 bits.
    pub(crate) fn nonce(&mut self) -> Vec<u8> {
        self.random_array::<32>().to_vec()
    }

    /// An SPI of ours for a new IKE SA.
    pub(crate) fn ike_spi(&mut self) -> IkeSpi {
        loop {
            let spi = IkeSpi(self.random_array());
            if !spi.is_zero() && !self.shared.sessions.contains_key(&spi) {
                return spi;
            }
        }
    }

    /// An SPI of ours for a new ESP SA, with its top bit set (DESIGN §3), until `release_spi`.
    pub(crate) fn child_spi(&mut self) -> u32 {
        loop {
            let spi = u32::from_be_bytes(self.random_array()) | 0x8000_0000;
            if self.shared.inbound_spis.insert(spi) {
                return spi;
            }
        }
    }

    pub(crate) fn release_spi(&mut self, spi: u32) {
        self.shared.inbound_spis.remove(&spi);
    }

    pub(crate) fn ike_sa_id(&mut self) -> IkeSaId {
        self.shared.next_ike_sa = self.shared.next_ike_sa.saturating_add(1);
        IkeSaId(self.shared.next_ike_sa)
    }

    pub(crate) fn child_sa_id(&mut self) -> ChildSaId {
        self.shared.next_child_sa = self.shared.next_child_sa.saturating_add(1);
        ChildSaId(self.shared.next_child_sa)
    }

    /// Somewhere between `least` and twice that, so that two ends do not collide again at once.
    pub(crate) fn soon(&mut self, least: Duration) -> Instant {
        let share = u32::from(u16::from_be_bytes(self.random_array()));
        self.now + least + least.saturating_mul(share) / u32::from(u16::MAX)
    }
}
