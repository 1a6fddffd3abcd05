//! Why an attempt failed, by whose fault it is.

mod hints;

use std::net::{IpAddr, SocketAddr};

use crate::auth::{AuthError, IdentityError, PostquantumError};
use crate::config::{BadAnswer, NoProposalChosen, SelectorsRefused, TrafficSelector};
use crate::crypto::KeError;
use crate::wire::{ExchangeType, NotifyType, WireError, WriteError};

/// The reason that our log and our user see. What the peer is told is a notification (or nothing), and says less.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IkeError {
    /// Nobody is known to be at fault.
    #[error("no answer to {exchange} from {remote}: {}", hints::silence(*.exchange, *.remote))]
    NoAnswer { exchange: ExchangeType, remote: SocketAddr },

    /// The two configurations do not fit.
    #[error("no common proposal: {0}")]
    NoProposal(Box<NoProposalChosen>),
    #[error("selectors refused: {0}")]
    Selectors(Box<SelectorsRefused>),
    /// `offered`: what it was about, in words.
    #[error("the peer refused {exchange} with {notify}; we offered {offered}{}", hints::refusal(*.exchange, *.notify))]
    Refused { exchange: ExchangeType, notify: NotifyType, offered: String },
    /// The child's algorithms fitted when it was made, but IKE_AUTH makes it without a key exchange of its own: the two
    /// sides differ in PFS, which shows at the first rekey only. `pfs`: a key exchange is among what we offered.
    #[error(
        "the peer refused to rekey the child with {notify}; we offered {offered}. The sides differ in PFS, which \
         shows only now since the first child comes without a key exchange of its own: {}",
        if *.pfs {
            "end the child's `proposals` with `-modpnone` to do without where the peer wants none, or name the peer's group"
        } else {
            "add the peer's group, such as `-x25519`, to the child's `proposals`"
        }
    )]
    RekeyRefused { notify: NotifyType, offered: String, pfs: bool },
    #[error(
        "the peer wants the key exchange {}, which is not among ours ({offered}): add it to `proposals`, or let the \
         peer take one of ours", hints::group(*.group)
    )]
    GroupRefused { group: u16, offered: String },
    #[error(
        "a peer came from {address}, and no site is for it: set `remote` of its site to that address, or to \"any\""
    )]
    NoConnection { address: IpAddr },
    /// `allowed`: whom the connections for this address expect, and as whom.
    #[error(
        "the peer from {address} says that it is {identity}{}; allowed from there: {}; correct `remote_id` and \
         `local_id` here, or the identities at the peer",
        hints::wanted(.wanted.as_deref()), .allowed.join(", ")
    )]
    NoConnectionForIdentity {
        identity: String,
        /// Whom it asked for, if it did.
        wanted: Option<String>,
        address: IpAddr,
        allowed: Vec<String>,
    },
    #[error(
        "the peer says that it is {identity}; this site expects {expected}: set `remote_id` to what it says, if that \
         is right, or correct the identity at the peer"
    )]
    UnexpectedIdentity { identity: String, expected: String },
    #[error(
        "the peer answers in IKE version {major}; here it is version 2: let the peer speak IKEv2 (IKEv1 is not supported)"
    )]
    OtherVersion { major: u8 },
    #[error(
        "the peer cannot have an IKE SA without a child (RFC 6023), and that is what is configured here: add a child"
    )]
    ChildlessUnsupported,
    #[error(
        "the peer comes {} a child in IKE_AUTH, which `childless` forbids here: change it, or the peer's settings",
        if *.child { "with" } else { "without" }
    )]
    ChildlessRefused { child: bool },
    #[error(
        "{identity} has an IKE SA already, and this connection allows one: delete it first, or let a new one replace it"
    )]
    Duplicate { identity: String },
    #[error(
        "the peer wants the child in {wanted} mode; here its `mode` is the other one: both ends need the same"
    )]
    ModeRefused { wanted: &'static str },

    #[error(
        "the peer does not accept this end at {local} and itself at {remote} ({notify}): it has to allow MOBIKE from \
         there, or the path must have no NAT"
    )]
    MoveRefused { notify: NotifyType, local: SocketAddr, remote: SocketAddr },
    #[error("the peer allows no NAT, and its addresses were changed on the way: let it do NAT traversal")]
    UnexpectedNat,

    /// Someone is not who they say.
    #[error("authentication of the peer failed: {0}")]
    Authentication(Box<AuthError>),
    #[error("{0}")]
    Postquantum(Box<PostquantumError>),

    /// The peer breaks the protocol.
    #[error("a malformed message, by a fault of the peer or of a box on the way: {0}")]
    Malformed(WireError),
    #[error("the peer breaks the protocol: {exchange} lacks {payload}")]
    Missing { exchange: ExchangeType, payload: &'static str },
    #[error("the peer breaks the protocol: {0}")]
    BadAnswer(BadAnswer),
    #[error("the peer breaks the protocol: {0}")]
    KeyExchange(KeError),
    #[error("the peer asked for a cookie or another group again and again, or somebody forges such answers")]
    Loop,
    #[error(
        "the peer answered with the selectors {}; this child has {}, and an answer may only have less: let both ends \
         have the same subnets", .0.offered, .0.allowed
    )]
    WidenedSelectors(Box<SelectorsRefused>),
    #[error("the peer's identity cannot be read: {0}")]
    Identity(IdentityError),

    /// Ours.
    #[error("there is no such site")]
    UnknownConnection,
    #[error("the site has no such child")]
    UnknownChild,
    #[error("a packet {local} === {remote} called for a child that is for {child}")]
    ForeignTrigger { local: TrafficSelector, remote: TrafficSelector, child: String },
    #[error("the site names no address of its peer, so the peer has to begin: set `remote`")]
    NoRemoteAddress,
    #[error("a message could not be written, which is a fault of this program: {0}")]
    Unwritable(WriteError),
    #[error("nothing of this can be used here: {0}; change `proposals`")]
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

impl From<PostquantumError> for IkeError {
    fn from(error: PostquantumError) -> Self {
        Self::Postquantum(Box::new(error))
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
            | Self::Postquantum(_)
            | Self::NoConnectionForIdentity { .. }
            | Self::UnexpectedIdentity { .. }
            | Self::Duplicate { .. }
            | Self::Identity(_) => (NotifyType::AuthenticationFailed, Vec::new()),
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
            | Self::OtherVersion { .. }
            | Self::RekeyRefused { .. }
            | Self::MoveRefused { .. }
            | Self::GroupRefused { .. }
            | Self::Missing { .. }
            | Self::BadAnswer(_)
            | Self::KeyExchange(_)
            | Self::Loop
            | Self::WidenedSelectors(_) => (NotifyType::InvalidSyntax, Vec::new()),
        }
    }
}
