//! Allocations are made, kept and ended (RFC 8656 §7, §8).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::attribute::{ErrorCode, XorMappedAddress};
use stun_types::message::Message;
use stun_types::prelude::{AttributeFromRaw as _, AttributeStaticType as _, AttributeWrite};
use turn_types::AddressFamily;
use turn_types::attribute::{
    EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, XorRelayedAddress,
};

use super::allocation::Allocation;
use super::credential::Credential;
use super::request::Proven;
use super::server::{Parity, Ports, Relay};

/// RFC 8656 §3.2: ten minutes unless asked otherwise, an hour at most.
const DEFAULT_LIFETIME: Duration = Duration::from_mins(10);
const LONGEST_LIFETIME: Duration = Duration::from_hours(1);

impl Relay {
    /// RFC 8656 §7.2.
    pub(super) fn allocate(
        &mut self,
        request: &Message<'_>,
        client: &Proven,
        (now, unix): (Instant, i64),
        ports: &mut impl Ports,
    ) -> Result<Vec<Box<dyn AttributeWrite>>, u16> {
        if let Some(allocation) = self.allocations.get(&client.id) {
            // The answer was lost, and the request came again.
            if allocation.made_by == request.transaction_id() {
                return Ok(allocated(request, allocation, client.id.address(), now));
            }
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        let transport = request.attribute::<RequestedTransport>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        if transport.protocol() != RequestedTransport::UDP {
            return Err(ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL);
        }
        // RFC 8656 §7.2: IPv4 if it does not say.
        let family = match request.raw_attribute(RequestedAddressFamily::TYPE) {
            Some(raw) => RequestedAddressFamily::from_raw(raw)
                .map_err(|_| ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)?
                .family(),
            None => AddressFamily::IPV4,
        };
        let address = self.settings.addresses.iter().find(|address| is_of(**address, family));
        let address = *address.ok_or(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)?;
        let parity = match request.raw_attribute(EvenPort::TYPE) {
            None => Parity::Any,
            Some(raw) => match EvenPort::from_raw(raw) {
                Ok(even) if !even.requested() => Parity::Even,
                // The port after it is to be kept for later, which no node needs.
                Ok(_) => return Err(ErrorCode::INSUFFICIENT_CAPACITY),
                Err(_) => return Err(ErrorCode::BAD_REQUEST),
            },
        };
        let of_node = self.usages.get(&client.credential.node).map_or(0, |usage| usage.allocations);
        if of_node >= self.settings.most_allocations_of_node {
            self.counters.over_quota += 1;
            return Err(ErrorCode::ALLOCATION_QUOTA_REACHED);
        }
        if self.allocations.len() >= self.settings.most_allocations {
            self.counters.over_quota += 1;
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let relayed = ports.open(address, parity).ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
        let proof = (client.username.clone(), client.credential.clone(), client.key.clone());
        let expires = now + lifetime(request, &client.credential, unix).max(Duration::from_secs(1));
        let allocation = Allocation::new(proof, request.transaction_id(), relayed, expires);
        let attributes = allocated(request, &allocation, client.id.address(), now);
        self.insert(client.id, allocation, now);
        Ok(attributes)
    }

    /// RFC 8656 §8.2: a lifetime of 0 ends the allocation.
    pub(super) fn refresh(
        &mut self,
        request: &Message<'_>,
        client: &Proven,
        (now, unix): (Instant, i64),
        ports: &mut impl Ports,
    ) -> Result<Vec<Box<dyn AttributeWrite>>, u16> {
        let allocation = self.allocations.get_mut(&client.id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if let Some(raw) = request.raw_attribute(RequestedAddressFamily::TYPE) {
            let family = RequestedAddressFamily::from_raw(raw).map_err(|_| ErrorCode::BAD_REQUEST)?.family();
            if !is_of(allocation.relayed.ip(), family) {
                return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
            }
        }
        let lifetime = lifetime(request, &client.credential, unix);
        allocation.expires = now + lifetime;
        if lifetime.is_zero() {
            self.remove(client.id, ports);
        }
        Ok(vec![Box::new(Lifetime::new(seconds(lifetime)))])
    }
}

/// Success of an Allocate (RFC 8656 §7.2).
fn allocated(
    request: &Message<'_>,
    allocation: &Allocation,
    client: SocketAddr,
    now: Instant,
) -> Vec<Box<dyn AttributeWrite>> {
    let id = request.transaction_id();
    let left = allocation.expires.saturating_duration_since(now);
    vec![
        Box::new(XorRelayedAddress::new(allocation.relayed, id)),
        Box::new(Lifetime::new(seconds(left))),
        Box::new(XorMappedAddress::new(client, id)),
    ]
}

/// How long the allocation lasts: what is asked for, within bounds, and never longer than the credential.
fn lifetime(request: &Message<'_>, credential: &Credential, unix: i64) -> Duration {
    let asked = request
        .attribute::<Lifetime>()
        .map_or(DEFAULT_LIFETIME, |asked| Duration::from_secs(asked.seconds().into()));
    if asked.is_zero() {
        return asked;
    }
    let left = Duration::from_secs(u64::try_from(credential.until - unix).unwrap_or_default());
    asked.clamp(DEFAULT_LIFETIME, LONGEST_LIFETIME).min(left)
}

fn is_of(address: IpAddr, family: AddressFamily) -> bool {
    match family {
        AddressFamily::IPV4 => address.is_ipv4(),
        AddressFamily::IPV6 => address.is_ipv6(),
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
