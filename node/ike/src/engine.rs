//! Many IKE SAs behind one interface without sockets.

mod command;
mod schedule;
mod tracing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::config::ConnectionConfig;
use crate::error::IkeError;
use crate::output::{EngineConfig, Output};
use crate::session::{Context, HalfOpen, Path, Random, Session, Shared, refuse_version, respond};
use crate::trace::{Discarded, Tracing};
use crate::wire::{ExchangeType, IkeSpi, Message, WireError, WireErrorKind, strip_non_esp_marker};

/// Where IKE goes without the non-ESP marker.
const PLAIN_PORT: u16 = 500;

/// All IKE SAs of a node.
///
/// After each `handle_*`, [`Engine::poll_output`] is called until it returns `None`, then [`Engine::poll_timeout`] says
/// when [`Engine::handle_timeout`] is due: for retransmissions, rekeys, liveness checks, keepalives and the end of
/// half-open IKE SAs.
pub struct Engine {
    shared: Shared,
    deadlines: BTreeSet<(Instant, IkeSpi)>,
    /// A moment of both clocks, so that certificates can be judged.
    wall: Option<(Instant, SystemTime)>,
}

impl Engine {
    pub fn new(config: EngineConfig) -> Self {
        let shared = Shared {
            config,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            outputs: VecDeque::new(),
            tracing: Tracing::default(),
            half_open: HalfOpen::default(),
            cookies: None,
            initiators: BTreeMap::new(),
            inbound_spis: BTreeSet::new(),
            next_ike_sa: 0,
            next_child_sa: 0,
            touched: Vec::new(),
        };
        Self { shared, deadlines: BTreeSet::new(), wall: None }
    }

    /// What the calendar says at `now`. Without it no certificate is valid.
    pub fn set_wall_clock(&mut self, now: Instant, wall: SystemTime) {
        self.wall = Some((now, wall));
    }

    /// Adds a connection, or replaces it for IKE SAs to come.
    pub fn add_connection(&mut self, connection: ConnectionConfig) {
        let connection = Arc::new(connection);
        self.shared.connections.insert(connection.name.clone(), connection);
    }

    /// IKE SAs that it has stay until they are terminated.
    pub fn remove_connection(&mut self, name: &str) {
        self.shared.connections.remove(name);
    }

    /// A datagram as it came: with the non-ESP marker unless `local` is port 500.
    pub fn handle_input(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
        random: &mut Random<'_>,
    ) {
        let plain = local.port() == PLAIN_PORT;
        let bytes = if plain { Some(datagram) } else { strip_non_esp_marker(datagram) };
        let path = Path { local, remote };
        let message = match bytes.map(Message::parse) {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                let mut ctx = context(&mut self.shared, self.wall, now, random);
                refuse_version(&mut ctx, bytes.unwrap_or_default(), path, error);
                self.dropped(path, None, Discarded::Malformed(error));
                return self.doubt_version(now, bytes.unwrap_or_default(), error, path, random);
            }
            None => return,
        };
        let header = &message.header;
        let from_initiator = header.flags.initiator;
        let own = if from_initiator { header.responder_spi } else { header.initiator_spi };
        if own.is_zero() {
            if header.exchange == ExchangeType::IkeSaInit && !header.flags.response {
                return self.handle_initiator(now, &message, path, random);
            }
            return self.dropped(path, Some(*header), Discarded::NoBeginning);
        }
        if !self.shared.sessions.contains_key(&own) {
            return self.dropped(path, Some(*header), Discarded::UnknownSpi(own));
        }
        self.step(now, own, random, |session, ctx| session.handle(ctx, &message, path));
    }

    /// Of another version our user should hear: it is the answer of a peer that IKEv2 is expected of, or its beginning.
    fn doubt_version(
        &mut self,
        now: Instant,
        datagram: &[u8],
        error: WireError,
        path: Path,
        random: &mut Random<'_>,
    ) {
        let WireErrorKind::UnsupportedVersion(major) = error.kind else { return };
        let Some((spi, _)) = datagram.split_first_chunk() else { return };
        if self.shared.sessions.contains_key(&IkeSpi(*spi)) {
            return self.step(now, IkeSpi(*spi), random, |session, _| session.doubt_version(path, major));
        }
        let mut ctx = context(&mut self.shared, self.wall, now, random);
        if ctx.is_expected(path) {
            ctx.failed(None, None, None, path.remote, IkeError::OtherVersion { major });
        }
    }

    fn handle_initiator(&mut self, now: Instant, message: &Message<'_>, path: Path, random: &mut Random<'_>) {
        let known = self.shared.initiators.get(&(path.remote, message.header.initiator_spi)).copied();
        let from = self.shared.outputs.len();
        let mut owner = known.and_then(|spi| self.owner(self.shared.sessions.get(&spi)?));
        let mut ctx = context(&mut self.shared, self.wall, now, random);
        if let Some(spi) = known {
            // RFC 7296 §2.1: the same octets again get the same answer, anything else none.
            ctx.repeat_init_response(spi, message, path);
        } else if let Some(session) = respond(&mut ctx, message, path) {
            owner = self.owner(&session);
            self.shared.insert(session);
        }
        self.own(from, owner, None);
        self.reschedule();
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant, random: &mut Random<'_>) {
        while let Some(&(at, spi)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, spi));
            self.step(now, spi, random, Session::handle_timeout);
        }
    }

    /// What is to be sent or to be known next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.shared.outputs.pop_front()
    }

    /// When [`Engine::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// IKE SAs of initiators that have not proved who they are.
    pub fn half_open(&self) -> usize {
        self.shared.half_open.total()
    }

    /// One step of one session, which is out of the table meanwhile.
    fn step(
        &mut self,
        now: Instant,
        spi: IkeSpi,
        random: &mut Random<'_>,
        act: impl FnOnce(&mut Session, &mut Context<'_>),
    ) {
        let Some(mut session) = self.shared.sessions.remove(&spi) else { return };
        let (from, before) = (self.shared.outputs.len(), self.owner(&session));
        let mut ctx = context(&mut self.shared, self.wall, now, random);
        act(&mut session, &mut ctx);
        self.own(from, before, self.owner(&session));
        if session.is_gone() {
            if let Some(at) = session.scheduled {
                self.deadlines.remove(&(at, spi));
            }
        } else {
            self.shared.insert(session);
        }
        self.reschedule();
    }

    fn reschedule(&mut self) {
        for spi in std::mem::take(&mut self.shared.touched) {
            let Some(session) = self.shared.sessions.get_mut(&spi) else { continue };
            let deadline = session.deadline();
            if let Some(old) = session.scheduled {
                self.deadlines.remove(&(old, spi));
            }
            session.scheduled = deadline;
            if self.shared.tracing.keys {
                let keys = tracing::new_keys(session).map(|trace| Output::Trace(Box::new(trace)));
                self.shared.outputs.extend(keys);
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, spi));
            }
        }
    }
}

fn context<'a>(
    shared: &'a mut Shared,
    wall: Option<(Instant, SystemTime)>,
    now: Instant,
    random: &'a mut Random<'_>,
) -> Context<'a> {
    let wall = wall.map_or(SystemTime::UNIX_EPOCH, |(at, wall)| wall + now.saturating_duration_since(at));
    Context { now, wall, random, shared }
}
