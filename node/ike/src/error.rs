//! Why an attempt failed, by whose fault it is.

use crate::auth::AuthError;
use crate::config::{BadAnswer, NoProposalChosen, SelectorsRefused, TrafficSelector};
use crate::crypto::KeError;
use crate::wire::{ExchangeType, NotifyType, WireError, WriteError};

/// The reason that our log and our user see. What the peer is told is a notification (or nothing), and says less.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IkeError {
    /// Nobody is known to be at fault.
    #[error("no answer to {exchange}: the peer is down, or a firewall drops UDP between us")]
    NoAnswer { exchange: ExchangeType },

    /// The two configurations do not fit.
    #[error("no common proposal: {0}")]
    NoProposal(Box<NoProposalChosen>),
    #[error("selectors refused: {0}")]
    Selectors(Box<SelectorsRefused>),
    #[error("the peer refused {exchange} with {notify}; we offered {offered}")]
    Refused { exchange: ExchangeType, notify: NotifyType, offered: String },
    #[error("the peer wants a key exchange with group {group}, which is not among ours ({offered})")]
    GroupRefused { group: u16, offered: String },
    #[error("no connection is configured for a peer from {address}")]
    NoConnection { address: std::net::IpAddr },
    #[error("no connection is configured for the peer {identity} from {address}")]
    NoConnectionForIdentity { identity: String, address: std::net::IpAddr },
    #[error("the peer is {identity}; this connection expects another")]
    UnexpectedIdentity { identity: String },
    #[error("the peer cannot have an IKE SA without a child (RFC 6023), and that is what is configured here")]
    ChildlessUnsupported,
    #[error("the peer comes {} a child in IKE_AUTH, which `childless` forbids here", if *.child { "with" } else { "without" })]
    ChildlessRefused { child: bool },
    #[error("the peer wants the child in {wanted} mode, which is configured otherwise here")]
    ModeRefused { wanted: &'static str },

    #[error(
        "the peer does not accept this end at {local} and itself at {remote} ({notify}): it has to allow MOBIKE from \
         there, or the path must have no NAT"
    )]
    MoveRefused { notify: NotifyType, local: std::net::SocketAddr, remote: std::net::SocketAddr },
    #[error("the peer allows no NAT, and its addresses were changed on the way: let it do NAT traversal")]
    UnexpectedNat,

    /// Someone is not who they say.
    #[error("authentication of the peer failed: {0}")]
    Authentication(Box<AuthError>),

    /// The peer breaks the protocol.
    #[error("a malformed message: {0}")]
    Malformed(WireError),
    #[error("{exchange} lacks {payload}")]
    Missing { exchange: ExchangeType, payload: &'static str },
    #[error("{0}")]
    BadAnswer(BadAnswer),
    #[error("{0}")]
    KeyExchange(KeError),
    #[error("the peer asked for a cookie or another group again and again")]
    Loop,
    #[error("the answer has selectors that were not offered")]
    WidenedSelectors,
    #[error("the peer's identity cannot be read")]
    Identity,

    /// Ours.
    #[error("no such connection")]
    UnknownConnection,
    #[error("no such child")]
    UnknownChild,
    #[error("a packet {local} === {remote} called for a child that is for {child}")]
    ForeignTrigger { local: TrafficSelector, remote: TrafficSelector, child: String },
    #[error("the connection names no remote address, so the peer has to begin")]
    NoRemoteAddress,
    #[error("a message could not be written: {0}")]
    Unwritable(WriteError),
    #[error("the proposal has no algorithm that can be used: {0}")]
    Unusable(String),
}

impl From<WireError> for IkeError {
    fn from(error: WireError) -> Self {
        Self::Malformed(error)
    }
}

impl From<WriteError> for IkeError {
    fn from(error: WriteError) -> Self {
        Self::Unwritable(error)
    }
}

impl From<KeError> for IkeError {
    fn from(error: KeError) -> Self {
        Self::KeyExchange(error)
    }
}

impl From<BadAnswer> for IkeError {
    fn from(error: BadAnswer) -> Self {
        Self::BadAnswer(error)
    }
}

impl From<AuthError> for IkeError {
    fn from(error: AuthError) -> Self {
        Self::Authentication(Box::new(error))
    }
}

impl From<NoProposalChosen> for IkeError {
    fn from(error: NoProposalChosen) -> Self {
        Self::NoProposal(Box::new(error))
    }
}

impl From<SelectorsRefused> for IkeError {
    fn from(error: SelectorsRefused) -> Self {
        Self::Selectors(Box::new(error))
    }
}

impl IkeError {
    /// What the peer is told in an answer, and with which data (RFC 7296 §2.21). The one place where this is decided.
    pub(crate) fn notification(&self) -> (NotifyType, Vec<u8>) {
        match self {
            Self::NoProposal(_) | Self::Unusable(_) | Self::ModeRefused { .. } => {
                (NotifyType::NoProposalChosen, Vec::new())
            }
            Self::Selectors(_) => (NotifyType::TsUnacceptable, Vec::new()),
            // RFC 7296 §2.21.2: nothing of the reason.
            Self::Authentication(_)
            | Self::NoConnectionForIdentity { .. }
            | Self::UnexpectedIdentity { .. }
            | Self::Identity => (NotifyType::AuthenticationFailed, Vec::new()),
            Self::Malformed(error) => {
                let (kind, data) = error.notification();
                (kind, data.into_iter().collect())
            }
            Self::UnexpectedNat => (NotifyType::UnexpectedNatDetected, Vec::new()),
            Self::NoConnection { .. } => (NotifyType::NoProposalChosen, Vec::new()),
            Self::Unwritable(_)
            | Self::UnknownConnection
            | Self::UnknownChild
            | Self::ForeignTrigger { .. }
            | Self::NoRemoteAddress => (NotifyType::TemporaryFailure, Vec::new()),
            // Of a child in IKE_AUTH or the lack of one strongSwan says the same.
            Self::ChildlessRefused { .. }
            | Self::ChildlessUnsupported
            | Self::NoAnswer { .. }
            | Self::Refused { .. }
            | Self::MoveRefused { .. }
            | Self::GroupRefused { .. }
            | Self::Missing { .. }
            | Self::BadAnswer(_)
            | Self::KeyExchange(_)
            | Self::Loop
            | Self::WidenedSelectors => (NotifyType::InvalidSyntax, Vec::new()),
        }
    }
}
