use std::time::SystemTime;

use super::{
    AuthError, CertifiedKey, Identity, PreSharedKey, PrfFn, PrivateKey, PublicKey, Sha1Signatures,
    SignatureHashes, SignedOctets, TrustAnchors,
};

/// Shared Key Message Integrity Code (RFC 7296 §3.8).
pub(crate) const SHARED_KEY: u8 = 2;

/// What a connection proves itself with, and what it asks of the peer.
#[derive(Clone)]
pub struct Credentials {
    pub local: LocalCredential,
    pub remote: RemoteCredential,
}

/// What this side proves itself with.
#[derive(Clone)]
#[non_exhaustive]
pub enum LocalCredential {
    PreSharedKey(PreSharedKey),
    /// A key that the peer knows, sent along as it is (RFC 7670).
    RawKey(PrivateKey),
    /// A key with its certificates.
    Certificate(CertifiedKey),
}

/// What this side knows of the peer.
#[derive(Clone)]
#[non_exhaustive]
pub enum RemoteCredential {
    PreSharedKey(PreSharedKey),
    /// The keys of the peer, known beforehand. The connection's configuration ties them to the identity.
    RawKeys(RawKeys),
    /// Whoever an authority vouches for, under the names of the certificate.
    Certificates(TrustAnchors),
}

/// At most [`RawKeys::MOST`] keys are tried.
#[derive(Clone)]
pub struct RawKeys {
    pub keys: Vec<PublicKey>,
    pub sha1: Sha1Signatures,
}

impl RawKeys {
    pub const MOST: usize = 8;

    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self { keys, sha1: Sha1Signatures::Refused }
    }

    /// A CERT payload is a hint, never a reason to trust (RFC 7670 §3).
    fn verify(&self, presented: &Presented<'_>, octets: &SignedOctets) -> Result<(), AuthError> {
        let mut refused = AuthError::MethodRefused { method: presented.method, expected: "a signature" };
        for key in self.keys.iter().take(Self::MOST) {
            match key.verify(presented.method, presented.data, octets.as_bytes(), self.sha1) {
                Ok(()) => return Ok(()),
                // The most telling reason: a key of the right kind.
                Err(AuthError::KeyOfAnotherKind { .. }) if refused == AuthError::BadSignature => {}
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}

/// The content of an AUTH payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthData {
    /// The number in "IKEv2 Authentication Method".
    pub method: u8,
    pub data: Vec<u8>,
}

/// Encodings of CERT and CERTREQ that we use (RFC 7296 §3.6, RFC 7670 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CertificateEncoding {
    /// A DER certificate; in a CERTREQ, SHA-1 hashes of the trust anchors' public keys.
    X509Signature = 4,
    /// A SubjectPublicKeyInfo; empty in a CERTREQ.
    RawPublicKey = 15,
}

/// The content of a CERT or CERTREQ payload that we send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateData {
    pub encoding: CertificateEncoding,
    pub data: Vec<u8>,
}

/// A CERT payload of the peer.
#[derive(Debug, Clone, Copy)]
pub struct PresentedCertificate<'a> {
    pub encoding: u8,
    pub data: &'a [u8],
}

/// What the peer presents in IKE_AUTH, in the order of its message.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    pub identity: &'a Identity,
    pub method: u8,
    pub data: &'a [u8],
    pub certificates: &'a [PresentedCertificate<'a>],
}

/// A peer that has proved its identity. Only verification makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    identity: Identity,
    by: AuthenticatedBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthenticatedBy {
    PreSharedKey,
    RawKey,
    /// The certificate's end is the authentication's (RFC 4945 §4.2.2 advises to close the SA then).
    Certificate {
        not_after: SystemTime,
    },
}

impl Authenticated {
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn by(&self) -> AuthenticatedBy {
        self.by
    }
}

impl LocalCredential {
    /// The AUTH payload over our own octets. `peer` is what the other side announced by
    /// SIGNATURE_HASH_ALGORITHMS, [`SignatureHashes::NONE`] without.
    pub fn prove(
        &self,
        octets: &SignedOctets,
        prf: PrfFn<'_>,
        peer: SignatureHashes,
    ) -> Result<AuthData, AuthError> {
        match self {
            Self::PreSharedKey(key) => {
                Ok(AuthData { method: SHARED_KEY, data: key.auth(octets, prf).to_vec() })
            }
            Self::RawKey(key) => key.authenticate(octets.as_bytes(), peer),
            Self::Certificate(certified) => certified.key().authenticate(octets.as_bytes(), peer),
        }
    }

    /// In words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PreSharedKey(_) => "a pre-shared key",
            Self::RawKey(_) => "a raw public key",
            Self::Certificate(_) => "a certificate",
        }
    }

    /// The CERT payloads to send along, our own certificate first (RFC 7296 §3.6).
    pub fn certificates(&self) -> Vec<CertificateData> {
        match self {
            Self::PreSharedKey(_) => Vec::new(),
            Self::RawKey(key) => vec![CertificateData {
                encoding: CertificateEncoding::RawPublicKey,
                data: key.public_key().as_der().to_vec(),
            }],
            Self::Certificate(certified) => certified.certificates(),
        }
    }
}

impl RemoteCredential {
    /// The CERTREQ payload to send, if certificates or keys are wanted of the peer.
    pub fn certificate_request(&self) -> Option<CertificateData> {
        match self {
            Self::PreSharedKey(_) => None,
            // RFC 7670 §3: without an authority.
            Self::RawKeys(_) => {
                Some(CertificateData { encoding: CertificateEncoding::RawPublicKey, data: Vec::new() })
            }
            Self::Certificates(anchors) => Some(anchors.certificate_request()),
        }
    }

    /// Verifies the peer's AUTH over the peer's octets. That the identity is one that the connection allows is
    /// the caller's to ask ([`super::IdentityPattern::matches`]); that it belongs to the key is asked here.
    pub fn verify(
        &self,
        presented: &Presented<'_>,
        octets: &SignedOctets,
        prf: PrfFn<'_>,
        at: SystemTime,
    ) -> Result<Authenticated, AuthError> {
        let by = match self {
            Self::PreSharedKey(key) => {
                if presented.method != SHARED_KEY {
                    return Err(AuthError::MethodRefused {
                        method: presented.method,
                        expected: "a pre-shared key",
                    });
                }
                if !bool::from(key.verify(presented.data, octets, prf)) {
                    return Err(AuthError::PreSharedKeyMismatch { identity: presented.identity.clone() });
                }
                AuthenticatedBy::PreSharedKey
            }
            Self::RawKeys(keys) => {
                keys.verify(presented, octets)?;
                AuthenticatedBy::RawKey
            }
            Self::Certificates(anchors) => {
                let key = anchors.verify(presented, at)?;
                key.verify(presented, octets.as_bytes())?;
                AuthenticatedBy::Certificate { not_after: key.not_after }
            }
        };
        Ok(Authenticated { identity: presented.identity.clone(), by })
    }
}
