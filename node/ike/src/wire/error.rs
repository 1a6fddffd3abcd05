use super::notify_type::NotifyType;
use super::registry::PayloadType;

/// A message that is not as RFC 7296 §3 says. Always the sender's fault, or that of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at byte {offset}: {kind}", self.place())]
pub struct WireError {
    /// The payload that is wrong; `None` for the IKE header.
    pub payload: Option<PayloadType>,
    /// Bytes from the beginning of the message; inside an encrypted payload, from that of its content.
    pub offset: usize,
    pub kind: WireErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireErrorKind {
    #[error("ends too early")]
    Truncated,
    #[error("bytes are left over")]
    TrailingBytes,
    #[error("a length is shorter than its own header")]
    LengthBelowHeader,
    #[error("the header says {0} bytes")]
    LengthMismatch(u32),
    #[error("major version {0} is not supported")]
    UnsupportedVersion(u8),
    #[error("the initiator's SPI is zero")]
    ZeroInitiatorSpi,
    #[error("a critical payload is not supported")]
    UnsupportedCriticalPayload,
    #[error("not allowed at this place")]
    UnexpectedPayload,
    #[error("too many payloads")]
    TooManyPayloads,
    #[error("the list does not have the length that its header announces")]
    CountMismatch,
    #[error("a list is empty that must not be")]
    EmptyList,
    #[error("an SPI of {0} bytes does not fit its protocol")]
    InvalidSpiSize(u8),
    #[error("a nonce of {0} bytes")]
    InvalidNonceLength(usize),
    #[error("a traffic selector of the wrong length")]
    InvalidSelectorLength,
    #[error("a range ends before it begins")]
    InvalidRange,
    #[error("fragment {number} of {total}")]
    InvalidFragment { number: u16, total: u16 },
}

impl WireError {
    /// The notification, with its data, that an answer to such a request carries (RFC 7296 §2.5, §2.21.2, §3.10.1).
    pub fn notification(&self) -> (NotifyType, Option<u8>) {
        match self.kind {
            WireErrorKind::UnsupportedVersion(_) => (NotifyType::InvalidMajorVersion, Some(2)),
            WireErrorKind::UnsupportedCriticalPayload => {
                (NotifyType::UnsupportedCriticalPayload, self.payload.map(u8::from))
            }
            WireErrorKind::Truncated
            | WireErrorKind::TrailingBytes
            | WireErrorKind::LengthBelowHeader
            | WireErrorKind::LengthMismatch(_)
            | WireErrorKind::ZeroInitiatorSpi
            | WireErrorKind::UnexpectedPayload
            | WireErrorKind::TooManyPayloads
            | WireErrorKind::CountMismatch
            | WireErrorKind::EmptyList
            | WireErrorKind::InvalidSpiSize(_)
            | WireErrorKind::InvalidNonceLength(_)
            | WireErrorKind::InvalidSelectorLength
            | WireErrorKind::InvalidRange
            | WireErrorKind::InvalidFragment { .. } => (NotifyType::InvalidSyntax, None),
        }
    }

    fn place(&self) -> String {
        self.payload.map_or_else(|| "IKE header".to_owned(), |payload| format!("payload {payload}"))
    }
}

/// A message that cannot be written: we asked for more than its length fields can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    #[error("a payload is longer than 65,535 bytes")]
    PayloadTooLong,
    #[error("a list has more elements than its count can say")]
    ListTooLong,
    #[error("an SPI is longer than 255 bytes")]
    SpiTooLong,
    #[error("the two ends of a traffic selector are of different families")]
    MixedFamilies,
    #[error("nothing may follow an encrypted payload")]
    AfterEncrypted,
    #[error("the sealed part is longer or shorter than announced")]
    SealedLength,
}
