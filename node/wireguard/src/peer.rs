//! One peer: its tunnel and its paths.

mod timers;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use boringtun::noise::TunnResult;
use boringtun::noise::errors::WireGuardError;

use crate::device::Device;
use crate::index::PeerIndex;
use crate::key::{PresharedKey, PublicKey};
use crate::message::{INITIATION_LEN, data_header, initiation, is_older_session, receiver_of_response};
use crate::output::{Change, Destination, Opened, PeerState, Sealed, Traffic, Transmit};
use crate::paths::{EndpointPolicy, Paths};
use crate::reason::DropReason;
use crate::tunnel::{REJECT_AFTER_TIME, Tunnel};
use timers::SEARCH_INTERVAL;

/// Bytes that sealing adds to an inner packet.
pub const OVERHEAD: usize = 32;
/// The least length of an output buffer: a handshake initiation. [`Peer::seal`] needs [`OVERHEAD`] more than
/// the packet, [`Peer::open`] as much as the datagram, if that is longer.
pub const MIN_BUFFER_LEN: usize = INITIATION_LEN;

/// An initiation unanswered for this long goes to every candidate (REKEY_TIMEOUT of the whitepaper §6.1).
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Packets that wait for a handshake at most; `boringtun` would drop more without a word.
const MAX_WAITING: usize = 256;

/// Whitepaper §6.1. `boringtun` 0.7.1 knows the limits in time only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageLimits {
    pub(crate) rekey_after: u64,
    pub(crate) reject_after: u64,
}

impl MessageLimits {
    const PROTOCOL: Self = Self { rekey_after: 1 << 60, reject_after: u64::MAX - (1 << 13) };
}

/// What may change while the peer lives.
#[derive(Clone, Default)]
pub struct PeerSettings {
    pub preshared_key: Option<PresharedKey>,
    /// Best first; [`crate::MAX_CANDIDATES`] are used.
    pub candidates: Vec<SocketAddr>,
    pub endpoint: EndpointPolicy,
    pub keepalive: Option<Duration>,
}

/// An unanswered handshake of ours.
#[derive(Debug)]
struct Attempt {
    since: Instant,
    last_sent: Instant,
    /// The peer is being looked for at all its addresses.
    everywhere: bool,
}

/// A peer. Methods that take `out` need [`MIN_BUFFER_LEN`] bytes or more, see there.
pub struct Peer {
    tunnel: Tunnel,
    keepalive: Option<Duration>,
    paths: Paths,
    attempt: Option<Attempt>,
    /// Receiver index of the newest session that an authentic message came under.
    session: Option<u32>,
    sessions: u64,
    last_handshake: Option<Instant>,
    /// That session's handshake was ours.
    is_initiator: bool,
    /// Counter limits say that a new session is due.
    rekey_due: bool,
    exhausted: bool,
    waiting: usize,
    last_sent: Instant,
    received: Traffic,
    sent: Traffic,
    limits: MessageLimits,
}

impl Peer {
    pub fn new(
        device: &Device,
        public_key: PublicKey,
        index: PeerIndex,
        settings: PeerSettings,
        now: Instant,
    ) -> Self {
        let mut paths = Paths::default();
        paths.set_policy(settings.endpoint);
        paths.set_candidates(&settings.candidates, now);
        Self {
            tunnel: Tunnel::new(device.identity(), public_key, index, settings.preshared_key),
            keepalive: settings.keepalive,
            paths,
            attempt: None,
            session: None,
            sessions: 0,
            last_handshake: None,
            is_initiator: false,
            rekey_due: false,
            exhausted: false,
            waiting: 0,
            last_sent: now,
            received: Traffic::default(),
            sent: Traffic::default(),
            limits: MessageLimits::PROTOCOL,
        }
    }

    /// Takes new settings. A live session survives all but a change of the preshared key, which calls for
    /// a new handshake.
    pub fn update(&mut self, settings: PeerSettings, now: Instant) {
        self.keepalive = settings.keepalive;
        self.paths.set_policy(settings.endpoint);
        if self.tunnel.set_preshared_key(settings.preshared_key) {
            self.rekey_due = self.session.is_some();
            self.tunnel_ended();
        }
        if self.paths.set_candidates(&settings.candidates, now)
            && let Some(attempt) = &mut self.attempt
        {
            attempt.everywhere = true;
            attempt.since = now;
            attempt.last_sent = now.checked_sub(SEARCH_INTERVAL).unwrap_or(now);
        }
    }

    /// Sends to this address from now on, whatever is heard from elsewhere; with `None`, to wherever the peer is heard
    /// from. Handshakes without a session still go to all addresses, and by a new path at the next tick. Nothing to a
    /// peer that is not [`EndpointPolicy::Managed`].
    pub fn set_path(&mut self, path: Option<SocketAddr>) {
        let is_new = self.paths.choose(path);
        let searches = is_new && !self.has_session();
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| searches && attempt.everywhere) {
            attempt.last_sent = attempt.last_sent.checked_sub(SEARCH_INTERVAL).unwrap_or(attempt.last_sent);
        }
    }

    /// Seals an inner packet of at most `out.len()` − [`OVERHEAD`] bytes.
    pub fn seal<'b>(&mut self, packet: &[u8], out: &'b mut [u8], now: Instant) -> Sealed<'b> {
        if self.paths.is_empty() {
            return Sealed::Dropped(DropReason::NoEndpoint);
        }
        if self.exhausted {
            return Sealed::Dropped(DropReason::CounterExhausted);
        }
        let has_session = self.has_session();
        if !has_session && self.waiting >= MAX_WAITING {
            return Sealed::Dropped(DropReason::QueueFull);
        }
        match self.tunnel.wake(now).encapsulate(packet, out) {
            TunnResult::WriteToNetwork(datagram) if has_session => {
                self.note_counter(datagram);
                self.sent.count(packet.len());
                self.last_sent = now;
                self.paths.sent_data(now);
                Sealed::Send(Transmit { to: self.destination(), datagram })
            }
            TunnResult::WriteToNetwork(datagram) => {
                self.waiting += 1;
                Sealed::Waiting(Some(self.initiation(datagram, now)))
            }
            TunnResult::Err(error) => Sealed::Dropped(error.into()),
            TunnResult::Done | TunnResult::WriteToTunnelV4(..) | TunnResult::WriteToTunnelV6(..) => {
                self.waiting += 1;
                Sealed::Waiting(None)
            }
        }
    }

    /// Opens a datagram that [`Device::admit`] gave to this peer.
    pub fn open<'b>(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        out: &'b mut [u8],
        now: Instant,
    ) -> (Opened<'b>, Option<Change>) {
        let data = data_header(datagram);
        if data.is_some_and(|(_, counter)| counter >= self.limits.reject_after) {
            return (Opened::Dropped(DropReason::CounterExhausted), None);
        }
        let was_awake = self.tunnel.is_awake();
        let result = if initiation(datagram).is_some() {
            self.tunnel.wake(now).decapsulate(Some(from.ip()), datagram, out)
        } else if let Some(tunnel) = self.tunnel.awake() {
            tunnel.decapsulate(Some(from.ip()), datagram, out)
        } else if data.is_some() {
            TunnResult::Err(WireGuardError::NoCurrentSession)
        } else {
            TunnResult::Err(WireGuardError::UnexpectedPacket)
        };
        match result {
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                self.received.count(packet.len());
                (Opened::Packet(packet), self.heard(from, data, now))
            }
            // The answer to an initiation is a response, the one to a response is a first keepalive.
            TunnResult::WriteToNetwork(answer) => {
                self.tunnel.accepted(datagram, now);
                let change = match receiver_of_response(datagram) {
                    Some(receiver) => self.confirmed(receiver, from, None, now),
                    None => self.heard(from, None, now),
                };
                self.last_sent = now;
                (Opened::Answer(Transmit { to: Destination::Endpoint(from), datagram: answer }), change)
            }
            TunnResult::Done if data.is_some() => (Opened::Nothing, self.heard(from, data, now)),
            // A cookie proves nothing about where it comes from.
            TunnResult::Done => (Opened::Nothing, None),
            TunnResult::Err(error) => {
                if !was_awake {
                    // Nobody but the peer keeps it awake.
                    self.tunnel.sleep();
                }
                (Opened::Dropped(error.into()), None)
            }
        }
    }

    /// The next packet that waited for the session, sealed.
    pub fn next_waiting<'b>(&mut self, out: &'b mut [u8], now: Instant) -> Option<Transmit<'b>> {
        if self.waiting == 0 || !self.has_session() {
            return None;
        }
        if let Some(TunnResult::WriteToNetwork(datagram)) =
            self.tunnel.awake().map(|tunnel| tunnel.decapsulate(None, &[], out))
        {
            self.waiting -= 1;
            self.note_counter(datagram);
            self.sent.count(datagram.len().saturating_sub(OVERHEAD));
            self.last_sent = now;
            self.paths.sent_data(now);
            Some(Transmit { to: self.destination(), datagram })
        } else {
            self.waiting = 0;
            None
        }
    }

    /// Nothing that was sent is answered: makes a new session, with the peer wherever it is.
    pub fn renew<'b>(&mut self, out: &'b mut [u8], now: Instant) -> Option<Transmit<'b>> {
        if self.paths.is_empty() {
            return None;
        }
        self.attempt = None;
        self.initiate(out, true, now)
    }

    /// The node's own address changed: shows the new one to the peer.
    pub fn network_changed<'b>(&mut self, out: &'b mut [u8], now: Instant) -> Option<Transmit<'b>> {
        if self.paths.is_empty() {
            return None;
        }
        self.paths.suspect(now);
        if self.has_session() {
            self.send_keepalive(out, now)
        } else if self.keepalive.is_some() || self.attempt.is_some() {
            self.attempt = None;
            self.initiate(out, true, now)
        } else {
            None
        }
    }

    pub const fn public_key(&self) -> PublicKey {
        self.tunnel.peer()
    }

    pub const fn index(&self) -> PeerIndex {
        self.tunnel.index()
    }

    /// All addresses that [`Destination::Candidates`] stands for.
    pub fn targets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.paths.targets()
    }

    pub const fn endpoint(&self) -> Option<SocketAddr> {
        self.paths.endpoint()
    }

    /// How many sessions were confirmed so far. A peer that has started again is in none of them, but only in later ones;
    /// with one that has not, packets may go in either of two, if both ends began one at the same time.
    pub const fn sessions(&self) -> u64 {
        self.sessions
    }

    /// When the present or last session came to be.
    pub const fn last_handshake(&self) -> Option<Instant> {
        self.last_handshake
    }

    pub const fn received(&self) -> Traffic {
        self.received
    }

    pub const fn sent(&self) -> Traffic {
        self.sent
    }

    /// Packets need not wait for a handshake.
    pub fn has_session(&self) -> bool {
        self.tunnel.has_session()
    }

    /// Whether a tunnel is kept for it: some 10 KB.
    pub const fn is_awake(&self) -> bool {
        self.tunnel.is_awake()
    }

    /// Whether [`Self::tick`] has nothing to do until something is sent, heard or changed.
    pub fn is_at_rest(&self) -> bool {
        let wants_session = self.keepalive.is_some() && !self.paths.is_empty();
        !self.tunnel.is_awake() && !self.rekey_due && !wants_session && !self.paths.is_suspect()
    }

    pub fn state(&self, now: Instant) -> PeerState {
        if self.is_up(now) {
            PeerState::Up
        } else if self.attempt.is_some() {
            PeerState::Connecting
        } else {
            PeerState::Idle
        }
    }

    /// The next one begins anew, and its indices and counters with it.
    fn tunnel_ended(&mut self) {
        self.session = None;
        self.attempt = None;
        self.exhausted = false;
        self.waiting = 0;
        self.paths.forget_order();
    }

    fn is_up(&self, now: Instant) -> bool {
        self.session.is_some()
            && self.last_handshake.is_some_and(|at| now.duration_since(at) < REJECT_AFTER_TIME)
    }

    /// Where a sealed packet goes: sessions come from authentic datagrams, so there is an endpoint.
    fn destination(&self) -> Destination {
        self.paths.endpoint().map_or(Destination::Candidates, Destination::Endpoint)
    }

    fn heard(&mut self, from: SocketAddr, data: Option<(u32, u64)>, now: Instant) -> Option<Change> {
        if let Some((receiver, _)) = data
            && self.session.is_none_or(|known| is_older_session(known, receiver))
        {
            return self.confirmed(receiver, from, data, now);
        }
        // Before there is a session, the endpoint is news only together with it.
        self.paths.heard(from, data).filter(|_| self.is_up(now))
    }

    /// The first authentic message under a new session: the response to our initiation, or the initiator's
    /// first data.
    fn confirmed(
        &mut self,
        receiver: u32,
        from: SocketAddr,
        data: Option<(u32, u64)>,
        now: Instant,
    ) -> Option<Change> {
        let was_up = self.is_up(now);
        self.session = Some(receiver);
        self.sessions += 1;
        self.last_handshake = Some(now);
        self.is_initiator = data.is_none();
        self.attempt = None;
        self.exhausted = false;
        let change = self.paths.heard(from, data);
        if was_up { change } else { Some(Change::Up(from)) }
    }

    fn initiate<'b>(&mut self, out: &'b mut [u8], everywhere: bool, now: Instant) -> Option<Transmit<'b>> {
        let written = self.tunnel.wake(now).format_handshake_initiation(out, true);
        let TunnResult::WriteToNetwork(datagram) = written else { return None };
        let transmit = self.initiation(datagram, now);
        if let Some(attempt) = &mut self.attempt {
            attempt.everywhere |= everywhere;
        }
        Some(Transmit { to: if everywhere { Destination::Candidates } else { transmit.to }, ..transmit })
    }

    /// Notes an initiation that was just made, and says where it goes: without a session the last endpoint
    /// is only a guess.
    fn initiation<'b>(&mut self, datagram: &'b [u8], now: Instant) -> Transmit<'b> {
        self.tunnel.handshake_passed(now);
        let is_lost = !self.has_session();
        let attempt = self.attempt.get_or_insert(Attempt { since: now, last_sent: now, everywhere: false });
        attempt.last_sent = now;
        attempt.everywhere |= is_lost || now.duration_since(attempt.since) >= ANSWER_TIME;
        let to = if attempt.everywhere { Destination::Candidates } else { self.destination() };
        Transmit { to, datagram }
    }

    fn send_keepalive<'b>(&mut self, out: &'b mut [u8], now: Instant) -> Option<Transmit<'b>> {
        if self.exhausted || !self.has_session() {
            return None;
        }
        let TunnResult::WriteToNetwork(datagram) = self.tunnel.awake()?.encapsulate(&[], out) else {
            return None;
        };
        self.note_counter(datagram);
        self.last_sent = now;
        Some(Transmit { to: self.destination(), datagram })
    }

    fn note_counter(&mut self, datagram: &[u8]) {
        if let Some((_, counter)) = data_header(datagram) {
            // Once per session: later packets of it must not start one handshake each.
            self.rekey_due |= counter == self.limits.rekey_after;
            if counter >= self.limits.reject_after - 1 {
                self.exhausted = true;
                self.rekey_due |= self.attempt.is_none();
            }
        }
    }
}

#[cfg(test)]
mod tests;
