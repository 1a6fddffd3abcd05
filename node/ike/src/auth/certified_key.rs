use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::certificate::ParsedCertificate;
use super::{CertificateData, CertificateEncoding, Identity, PrivateKey};

/// A key with its certificate, and those of the authorities between it and an anchor of the peer.
#[derive(Clone)]
pub struct CertifiedKey {
    key: PrivateKey,
    chain: Arc<[CertificateDer<'static>]>,
}

/// Why a key and a certificate do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertifiedKeyError {
    #[error("a PEM file without a certificate")]
    Pem,
    #[error("a certificate that is not well formed")]
    Malformed,
    #[error("the private key is not that of the first certificate")]
    KeyMismatch,
    #[error("the certificate's key may not sign (keyUsage)")]
    KeyUsage,
}

impl CertifiedKey {
    /// `pem` has the key's own certificate first.
    pub fn from_pem(key: PrivateKey, pem: &str) -> Result<Self, CertifiedKeyError> {
        let chain: Arc<[_]> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| CertifiedKeyError::Pem)?;
        let own = parse(chain.first().ok_or(CertifiedKeyError::Pem)?)?;
        if own.public_key().as_ref() != Ok(key.public_key()) {
            return Err(CertifiedKeyError::KeyMismatch);
        }
        if !own.may_sign() {
            return Err(CertifiedKeyError::KeyUsage);
        }
        Ok(Self { key, chain })
    }

    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Whether peers will find `identity` in the certificate: to be asked when a connection is loaded.
    pub fn names(&self, identity: &Identity) -> bool {
        self.own().is_some_and(|own| own.names(identity))
    }

    /// The subject, which is the identity where none is configured.
    pub fn subject(&self) -> Option<Identity> {
        self.own()?.subject().map(Identity::DistinguishedName)
    }

    pub fn not_after(&self) -> Option<SystemTime> {
        self.own().map(|own| own.not_after())
    }

    pub(crate) fn certificates(&self) -> Vec<CertificateData> {
        let data = |der: &CertificateDer<'_>| CertificateData {
            encoding: CertificateEncoding::X509Signature,
            data: der.to_vec(),
        };
        self.chain.iter().map(data).collect()
    }

    fn own(&self) -> Option<ParsedCertificate> {
        self.chain.first().and_then(|own| parse(own).ok())
    }
}

fn parse(der: &CertificateDer<'_>) -> Result<ParsedCertificate, CertifiedKeyError> {
    ParsedCertificate::from_der(der).map_err(|_| CertifiedKeyError::Malformed)
}
