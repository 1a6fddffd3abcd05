//! One relay's client: an allocation (RFC 8656 §7, §8) with its permissions (§9) and channels (§12).
//!
//! ```text
//!   Allocate ──► 401: realm and nonce ──► Allocate, proven ──┬─► granted ──► Refresh every 15 s, or every second
//!      ▲  ▲                                                  └─► 437: Release what an earlier run left ─┐
//!      │  └──────────────────────────────────────────────────────────────────────────────────────────────┘
//!      └── 437 to anything later: the relay has forgotten, or this node's outer port is another
//! ```

mod answers;

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::attribute::ErrorCode;
use stun_types::message::{Message, TransactionId};

use super::channels::Channels;
use super::credential::Credential;
use super::exchange::Exchange;
use super::message::{Answer, Ask, Proof};
use super::permissions::Permissions;
use super::{RelayServer, Transport};

/// Keeps a NAT's mapping, and the allocation.
const IDLE: Duration = Duration::from_secs(15);
/// While packets go by the relay, its end has to be found soon.
const IN_USE: Duration = Duration::from_secs(1);
/// Without an answer for so long the relay is silent; [`IN_USE`] and the time that another one takes come on top: 3 s.
const SILENCE: Duration = Duration::from_millis(1800);
/// By a stream, other bytes stand before a request.
const STREAM_SILENCE: Duration = Duration::from_secs(5);
/// After so long others are looked at in time.
const LATE: Duration = Duration::from_millis(600);

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The allocation stands, and is seen there.
    Standing(SocketAddr),
    /// The relay has it no longer; another one is asked for.
    Lost,
    /// The relay does not serve this node, for this reason (RFC 8489 §14.8).
    Refused(u16),
    /// No answer comes.
    Silent,
    Bound {
        peer: SocketAddr,
        number: u16,
    },
    Unbound(SocketAddr),
    /// Nothing may be sent to that address.
    NotPermitted {
        ip: IpAddr,
        code: u16,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// A stream is not open yet.
    Waiting,
    Allocating,
    Standing(SocketAddr),
    Refused,
}

/// What it sends comes from [`Self::poll_message`], what happened from [`Self::poll_news`].
pub(super) struct Client {
    pub(super) server: SocketAddr,
    pub(super) transport: Transport,
    credential: Credential,
    /// Of the allocation: some servers know it by no other (RFC 8656 §5).
    allocated_with: Option<Credential>,
    proof: Option<Proof>,
    phase: Phase,
    ipv6: bool,
    releases: u32,
    open: Vec<Exchange>,
    permissions: Permissions,
    channels: Channels,
    in_use: bool,
    refreshed: Instant,
    /// When the last answer came.
    heard: Instant,
    silent: bool,
    round_trip: Option<Duration>,
    random: fastrand::Rng,
    messages: VecDeque<Vec<u8>>,
    news: VecDeque<News>,
}

impl Client {
    /// By UDP it begins at once, by a stream with [`Self::connected`].
    pub(super) fn new(server: &RelayServer, random: fastrand::Rng, now: Instant) -> Self {
        let mut client = Self {
            server: server.address,
            transport: server.transport,
            credential: server.credential.clone(),
            allocated_with: None,
            proof: None,
            phase: Phase::Waiting,
            ipv6: false,
            releases: 0,
            open: Vec::new(),
            permissions: Permissions::default(),
            channels: Channels::default(),
            in_use: false,
            refreshed: now,
            heard: now,
            silent: false,
            round_trip: None,
            random,
            messages: VecDeque::new(),
            news: VecDeque::new(),
        };
        if server.transport == Transport::Udp {
            client.connected(now);
        }
        client
    }

    pub(super) fn connected(&mut self, now: Instant) {
        if self.phase == Phase::Waiting {
            self.phase = Phase::Allocating;
            self.ask(Ask::Allocate { ipv6: false }, now);
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.phase != Phase::Waiting
    }

    /// Where the allocation is seen.
    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        match self.phase {
            Phase::Standing(relayed) => Some(relayed),
            Phase::Waiting | Phase::Allocating | Phase::Refused => None,
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The channel that leads to a peer.
    pub(super) fn channel(&self, peer: SocketAddr) -> Option<u16> {
        self.channels.bound(peer)
    }

    /// Whether the relay lets that address in.
    pub(super) fn permits(&self, ip: IpAddr) -> bool {
        self.permissions.contains(ip)
    }

    /// Proves itself by this one from now on.
    pub(super) fn set_credential(&mut self, credential: &Credential) {
        if self.credential != *credential {
            self.credential = credential.clone();
            self.prove_by(&credential.clone());
        }
    }

    /// Peers at these addresses may send from now on; those of the other IP version are passed over.
    pub(super) fn set_permissions(&mut self, ips: &BTreeSet<IpAddr>, now: Instant) {
        self.permissions.set(ips, now);
        self.drive(now);
    }

    /// Peers that packets go to now.
    pub(super) fn set_in_use(&mut self, peers: &BTreeSet<SocketAddr>, now: Instant) {
        self.in_use = !peers.is_empty();
        // The reader of a stream knows no numbers: there, packets come in Data indications alone.
        if self.transport == Transport::Udp {
            self.channels.set(peers, now);
        }
        self.drive(now);
    }

    /// Asks at once whether the relay still knows this node: the network changed.
    pub(super) fn ask_now(&mut self, now: Instant) {
        if self.relayed().is_some() && !self.is_asking(Ask::Refresh) {
            self.ask(Ask::Refresh, now);
        }
    }

    /// Gives the allocation back; nobody waits for the answer.
    pub(super) fn release(&mut self, now: Instant) {
        if self.relayed().is_some() {
            self.open.clear();
            self.ask(Ask::Release, now);
            self.send_due(now);
        }
    }

    /// Whether an answer is late, so that others should be looked at.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.waits_since().is_some_and(|since| since + LATE <= now)
    }

    pub(super) fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.messages.pop_front()
    }

    pub(super) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let waits = self.waits_since().filter(|_| !self.silent);
        let late = waits.map(|since| since + LATE).filter(|at| *at > now);
        let silent = waits.map(|since| since + self.silence());
        let exchanges = self.open.iter().filter_map(Exchange::due).min();
        let refreshes = self.relayed().is_some() && !self.is_asking(Ask::Refresh);
        let standing = refreshes.then(|| self.refresh_at());
        let inner = self.relayed().and_then(|_| {
            [self.permissions.poll_timeout(), self.channels.poll_timeout()].into_iter().flatten().min()
        });
        [late, silent, exchanges, standing, inner].into_iter().flatten().min()
    }

    /// Sends what is due, and notices silence.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.drive(now);
        if !self.silent && self.waits_since().is_some_and(|since| since + self.silence() <= now) {
            self.silent = true;
            self.news.push_back(News::Silent);
        }
    }

    /// An answer came in. False if it is to none of this client's requests.
    pub(super) fn handle_answer(&mut self, message: &Message<'_>, now: Instant) -> bool {
        let id = message.transaction_id();
        let Some(place) = self.open.iter().position(|open| open.id == id) else { return false };
        let Some(open) = self.open.get(place) else { return false };
        if !message.has_method(open.ask.method()) {
            return false;
        }
        let proof = self.proof.as_ref().filter(|_| open.proven);
        let Some(answer) = Answer::read(message, proof) else { return true };
        let exchange = self.open.swap_remove(place);
        (self.silent, self.heard) = (false, now);
        self.round_trip = exchange.round_trip(now).or(self.round_trip);
        match answer {
            Answer::Granted { relayed, lifetime } => self.granted(&exchange, relayed, lifetime, now),
            Answer::Refused { code, challenge } => self.refused(&exchange, code, challenge, now),
        }
        self.drive(now);
        true
    }

    fn drive(&mut self, now: Instant) {
        if self.relayed().is_some() {
            if self.refresh_at() <= now && !self.is_asking(Ask::Refresh) {
                self.ask(Ask::Refresh, now);
            }
            while let Some(ip) = self.permissions.poll_ask(now) {
                self.ask(Ask::Permit(ip), now);
            }
            while let Some((peer, number)) = self.channels.poll_ask(now) {
                self.ask(Ask::Bind { number, peer }, now);
            }
            while let Some(peer) = self.channels.poll_ended(now) {
                self.news.push_back(News::Unbound(peer));
            }
        }
        self.send_due(now);
    }

    fn send_due(&mut self, now: Instant) {
        let transport = self.transport;
        self.messages.extend(self.open.iter_mut().filter_map(|open| open.send(transport, now)));
    }

    fn ask(&mut self, ask: Ask, now: Instant) {
        let id: TransactionId = self.random.u128(..).into();
        let Some(bytes) = ask.write(id, self.proof.as_ref()) else {
            return self.give_up(ErrorCode::BAD_REQUEST);
        };
        if ask == Ask::Refresh {
            self.refreshed = now;
        }
        self.open.push(Exchange::new(id, ask, bytes, self.proof.is_some(), now));
    }

    fn is_asking(&self, ask: Ask) -> bool {
        self.open.iter().any(|open| open.ask == ask)
    }

    fn waits_since(&self) -> Option<Instant> {
        let oldest = self.open.iter().map(|open| open.since).min()?;
        Some(oldest.max(self.heard))
    }

    fn refresh_at(&self) -> Instant {
        self.refreshed + if self.in_use { IN_USE } else { IDLE }
    }

    fn silence(&self) -> Duration {
        match self.transport {
            Transport::Udp => SILENCE,
            Transport::Tls => STREAM_SILENCE,
        }
    }
}
