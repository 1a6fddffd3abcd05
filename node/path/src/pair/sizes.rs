//! What size passes by the chosen path.

use std::net::SocketAddr;
use std::time::Instant;

use super::check;
use super::outbox::Outbox;
use super::pair::Pair;
use super::settings::LocalSettings;
use super::target::Target;

/// A relayed path carries what IPv6 demands of every link (RFC 8200 §5).
const RELAYED_MTU: u16 = 1280;
const UDP_HEADER: usize = 8;

impl Pair {
    /// Sends the padded checks that are due: of a direct path in use, while it answers.
    pub(super) fn measure(&mut self, outbox: &mut Outbox, now: Instant) {
        let purpose = self.purpose(now);
        if !self.in_use(now) {
            return;
        }
        let Some(address) = self.direct().map(Target::address) else { return };
        let Some(target) = self.targets.iter_mut().find(|target| target.address() == address) else { return };
        if target.is_doubted(now) {
            target.sizes.pause(now);
            return;
        }
        for size in target.sizes.attempt(target.timeout(), now) {
            let id = outbox.transaction_id();
            target.sizes.sends(id, size);
            let len = usize::from(size).saturating_sub(ip_header(&address) + UDP_HEADER);
            outbox.push(address, check::padded_request(&self.secret, id, purpose, len));
        }
    }

    /// When [`Self::measure`] is due.
    pub(super) fn measure_due(&self, now: Instant) -> Option<Instant> {
        let target = self.direct().filter(|_| self.in_use(now))?;
        target.sizes.due()
    }
}

/// Longest IP packet that passes there, in bytes.
pub(super) fn mtu(target: &Target, local: &LocalSettings) -> u16 {
    if target.is_relayed() { RELAYED_MTU.min(local.mtu) } else { target.sizes.mtu() }
}

/// What every path carries: RFC 791 and RFC 8200 §5.
pub(super) fn least_mtu(address: &SocketAddr) -> u16 {
    if address.is_ipv4() { 576 } else { 1280 }
}

fn ip_header(address: &SocketAddr) -> usize {
    if address.is_ipv4() { 20 } else { 40 }
}
