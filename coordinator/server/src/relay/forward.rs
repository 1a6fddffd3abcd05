//! Data on its way through (RFC 8656 §11, §12): nothing is allocated for channel data.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Instant;

use stun_types::message::{Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec};
use turn_types::attribute::{Data, XorPeerAddress};
use turn_types::channel::ChannelData;
use turn_types::message::DATA;
use twinmesh_control::NodeId;

use super::client::ClientId;
use super::server::{Outcome, Relay};

/// Channel number and length before channel data (RFC 8656 §12.4), in bytes.
pub(super) const CHANNEL_HEADER: usize = 4;

#[derive(Clone, Copy)]
enum Direction {
    FromNode,
    ToNode,
}

impl Relay {
    pub(super) fn channel_data<'a>(
        &mut self,
        now: Instant,
        client: ClientId,
        datagram: &'a mut [u8],
    ) -> Outcome<'a> {
        // Padding may follow (RFC 8656 §12.5).
        let parsed = ChannelData::parse(datagram).ok().map(|data| (data.id(), data.data().len()));
        let Some((channel, length)) = parsed else {
            self.counters.malformed += 1;
            return Outcome::Nothing;
        };
        let Some(allocation) = self.allocations.get(&client) else {
            self.counters.malformed += 1;
            return Outcome::Nothing;
        };
        let Some(peer) = allocation.peer_of(channel, now) else {
            self.counters.not_permitted += 1;
            return Outcome::Nothing;
        };
        self.forward(now, client, peer, datagram, CHANNEL_HEADER, length)
    }

    /// From a client to a peer: what lies at `start` in the datagram.
    pub(super) fn forward<'a>(
        &mut self,
        now: Instant,
        client: ClientId,
        peer: SocketAddr,
        datagram: &'a mut [u8],
        start: usize,
        length: usize,
    ) -> Outcome<'a> {
        let Some(allocation) = self.allocations.get(&client) else {
            self.counters.malformed += 1;
            return Outcome::Nothing;
        };
        // RFC 8656 §10.2, §12.6: permission first. A newer credential may open less than an older permission.
        if !allocation.permits(peer.ip(), now) || !allocation.credential.may_reach(peer) {
            self.counters.not_permitted += 1;
            return Outcome::Nothing;
        }
        let (node, relayed) = (allocation.credential.node, allocation.relayed);
        if !self.is_within_rate(node, Direction::FromNode, length, now) {
            return Outcome::Nothing;
        }
        // A port of this relay is a node's or nobody's; other programs of this machine are out of reach.
        if self.settings.addresses.contains(&peer.ip()) {
            let Some(other) = self.clients.get(&peer).copied() else {
                self.counters.not_permitted += 1;
                return Outcome::Nothing;
            };
            let other_node = self.allocations.get(&other).map(|other| other.credential.node);
            if !other_node.is_some_and(|other| self.peers.may_talk(node, other, now)) {
                self.counters.not_permitted += 1;
                return Outcome::Nothing;
            }
            // The header is written over what stands before the payload.
            let Some(buffer) = datagram.get_mut(start.saturating_sub(CHANNEL_HEADER)..) else {
                return Outcome::Nothing;
            };
            return self.deliver(now, Some(node), (other, relayed), buffer, length);
        }
        let Some(bytes) = datagram.get(start..start + length) else { return Outcome::Nothing };
        self.count(length);
        Outcome::ToPeer { relayed, peer, bytes }
    }

    /// From a peer to a client, charged to a node or else the client: what lies behind the headroom.
    pub(super) fn deliver<'a>(
        &mut self,
        now: Instant,
        charged: Option<NodeId>,
        (client, peer): (ClientId, SocketAddr),
        buffer: &'a mut [u8],
        length: usize,
    ) -> Outcome<'a> {
        let Some(allocation) = self.allocations.get(&client) else { return Outcome::Nothing };
        if !allocation.permits(peer.ip(), now) || !allocation.credential.may_reach(peer) {
            self.counters.not_permitted += 1;
            return Outcome::Nothing;
        }
        let (node, channel) = (allocation.credential.node, allocation.channel_of(peer, now));
        if !self.is_within_rate(node, Direction::ToNode, length, now) {
            return Outcome::Nothing;
        }
        let end = CHANNEL_HEADER + length;
        if let Some(channel) = channel {
            let Ok(short) = u16::try_from(length) else { return Outcome::Nothing };
            let Some(bytes) = buffer.get_mut(..end) else { return Outcome::Nothing };
            let [a, b] = channel.to_be_bytes();
            let [c, d] = short.to_be_bytes();
            if let Some(header) = bytes.get_mut(..CHANNEL_HEADER) {
                header.copy_from_slice(&[a, b, c, d]);
            }
            self.count(length);
            return Outcome::ToClient { node: charged.unwrap_or(node), client, bytes: Cow::Borrowed(bytes) };
        }
        let Some(payload) = buffer.get(CHANNEL_HEADER..end) else { return Outcome::Nothing };
        let Some(bytes) = data_indication(peer, payload) else { return Outcome::Nothing };
        self.count(length);
        Outcome::ToClient { node: charged.unwrap_or(node), client, bytes: Cow::Owned(bytes) }
    }

    fn is_within_rate(&mut self, node: NodeId, direction: Direction, length: usize, now: Instant) -> bool {
        let amount = u64::try_from(length).unwrap_or(u64::MAX);
        let bucket = self.usages.get_mut(&node).map(|usage| match direction {
            Direction::FromNode => &mut usage.sends,
            Direction::ToNode => &mut usage.is_sent,
        });
        let allowed = bucket.is_some_and(|bucket| bucket.take(amount, now));
        if !allowed {
            self.counters.over_rate += 1;
        }
        allowed
    }

    fn count(&mut self, length: usize) {
        self.counters.forwarded += 1;
        self.counters.forwarded_bytes += u64::try_from(length).unwrap_or_default();
    }
}

/// The peer, and where in the message the payload lies (RFC 8656 §11.2).
pub(super) fn send_indication(message: &Message<'_>) -> Option<(SocketAddr, usize, usize)> {
    let peer = message.attribute::<XorPeerAddress>().ok()?.addr(message.transaction_id());
    let (offset, data) = message.attribute_and_offset::<Data<'_>>().ok()?;
    // Behind the attribute's own type and length.
    Some((peer, offset + 4, data.data().len()))
}

/// RFC 8656 §11.3.
fn data_indication(peer: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    // The largest payload of a datagram has no room for the attributes around it.
    if payload.len() > usize::from(u16::MAX) - 64 {
        return None;
    }
    let mut message = Message::builder_indication(DATA, MessageWriteVec::with_capacity(payload.len() + 64));
    message.add_attribute(&XorPeerAddress::new(peer, message.transaction_id())).ok()?;
    message.add_attribute(&Data::new(payload)).ok()?;
    Some(message.finish())
}
