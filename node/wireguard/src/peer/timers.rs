//! Timers of a peer that `boringtun` leaves to its user.

use std::time::{Duration, Instant};

use boringtun::noise::TunnResult;
use boringtun::noise::errors::WireGuardError;

use super::Peer;
use crate::message::data_header;
use crate::output::Transmit;

/// An initiation to a peer that is being looked for is repeated this often…
pub(super) const SEARCH_INTERVAL: Duration = Duration::from_secs(1);
/// …for this long; later `boringtun` repeats it every 5 s.
const SEARCH_TIME: Duration = Duration::from_secs(10);
/// Age at which its initiator renews it (REKEY_AFTER_TIME).
const REKEY_AFTER_TIME: Duration = Duration::from_mins(2);

impl Peer {
    /// Runs the timers; call it some times a second.
    pub fn tick<'b>(&mut self, out: &'b mut [u8], now: Instant) -> Option<Transmit<'b>> {
        let written = self.run_protocol_timers(out);
        if self.attempt.is_none() && self.waiting == 0 && self.tunnel.is_spent(now) {
            self.tunnel.sleep();
            self.tunnel_ended();
        }
        if self.paths.is_empty() {
            return None;
        }
        if let Some(len) = written {
            return out.get(..len).map(|datagram| self.written(datagram, now));
        }
        if self.paths.is_lost(now) {
            self.attempt = None;
            return self.initiate(out, true, now);
        }
        if self.search_is_due(now) {
            return self.initiate(out, true, now);
        }
        if self.rekey_due || self.keepalive_needs_session(now) {
            self.rekey_due = false;
            return self.initiate(out, false, now);
        }
        if self.keepalive.is_some_and(|interval| now.duration_since(self.last_sent) >= interval) {
            return self.send_keepalive(out, now);
        }
        None
    }

    /// What `boringtun` has to send of itself; how long it is.
    fn run_protocol_timers(&mut self, out: &mut [u8]) -> Option<usize> {
        match self.tunnel.awake()?.update_timers(out) {
            TunnResult::WriteToNetwork(datagram) => Some(datagram.len()),
            TunnResult::Err(WireGuardError::ConnectionExpired) => {
                self.session = None;
                self.attempt = None;
                self.waiting = 0;
                None
            }
            TunnResult::Err(_)
            | TunnResult::Done
            | TunnResult::WriteToTunnelV4(..)
            | TunnResult::WriteToTunnelV6(..) => None,
        }
    }

    /// A datagram that `boringtun`'s timers made: an initiation or a keepalive.
    fn written<'b>(&mut self, datagram: &'b [u8], now: Instant) -> Transmit<'b> {
        if data_header(datagram).is_none() {
            return self.initiation(datagram, now);
        }
        self.note_counter(datagram);
        self.last_sent = now;
        Transmit { to: self.destination(), datagram }
    }

    /// Keepalives are not to end with the session. `boringtun` renews one for the sake of data only.
    fn keepalive_needs_session(&self, now: Instant) -> bool {
        let is_old = self.last_handshake.is_some_and(|at| now.duration_since(at) >= REKEY_AFTER_TIME);
        self.keepalive.is_some()
            && self.attempt.is_none()
            && (!self.has_session() || (self.is_initiator && is_old))
    }

    fn search_is_due(&self, now: Instant) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| {
            attempt.everywhere
                && now.duration_since(attempt.since) < SEARCH_TIME
                && now.duration_since(attempt.last_sent) >= SEARCH_INTERVAL
        })
    }
}
