//! Whether the router is asked for a port, and what becomes of its answer.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use super::agent::Agent;

impl Agent {
    /// Behind an IPv4 NAT the router is asked; as long as nobody knows, things stay as they are.
    pub(super) fn want_port_mapping(&self) {
        if self.plane.is_none() {
            return self.mapper.want(None);
        }
        if let Some(seen) = self.stun.reflexive().into_iter().find(SocketAddr::is_ipv4) {
            let behind_nat = !self.here.hosts.contains(&seen.ip());
            self.mapper.want(NonZeroU16::new(self.here.port).filter(|_| behind_nat));
        }
    }
}
