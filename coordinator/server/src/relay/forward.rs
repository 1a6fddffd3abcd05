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

/// Where datagrams come from that all go the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Channel { client: ClientId, number: u16 },
    Peer { relayed: SocketAddr, peer: SocketAddr },
}

/// A way through the relay that is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// The node that sends, unless it is a peer that is no client here.
    sender: Option<NodeId>,
    /// The node that is sent to, likewise.
    receiver: Option<NodeId>,
    exit: Exit,
}

#[derive(Clone, Copy, Debug)]
enum Exit {
    Peer { relayed: SocketAddr, peer: SocketAddr },
    Client { client: ClientId, peer: SocketAddr, channel: Option<u16> },
}

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
        let Some((number, length)) = parsed else {
            self.counters.malformed += 1;
            return Outcome::Nothing;
        };
        match self.flow(Source::Channel { client, number }, now) {
            Some(flow) => self.pass(flow, now, datagram, CHANNEL_HEADER, length),
            None => Outcome::Nothing,
        }
    }

    /// From a client to a peer by an indication: what lies at `start` in the datagram.
    pub(super) fn indicated<'a>(
        &mut self,
        now: Instant,
        (client, peer): (ClientId, SocketAddr),
        datagram: &'a mut [u8],
        start: usize,
        length: usize,
    ) -> Outcome<'a> {
        match self.flow_to_peer(client, peer, now) {
            Some(flow) => self.pass(flow, now, datagram, start, length),
            None => Outcome::Nothing,
        }
    }

    /// The way from there, if it is allowed. The latest one is remembered: what the kernel hands over at once comes
    /// at one instant, and mostly from one source. Whatever changes an allocation forgets it.
    pub(super) fn flow(&mut self, source: Source, now: Instant) -> Option<Flow> {
        if let Some((known, at, flow)) = self.latest
            && known == source
            && at == now
        {
            return Some(flow);
        }
        let flow = match source {
            Source::Channel { client, number } => {
                let Some(allocation) = self.allocations.get(&client) else {
                    self.counters.malformed += 1;
                    return None;
                };
                let Some(peer) = allocation.peer_of(number, now) else {
                    self.counters.not_permitted += 1;
                    return None;
                };
                self.flow_to_peer(client, peer, now)?
            }
            Source::Peer { relayed, peer } => {
                let client = *self.clients.get(&relayed)?;
                self.flow_to_client(None, client, peer, now)?
            }
        };
        self.latest = Some((source, now, flow));
        Some(flow)
    }

    fn flow_to_peer(&mut self, client: ClientId, peer: SocketAddr, now: Instant) -> Option<Flow> {
        let Some(allocation) = self.allocations.get(&client) else {
            self.counters.malformed += 1;
            return None;
        };
        // RFC 8656 §10.2, §12.6: permission first. A newer credential may open less than an older permission.
        if !allocation.permits(peer.ip(), now) || !allocation.credential.may_reach(peer) {
            self.counters.not_permitted += 1;
            return None;
        }
        let (node, relayed) = (allocation.credential.node, allocation.relayed);
        if !self.settings.addresses.contains(&peer.ip()) {
            return Some(Flow { sender: Some(node), receiver: None, exit: Exit::Peer { relayed, peer } });
        }
        // A port of this relay is a node's or nobody's; other programs of this machine are out of reach.
        let other = self.clients.get(&peer).copied();
        let other_node =
            other.and_then(|other| self.allocations.get(&other)).map(|other| other.credential.node);
        match (other, other_node) {
            (Some(other), Some(other_node)) if self.peers.may_talk(node, other_node, now) => {
                self.flow_to_client(Some(node), other, relayed, now)
            }
            _ => {
                self.counters.not_permitted += 1;
                None
            }
        }
    }

    fn flow_to_client(
        &mut self,
        sender: Option<NodeId>,
        client: ClientId,
        peer: SocketAddr,
        now: Instant,
    ) -> Option<Flow> {
        let allocation = self.allocations.get(&client)?;
        if !allocation.permits(peer.ip(), now) || !allocation.credential.may_reach(peer) {
            self.counters.not_permitted += 1;
            return None;
        }
        let channel = allocation.channel_of(peer, now);
        let receiver = Some(allocation.credential.node);
        Some(Flow { sender, receiver, exit: Exit::Client { client, peer, channel } })
    }

    /// Sends what lies at `start` in the datagram, behind at least [`CHANNEL_HEADER`] bytes, on its way.
    pub(super) fn pass<'a>(
        &mut self,
        flow: Flow,
        now: Instant,
        datagram: &'a mut [u8],
        start: usize,
        length: usize,
    ) -> Outcome<'a> {
        let sender = flow.sender.map(|node| (node, Direction::FromNode));
        let receiver = flow.receiver.map(|node| (node, Direction::ToNode));
        for (node, direction) in sender.into_iter().chain(receiver) {
            if !self.is_within_rate(node, direction, length, now) {
                return Outcome::Nothing;
            }
        }
        let end = start + length;
        let outcome = match flow.exit {
            Exit::Peer { relayed, peer } => {
                datagram.get(start..end).map(|bytes| Outcome::ToPeer { relayed, peer, bytes })
            }
            Exit::Client { client, peer, channel } => {
                let bytes = match channel {
                    Some(number) => channel_message(number, datagram, start, length).map(Cow::Borrowed),
                    None => {
                        datagram.get(start..end).and_then(|data| data_indication(peer, data)).map(Cow::Owned)
                    }
                };
                let charged = flow.sender.or(flow.receiver);
                charged.zip(bytes).map(|(node, bytes)| Outcome::ToClient { node, client, bytes })
            }
        };
        let Some(outcome) = outcome else { return Outcome::Nothing };
        self.counters.forwarded += 1;
        self.counters.forwarded_bytes += u64::try_from(length).unwrap_or_default();
        outcome
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
}

/// Channel data, its header written over what stands before the payload (RFC 8656 §12.4).
fn channel_message(number: u16, datagram: &mut [u8], start: usize, length: usize) -> Option<&[u8]> {
    let bytes = datagram.get_mut(start.checked_sub(CHANNEL_HEADER)?..start + length)?;
    let [a, b] = number.to_be_bytes();
    let [c, d] = u16::try_from(length).ok()?.to_be_bytes();
    bytes.get_mut(..CHANNEL_HEADER)?.copy_from_slice(&[a, b, c, d]);
    Some(bytes)
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
