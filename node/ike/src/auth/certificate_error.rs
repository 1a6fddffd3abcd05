use std::time::{Duration, SystemTime};

use webpki::Error;
use x509_cert::der::DateTime;

/// Why a chain of certificates does not convince.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    #[error("no authority of `ca` issued it, or a certificate between them is missing")]
    UnknownIssuer,
    #[error("it expired on {}", date(*.not_after))]
    Expired { not_after: SystemTime },
    #[error("it is not valid before {}; is the clock right?", date(*.not_before))]
    NotYetValid { not_before: SystemTime },
    #[error("its authority's own certificate is not valid now")]
    AuthorityExpired,
    #[error("it is revoked")]
    Revoked,
    #[error("no revocation list in force tells about it")]
    RevocationUnknown,
    #[error("a signature in its chain is wrong")]
    Signature,
    #[error("a signature in its chain is by an algorithm that is not allowed here")]
    SignatureAlgorithm,
    #[error("its key may not sign, or an issuer's key may not issue (keyUsage)")]
    KeyUsage,
    #[error("it is for another purpose than IKE (extendedKeyUsage)")]
    Purpose,
    #[error("an authority does not act as one, or the other way round (basicConstraints)")]
    BasicConstraints,
    #[error("the name constraints of an authority exclude it, or are of a kind that is not supported")]
    NameConstraints,
    #[error("it has a critical extension that is not supported")]
    CriticalExtension,
    #[error("its chain takes too much work to check")]
    TooComplex,
    #[error("it is not well formed")]
    Malformed,
}

impl From<Error> for CertificateError {
    fn from(error: Error) -> Self {
        let at = |time: rustls_pki_types::UnixTime| {
            let since_epoch = Duration::from_secs(time.as_secs());
            SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH)
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "webpki's errors grow; what is left are shapes of DER"
        )]
        match error {
            Error::UnknownIssuer => Self::UnknownIssuer,
            Error::CertExpired { not_after, .. } => Self::Expired { not_after: at(not_after) },
            Error::CertNotValidYet { not_before, .. } => Self::NotYetValid { not_before: at(not_before) },
            Error::CertRevoked => Self::Revoked,
            Error::UnknownRevocationStatus | Error::CrlExpired { .. } => Self::RevocationUnknown,
            Error::InvalidSignatureForPublicKey | Error::InvalidCrlSignatureForPublicKey => Self::Signature,
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            | Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_)
            | Error::SignatureAlgorithmMismatch => Self::SignatureAlgorithm,
            Error::IssuerNotCrlSigner => Self::KeyUsage,
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Self::Purpose,
            Error::CaUsedAsEndEntity | Error::EndEntityUsedAsCa | Error::PathLenConstraintViolated => {
                Self::BasicConstraints
            }
            Error::NameConstraintViolation
            | Error::MalformedNameConstraint
            | Error::InvalidNetworkMaskConstraint => Self::NameConstraints,
            Error::UnsupportedCriticalExtension => Self::CriticalExtension,
            Error::MaximumNameConstraintComparisonsExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumPathDepthExceeded
            | Error::MaximumSignatureChecksExceeded => Self::TooComplex,
            _ => Self::Malformed,
        }
    }
}

/// RFC 3339.
fn date(time: SystemTime) -> String {
    DateTime::from_system_time(time)
        .map_or_else(|_| "a date out of reach".to_owned(), |date| date.to_string())
}
