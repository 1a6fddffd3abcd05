use crate::wire::{IkeSpi, WireError};

/// Why a message that came in changes nothing. Nobody is told, but in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Discarded {
    #[error("not a message of IKEv2: {0}")]
    Malformed(WireError),
    #[error("no IKE SA here has the SPI {0}: it was deleted, or belongs to a process that ended")]
    UnknownSpi(IkeSpi),
    #[error("a first message that is no IKE_SA_INIT request with message id 0")]
    NoBeginning,
    #[error("another IKE_SA_INIT request with the same SPI from the same address")]
    OtherBeginning,
    #[error("too many IKE SAs are being set up: the flood gets no answer")]
    Flood,
    #[error("its flags say that it is from this side of the IKE SA, with the SPIs of the other")]
    Reflected,
    #[error("one of its SPIs is not that of this IKE SA")]
    OtherSpi,
    #[error("nobody waits for it: a late or repeated answer, or one of another exchange")]
    NotAwaited,
    #[error("its message id is neither the next nor the last one: old, or out of order")]
    OutsideWindow,
    #[error("not encrypted, although the IKE SA has keys")]
    NotSealed,
    #[error(
        "not sealed with the keys of this IKE SA: forged or damaged, or the two ends derived different keys"
    )]
    Forged,
    #[error(
        "repeated, but not authentic, or not the first of its fragments: the answer goes out for that one"
    )]
    Repetition,
    #[error("this is not the moment for such an exchange")]
    OutOfTurn,
}
