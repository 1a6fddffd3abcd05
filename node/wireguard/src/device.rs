//! What all peers share: the node's key and the guard against floods of handshakes.

use std::net::IpAddr;
use std::sync::Arc;

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, TunnResult};
use x25519_dalek::StaticSecret;

use crate::index::PeerIndex;
use crate::key::{PrivateKey, PublicKey};
use crate::reason::DropReason;

/// Handshake messages per second beyond which the sender must prove its address by a cookie (whitepaper
/// §5.3). One costs about 0.15 ms of a core, so this is some 4 % of one; for a peer without a tunnel it takes more: see
/// [`crate::tunnel::Tunnel::wake`].
const HANDSHAKES_BEFORE_COOKIES: u64 = 250;

/// Bytes of the longest reply of [`Device::admit`], a cookie reply.
pub const MAX_REPLY_LEN: usize = 64;

/// The local end of all tunnels.
pub struct Device {
    identity: Arc<Identity>,
    public: x25519_dalek::PublicKey,
    guard: RateLimiter,
}

/// What each tunnel is made of.
pub(crate) struct Identity {
    pub(crate) private: StaticSecret,
    /// A tunnel checks each datagram once more by its own limiter. This one never limits: a handshake
    /// that passed the guard would be counted twice otherwise.
    pub(crate) passed: Arc<RateLimiter>,
}

/// Who is to see a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<'r> {
    /// The peer that owns this receiver index.
    Index(PeerIndex),
    /// The peer with this key; it begins a handshake. The key is proven only by [`crate::Peer::open`].
    Initiation(PublicKey),
    /// Nobody; answer the sender with this cookie.
    Cookie(&'r [u8]),
    /// Nobody.
    Drop(DropReason),
}

impl Device {
    pub fn new(private: &PrivateKey) -> Self {
        Self::with_handshake_limit(private, HANDSHAKES_BEFORE_COOKIES)
    }

    fn with_handshake_limit(private: &PrivateKey, limit: u64) -> Self {
        let private = private.to_secret();
        let public = x25519_dalek::PublicKey::from(&private);
        Self {
            guard: RateLimiter::new(&public, limit),
            identity: Arc::new(Identity { private, passed: Arc::new(RateLimiter::new(&public, u64::MAX)) }),
            public,
        }
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.public.to_bytes())
    }

    /// Finds whom a WireGuard datagram concerns. Handshake messages have their MACs checked, and under load
    /// their cookie; a data packet is only parsed.
    pub fn admit<'r>(
        &self,
        from: IpAddr,
        datagram: &[u8],
        reply: &'r mut [u8; MAX_REPLY_LEN],
    ) -> Admission<'r> {
        match self.guard.verify_packet(Some(from), datagram, reply) {
            Ok(Packet::HandshakeInit(init)) => {
                match parse_handshake_anon(&self.identity.private, &self.public, &init) {
                    Ok(half) => Admission::Initiation(PublicKey(half.peer_static_public)),
                    Err(error) => Admission::Drop(error.into()),
                }
            }
            Ok(Packet::HandshakeResponse(response)) => {
                Admission::Index(PeerIndex::of_receiver(response.receiver_idx))
            }
            Ok(Packet::PacketCookieReply(cookie)) => {
                Admission::Index(PeerIndex::of_receiver(cookie.receiver_idx))
            }
            Ok(Packet::PacketData(data)) => Admission::Index(PeerIndex::of_receiver(data.receiver_idx)),
            Err(TunnResult::WriteToNetwork(cookie)) => Admission::Cookie(cookie),
            Err(TunnResult::Err(WireGuardError::InvalidPacket)) => Admission::Drop(DropReason::Malformed),
            Err(TunnResult::Err(error)) => Admission::Drop(error.into()),
            Err(TunnResult::Done | TunnResult::WriteToTunnelV4(..) | TunnResult::WriteToTunnelV6(..)) => {
                Admission::Drop(DropReason::Malformed)
            }
        }
    }

    /// Lets the next second's handshakes in; call at least once a second.
    pub fn tick(&self) {
        self.guard.reset_count();
    }

    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }
}
