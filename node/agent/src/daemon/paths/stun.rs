//! STUN messages of the data port: whose they are.

use std::net::SocketAddr;
use std::time::Instant;

use twinmesh_path::pair::Handled;

use super::super::agent::Agent;

impl Agent {
    /// Each is tried by those who may wait for it, until one takes it.
    pub(in crate::daemon) fn handle_stun(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if self.handle_relay_stun(from, datagram, now) || self.seen_by_stun(from, datagram, now) {
            return;
        }
        match self.paths.pairs.handle_datagram(from, datagram, now) {
            Handled::Checked(_) | Handled::Answered(_) => {}
            Handled::Refused => self.paths.refused += 1,
            Handled::NotOurs if self.handle_question_stun(from, datagram, now) => {}
            Handled::NotOurs => self.paths.unclaimed += 1,
        }
    }

    /// The answer of a STUN server.
    fn seen_by_stun(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let before = self.stun.reflexive();
        if !self.stun.handle_datagram(from, datagram, now) {
            return false;
        }
        let after = self.stun.reflexive();
        // Another mapping may be another NAT's.
        if before.iter().any(|seen| !after.contains(seen)) {
            self.netcheck.network_changed(now);
            self.mapper.ask_again();
        }
        true
    }
}
