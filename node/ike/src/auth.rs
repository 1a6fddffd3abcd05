//! Who the peers are, and how they prove it (RFC 7296 §2.15, RFC 7427, RFC 8420, RFC 7670, RFC 4945).
//!
//! ```text
//!   message as sent │ other's nonce │ prf(SK_p, ID)  =  SignedOctets
//!                                                          │
//!   LocalCredential::prove ──► AuthData ──► wire ──► RemoteCredential::verify ──► Authenticated
//!        PSK · key · chain      method, data             PSK · keys · trust anchors
//! ```
//!
//! The pseudo-random function comes in as a closure of key and data; the wall clock as an argument.

mod certificate;
mod certificate_error;
mod certified_key;
mod credentials;
mod error;
mod hashes;
mod identity;
mod p521_chain;
mod pattern;
mod postquantum;
mod preshared;
mod private_key;
mod public_key;
mod scheme;
mod signed_octets;
mod summary;
mod trust_anchors;

pub use certificate_error::CertificateError;
pub use certified_key::{CertifiedKey, CertifiedKeyError};
pub use credentials::{
    AuthData, Authenticated, AuthenticatedBy, CertificateData, CertificateEncoding, Credentials,
    LocalCredential, Presented, PresentedCertificate, RawKeys, RemoteCredential,
};
pub use error::{AuthError, KeyError};
pub use hashes::{SignatureHash, SignatureHashes};
pub use identity::{DistinguishedName, Identity, IdentityError};
pub use pattern::{IdentityPattern, MatchQuality};
pub(crate) use postquantum::shown;
pub use postquantum::{PostquantumError, PostquantumKey};
pub use preshared::{PreSharedKey, PreSharedKeyError, Weakness};
pub use private_key::{PrivateKey, RsaPadding};
pub use public_key::{PublicKey, Sha1Signatures};
pub use signed_octets::{PrfFn, SignedOctets};
pub(crate) use summary::{CertificateSummary, signature_name};
pub use trust_anchors::{Revocation, TrustAnchorError, TrustAnchors};

#[cfg(test)]
mod tests;
