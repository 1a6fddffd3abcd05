//! Why a datagram or packet went no further.

use boringtun::noise::errors::WireGuardError;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// Every way in which this engine drops; each has a counter under its stable name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[doc = $doc])+ $variant,)+ }

        impl DropReason {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Kebab-case, stable.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

reasons! {
    /// No WireGuard message: unknown type, or a length that the type cannot have.
    Malformed => "wireguard-malformed",
    /// The first MAC of a handshake message is wrong: the sender does not know our public key.
    InvalidMac => "wireguard-invalid-mac",
    /// Too many handshakes per second and no valid cookie; the sender got a cookie.
    UnderLoad => "wireguard-under-load",
    /// A handshake from a key that is no peer.
    UnknownPeer => "wireguard-unknown-peer",
    /// A receiver index that belongs to no peer.
    UnknownIndex => "wireguard-unknown-index",
    /// An answer to a handshake that we did not begin, or began too long ago.
    UnexpectedHandshake => "wireguard-unexpected-handshake",
    /// A handshake no newer than the last one: a replay, or the copy that came by a slower path.
    ReplayedHandshake => "wireguard-replayed-handshake",
    /// Authentication failed.
    Undecryptable => "wireguard-undecryptable",
    /// The packet counter was seen before or lies behind the window.
    ReplayedPacket => "wireguard-replayed-packet",
    /// The session is over.
    NoSession => "wireguard-no-session",
    /// The session has carried all the messages it may.
    CounterExhausted => "wireguard-counter-exhausted",
    /// The authentic content is no IP packet.
    InnerMalformed => "wireguard-inner-malformed",
    /// The peer has no endpoint and no candidate for one.
    NoEndpoint => "wireguard-no-endpoint",
    /// As many packets as may wait for a handshake wait already.
    QueueFull => "wireguard-queue-full",
}

impl From<WireGuardError> for DropReason {
    /// For errors from a tunnel: the outer form of the datagram was checked before.
    fn from(error: WireGuardError) -> Self {
        match error {
            WireGuardError::InvalidMac => Self::InvalidMac,
            WireGuardError::InvalidAeadTag | WireGuardError::WrongKey => Self::Undecryptable,
            WireGuardError::InvalidCounter | WireGuardError::DuplicateCounter => Self::ReplayedPacket,
            WireGuardError::InvalidTai64nTimestamp | WireGuardError::WrongTai64nTimestamp => {
                Self::ReplayedHandshake
            }
            WireGuardError::NoCurrentSession
            | WireGuardError::WrongIndex
            | WireGuardError::ConnectionExpired => Self::NoSession,
            WireGuardError::UnexpectedPacket => Self::UnexpectedHandshake,
            WireGuardError::UnderLoad => Self::UnderLoad,
            WireGuardError::InvalidPacket => Self::InnerMalformed,
            WireGuardError::IncorrectPacketLength
            | WireGuardError::WrongPacketType
            | WireGuardError::LockFailed
            | WireGuardError::DestinationBufferTooSmall => Self::Malformed,
        }
    }
}
