use super::{CertificateError, Identity, SignatureHash};

/// Why an authentication failed. On the wire each of the peer's faults is the same AUTHENTICATION_FAILED
/// (RFC 7296 §2.21.2); these words are for our log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    // Incompatible.
    #[error(
        "the peer authenticates by method {method} ({}); this site expects {expected}: let [auth] say the same at both \
         ends", crate::wire::AuthMethod::from(*.method)
    )]
    MethodRefused { method: u8, expected: &'static str },
    #[error(
        "the peer announced no support of {}, which our key needs to sign: use a key of another kind, or let the peer \
         support it", .hash.name()
    )]
    PeerLacksHash { hash: SignatureHash },
    #[error(
        "the peer signed with an algorithm that is not allowed here: let it sign with SHA-2 (RFC 7427), or, if it has \
         SHA-1 only, write allow_legacy = true"
    )]
    UnsupportedSignature,

    // The peer's fault.
    #[error(
        "the peer {identity} has another pre-shared key: compare `psk` with the peer's, character by character; 0x and \
         0s in front make it hexadecimal or base64"
    )]
    PreSharedKeyMismatch { identity: Identity },
    #[error("the peer's signature is cut short")]
    MalformedSignature,
    #[error("the peer authenticates by method {method}, which its key cannot")]
    KeyOfAnotherKind { method: u8 },
    #[error(
        "the peer's signature is wrong: its key is another than the one known here, or than that of its certificate"
    )]
    BadSignature,
    #[error("the peer sent no certificate: let it send one always, not only if asked")]
    CertificateMissing,
    #[error(
        "the peer sent an address instead of its certificate, and nothing is fetched for it: let it send the certificate \
         itself"
    )]
    CertificateByUrl,
    #[error("the peer sent {certificates} certificates of {octets} octets, which is too much")]
    ChainTooLarge { certificates: usize, octets: usize },
    #[error("the peer's certificate: {0}")]
    Certificate(CertificateError),
    #[error(
        "the peer calls itself {identity}; its certificate is that of {} and has no such name in its subjectAltName: \
         issue one that has, or let the peer call itself by a name that its certificate has", text_of(.subject.as_ref())
    )]
    IdentityNotInCertificate { identity: Identity, subject: Option<Identity> },
    #[error(
        "the key of the peer's certificate is of a kind that is not supported: RSA from 2,048 bits, P-256, P-384, P-521 \
         and Ed25519 are"
    )]
    UnsupportedKey,

    // Ours.
    #[error("our own key does not sign: check `key`")]
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
