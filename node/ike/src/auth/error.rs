use super::{CertificateError, Identity, SignatureHash};

/// Why an authentication failed. On the wire each of the peer's faults is the same AUTHENTICATION_FAILED
/// (RFC 7296 §2.21.2); these words are for our log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    // Incompatible.
    #[error("the peer authenticates by method {method}; this connection expects {expected}")]
    MethodRefused { method: u8, expected: &'static str },
    #[error("the peer announced no support of {hash:?}, which our key needs to sign")]
    PeerLacksHash { hash: SignatureHash },
    #[error("the peer signed with an algorithm that is not allowed here")]
    UnsupportedSignature,

    // The peer's fault.
    #[error("the peer {identity} has another pre-shared key")]
    PreSharedKeyMismatch { identity: Identity },
    #[error("the peer's signature is cut short")]
    MalformedSignature,
    #[error("the peer authenticates by method {method}, which its key cannot")]
    KeyOfAnotherKind { method: u8 },
    #[error("the peer's signature is wrong")]
    BadSignature,
    #[error("the peer sent no certificate")]
    CertificateMissing,
    #[error("the peer sent an address instead of its certificate, and nothing is fetched for it")]
    CertificateByUrl,
    #[error("the peer sent {certificates} certificates of {octets} octets, which is too much")]
    ChainTooLarge { certificates: usize, octets: usize },
    #[error("the peer's certificate: {0}")]
    Certificate(CertificateError),
    #[error("the peer calls itself {identity}; its certificate is that of {}", text_of(.subject.as_ref()))]
    IdentityNotInCertificate { identity: Identity, subject: Option<Identity> },
    #[error("the key of the peer's certificate is of a kind that is not supported")]
    UnsupportedKey,

    // Ours.
    #[error("our own key does not sign")]
    SigningFailed,
}

/// Why a key could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    #[error("not a PEM file with a key that this node can read, or protected by a passphrase")]
    Pem,
    #[error("a key that is not well formed")]
    Der,
    #[error(
        "a key of a kind that is not supported: RSA from 2,048 bits, P-256, P-384, P-521 and Ed25519 are"
    )]
    Algorithm,
    #[error("a public key that is no point of its curve")]
    Point,
}

fn text_of(subject: Option<&Identity>) -> String {
    subject.map_or_else(|| "nobody by subject".to_owned(), Identity::to_string)
}
