//! NAT detection (RFC 7296 §2.23): each side hashes the addresses that it sees.

use std::net::{IpAddr, SocketAddr};

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::body::Body;
use super::context::Path;
use super::draft::Draft;
use crate::config::EncapsulationPolicy;
use crate::output::{Encapsulation, Nat};
use crate::wire::{IkeSpi, NotifyType};

/// What IKE_SA_INIT found between the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Between {
    pub(crate) nat: Nat,
    /// Whether this side claims a NAT, and the peer acts on it.
    pub(crate) claimed: bool,
}

impl Between {
    /// As the peer's hashes tell. A peer without them knows no UDP encapsulation, and this side does not look without
    /// having sent its own.
    pub(crate) fn found(
        body: &Body<'_>,
        spis: (IkeSpi, IkeSpi),
        path: Path,
        policy: EncapsulationPolicy,
    ) -> Self {
        let hashes = |kind| body.notifies.iter().filter(move |notify| notify.kind == kind);
        let looks = |kind| hashes(kind).next().is_some();
        let unlike = |kind, end| {
            let hash = detection_hash(spis.0, spis.1, end);
            looks(kind) && !hashes(kind).any(|notify| notify.data == hash)
        };
        if policy == EncapsulationPolicy::Raw {
            return Self::default();
        }
        Self {
            nat: Nat {
                local: unlike(NotifyType::NatDetectionDestinationIp, path.local),
                remote: unlike(NotifyType::NatDetectionSourceIp, path.remote),
            },
            claimed: policy == EncapsulationPolicy::Udp && looks(NotifyType::NatDetectionSourceIp),
        }
    }

    pub(crate) const fn encapsulation(self) -> Encapsulation {
        if self.nat.local || self.nat.remote || self.claimed {
            Encapsulation::Udp
        } else {
            Encapsulation::None
        }
    }

    /// Whether something between the ends has to be reminded of this side.
    pub(crate) const fn needs_keepalive(self) -> bool {
        self.nat.local || self.claimed
    }
}

/// What both sides of IKE_SA_INIT say of addresses, or nothing.
pub(crate) fn tell_addresses(
    draft: &mut Draft,
    spis: (IkeSpi, IkeSpi),
    path: Path,
    policy: EncapsulationPolicy,
) {
    let mut source = detection_hash(spis.0, spis.1, path.local);
    match policy {
        EncapsulationPolicy::Raw => return,
        EncapsulationPolicy::Auto => {}
        // A hash that fits no address.
        EncapsulationPolicy::Udp => source.iter_mut().for_each(|byte| *byte = !*byte),
    }
    draft
        .notify(NotifyType::NatDetectionSourceIp, &source)
        .notify(NotifyType::NatDetectionDestinationIp, &detection_hash(spis.0, spis.1, path.remote));
}

/// Before the peer has said who it is: the policy that all of these connections can live with.
pub(crate) fn common_policy(policies: impl Iterator<Item = EncapsulationPolicy>) -> EncapsulationPolicy {
    use EncapsulationPolicy::{Auto, Raw, Udp};
    let stronger = |one, other| match (one, other) {
        (Udp, _) | (_, Udp) => Udp,
        (Auto, _) | (_, Auto) => Auto,
        (Raw, Raw) => Raw,
    };
    policies.reduce(stronger).unwrap_or_default()
}

/// The data of NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP: SHA-1 of SPIs, address and port. No secret
/// and no signature hangs on the hash.
pub(crate) fn detection_hash(initiator: IkeSpi, responder: IkeSpi, end: SocketAddr) -> Vec<u8> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(&initiator.0);
    context.update(&responder.0);
    match end.ip() {
        IpAddr::V4(address) => context.update(&address.octets()),
        IpAddr::V6(address) => context.update(&address.octets()),
    }
    context.update(&end.port().to_be_bytes());
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_spis_address_and_port() {
        let end = SocketAddr::from(([192, 0, 2, 1], 500));
        let hash = detection_hash(IkeSpi([1; 8]), IkeSpi::ZERO, end);
        assert_eq!(hash.len(), 20);
        let others = [
            detection_hash(IkeSpi([2; 8]), IkeSpi::ZERO, end),
            detection_hash(IkeSpi([1; 8]), IkeSpi([1; 8]), end),
            detection_hash(IkeSpi([1; 8]), IkeSpi::ZERO, SocketAddr::from(([192, 0, 2, 1], 4500))),
            detection_hash(IkeSpi([1; 8]), IkeSpi::ZERO, SocketAddr::from(([192, 0, 2, 2], 500))),
        ];
        assert!(others.iter().all(|other| *other != hash));
    }
}
