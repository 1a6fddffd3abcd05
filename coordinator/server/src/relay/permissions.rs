//! Where a client's packets may go: permissions and channels (RFC 8656 §9–§12).

use std::net::IpAddr;
use std::time::Instant;

use stun_types::attribute::ErrorCode;
use stun_types::message::Message;
use stun_types::prelude::{Attribute as _, AttributeFromRaw as _, AttributeStaticType as _, AttributeWrite};
use turn_types::attribute::{ChannelNumber, XorPeerAddress};

use super::allocation::BindError;
use super::request::Proven;
use super::server::Relay;

/// The numbers that a channel may have: RFC 8656 §12 ends them at 0x4fff, clients of RFC 5766 §11 know more.
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7ffe;
/// Addresses in one CreatePermission.
const MOST_ADDRESSES: usize = 32;

impl Relay {
    /// RFC 8656 §10.2: all addresses or none.
    pub(super) fn create_permission(
        &mut self,
        request: &Message<'_>,
        client: &Proven,
        now: Instant,
    ) -> Result<Vec<Box<dyn AttributeWrite>>, u16> {
        let mut peers: Vec<IpAddr> = Vec::new();
        for (_, raw) in request.iter_attributes() {
            if raw.get_type() != XorPeerAddress::TYPE {
                continue;
            }
            let peer = XorPeerAddress::from_raw(raw).map_err(|_| ErrorCode::BAD_REQUEST)?;
            peers.push(peer.addr(request.transaction_id()).ip());
        }
        if peers.is_empty() || peers.len() > MOST_ADDRESSES {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let allocation = self.allocations.get_mut(&client.id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if peers.iter().any(|peer| peer.is_ipv4() != allocation.relayed.is_ipv4()) {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        if !peers.iter().all(|peer| allocation.credential.may_permit(*peer)) {
            self.counters.forbidden += 1;
            return Err(ErrorCode::FORBIDDEN);
        }
        if allocation.permit(&peers, now) { Ok(Vec::new()) } else { Err(ErrorCode::INSUFFICIENT_CAPACITY) }
    }

    /// RFC 8656 §12.2.
    pub(super) fn bind_channel(
        &mut self,
        request: &Message<'_>,
        client: &Proven,
        now: Instant,
    ) -> Result<Vec<Box<dyn AttributeWrite>>, u16> {
        let number = request.attribute::<ChannelNumber>().map_err(|_| ErrorCode::BAD_REQUEST)?.channel();
        let peer = request.attribute::<XorPeerAddress>().map_err(|_| ErrorCode::BAD_REQUEST)?;
        let peer = peer.addr(request.transaction_id());
        if !CHANNELS.contains(&number) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let allocation = self.allocations.get_mut(&client.id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if peer.is_ipv4() != allocation.relayed.is_ipv4() {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        if !allocation.credential.may_reach(peer) {
            self.counters.forbidden += 1;
            return Err(ErrorCode::FORBIDDEN);
        }
        match allocation.bind(number, peer, now) {
            Ok(()) => Ok(Vec::new()),
            Err(BindError::Taken) => Err(ErrorCode::BAD_REQUEST),
            Err(BindError::Full) => Err(ErrorCode::INSUFFICIENT_CAPACITY),
        }
    }
}
