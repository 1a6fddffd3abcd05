//! One client's allocation (RFC 8656 §3.2): its relayed port, permissions and channels.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::message::{IntegrityKey, TransactionId};

use super::credential::Credential;

/// RFC 8656 §9.
const PERMISSION_LIFETIME: Duration = Duration::from_mins(5);
/// RFC 8656 §12: ten minutes.
const CHANNEL_LIFETIME: Duration = Duration::from_mins(10);
/// Permissions, and channels, of one allocation.
pub(super) const MOST_PEERS: usize = 256;

/// A channel cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindError {
    /// The number or the peer has another partner (RFC 8656 §12.2).
    Taken,
    Full,
}

pub(super) struct Allocation {
    pub(super) username: String,
    pub(super) credential: Credential,
    pub(super) key: IntegrityKey,
    /// Of the request that made it, which may come again because the answer was lost.
    pub(super) made_by: TransactionId,
    pub(super) relayed: SocketAddr,
    pub(super) expires: Instant,
    permissions: BTreeMap<IpAddr, Instant>,
    channels: BTreeMap<u16, (SocketAddr, Instant)>,
    numbers: BTreeMap<SocketAddr, u16>,
}

impl Allocation {
    pub(super) fn new(
        (username, credential, key): (String, Credential, IntegrityKey),
        made_by: TransactionId,
        relayed: SocketAddr,
        expires: Instant,
    ) -> Self {
        Self {
            username,
            credential,
            key,
            made_by,
            relayed,
            expires,
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Whether that peer's packets may come in.
    pub(super) fn permits(&self, peer: IpAddr, now: Instant) -> bool {
        self.permissions.get(&peer).is_some_and(|expires| *expires > now)
    }

    /// Installs or refreshes permissions, all or none; false if there is no room.
    pub(super) fn permit(&mut self, peers: &[IpAddr], now: Instant) -> bool {
        self.permissions.retain(|_, expires| *expires > now);
        let new = peers.iter().filter(|peer| !self.permissions.contains_key(peer)).count();
        if self.permissions.len() + new > MOST_PEERS {
            return false;
        }
        self.permissions.extend(peers.iter().map(|peer| (*peer, now + PERMISSION_LIFETIME)));
        true
    }

    /// Binds or refreshes a channel, and the permission with it (RFC 8656 §12.2).
    pub(super) fn bind(&mut self, number: u16, peer: SocketAddr, now: Instant) -> Result<(), BindError> {
        self.channels.retain(|_, (_, expires)| *expires > now);
        self.numbers.retain(|_, number| self.channels.contains_key(number));
        let partner = self.channels.get(&number).map(|(peer, _)| *peer);
        if partner.is_some_and(|partner| partner != peer)
            || self.numbers.get(&peer).is_some_and(|bound| *bound != number)
        {
            return Err(BindError::Taken);
        }
        if (partner.is_none() && self.channels.len() >= MOST_PEERS) || !self.permit(&[peer.ip()], now) {
            return Err(BindError::Full);
        }
        self.channels.insert(number, (peer, now + CHANNEL_LIFETIME));
        self.numbers.insert(peer, number);
        Ok(())
    }

    /// Whom a channel leads to.
    pub(super) fn peer_of(&self, channel: u16, now: Instant) -> Option<SocketAddr> {
        self.channels.get(&channel).filter(|(_, expires)| *expires > now).map(|(peer, _)| *peer)
    }

    /// The channel that leads to a peer.
    pub(super) fn channel_of(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        self.numbers.get(&peer).copied().filter(|number| self.peer_of(*number, now) == Some(peer))
    }
}
