use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyPurposeId, KeyPurposeIdIter,
    OwnedCertRevocationList, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::certificate::ParsedCertificate;
use super::p521_chain::{P521_SHA384, P521_SHA512};
use super::{
    AuthError, CertificateData, CertificateEncoding, CertificateError, Identity, Presented, PublicKey,
    Sha1Signatures,
};

/// Bounds of what a peer may send before it has proved anything.
const MOST_CERTIFICATES: usize = 10;
const MOST_OCTETS: usize = 48 * 1024;

const HASH_AND_URL: [u8; 2] = [12, 13];

/// The authorities whose word counts, and their revocation lists. Nothing is ever fetched for a certificate.
#[derive(Clone)]
pub struct TrustAnchors(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    anchors: Vec<TrustAnchor<'static>>,
    validities: Vec<(SystemTime, SystemTime)>,
    revocation_lists: Vec<Arc<CertRevocationList<'static>>>,
    revocation: Revocation,
    sha1: Sha1Signatures,
}

/// What a certificate without a revocation list in force is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Revocation {
    /// Only a certificate that is known to be revoked is refused; a list counts beyond its term.
    #[default]
    Relaxed,
    /// Each certificate of a chain needs a list of its issuer, within its term.
    Strict,
}

/// Why trust anchors or revocation lists could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustAnchorError {
    #[error("a PEM file without the certificate or revocation list that belongs there")]
    Pem,
    #[error("certificate {position} of the file is not well formed")]
    Malformed { position: usize },
    #[error("certificate {position} of the file is not that of an authority (basicConstraints)")]
    NotAnAuthority { position: usize },
    #[error("revocation list {position} of the file is not well formed, or of a kind that is not supported")]
    RevocationList { position: usize },
}

/// The key of a certificate whose chain and name have been checked.
pub(crate) struct VerifiedKey {
    key: PublicKey,
    sha1: Sha1Signatures,
    pub(crate) not_after: SystemTime,
}

impl VerifiedKey {
    pub(crate) fn verify(&self, presented: &Presented<'_>, message: &[u8]) -> Result<(), AuthError> {
        self.key.verify(presented.method, presented.data, message, self.sha1)
    }
}

impl TrustAnchors {
    /// One or several certificates of authorities.
    pub fn from_pem(pem: &str) -> Result<Self, TrustAnchorError> {
        let mut inner = Inner {
            anchors: Vec::new(),
            validities: Vec::new(),
            revocation_lists: Vec::new(),
            revocation: Revocation::default(),
            sha1: Sha1Signatures::default(),
        };
        for (position, der) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
            let der = der.map_err(|_| TrustAnchorError::Pem)?;
            let malformed = TrustAnchorError::Malformed { position };
            let parsed = ParsedCertificate::from_der(&der).map_err(|_| malformed)?;
            if !parsed.is_authority() || !parsed.may_issue() {
                return Err(TrustAnchorError::NotAnAuthority { position });
            }
            inner.anchors.push(webpki::anchor_from_trusted_cert(&der).map_err(|_| malformed)?.to_owned());
            inner.validities.push((parsed.not_before(), parsed.not_after()));
        }
        if inner.anchors.is_empty() {
            return Err(TrustAnchorError::Pem);
        }
        Ok(Self(Arc::new(inner)))
    }

    /// With the revocation lists of a PEM file.
    pub fn with_revocation_lists(self, pem: &str) -> Result<Self, TrustAnchorError> {
        let mut inner = Arc::unwrap_or_clone(self.0);
        let before = inner.revocation_lists.len();
        for (position, der) in CertificateRevocationListDer::pem_slice_iter(pem.as_bytes()).enumerate() {
            let der = der.map_err(|_| TrustAnchorError::Pem)?;
            let list = OwnedCertRevocationList::from_der(&der)
                .map_err(|_| TrustAnchorError::RevocationList { position })?;
            inner.revocation_lists.push(Arc::new(list.into()));
        }
        if inner.revocation_lists.len() == before {
            return Err(TrustAnchorError::Pem);
        }
        Ok(Self(Arc::new(inner)))
    }

    #[must_use]
    pub fn with_revocation(self, revocation: Revocation) -> Self {
        Self(Arc::new(Inner { revocation, ..Arc::unwrap_or_clone(self.0) }))
    }

    #[must_use]
    pub fn with_sha1_signatures(self, sha1: Sha1Signatures) -> Self {
        Self(Arc::new(Inner { sha1, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// RFC 7296 §3.7: SHA-1 of each authority's SubjectPublicKeyInfo, as a hint for the peer's choice.
    pub(crate) fn certificate_request(&self) -> CertificateData {
        let hash = |anchor| {
            let spki = webpki::spki_for_anchor(anchor);
            ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &spki).as_ref().to_vec()
        };
        let data = self.0.anchors.iter().flat_map(hash).collect();
        CertificateData { encoding: CertificateEncoding::X509Signature, data }
    }

    /// The key of the first certificate, which is the peer's own (RFC 7296 §3.6), if a path leads to an anchor
    /// and the certificate names the identity.
    pub(crate) fn verify(&self, presented: &Presented<'_>, at: SystemTime) -> Result<VerifiedKey, AuthError> {
        let (end_entity, intermediates) = chain(presented)?;
        let parsed = ParsedCertificate::from_der(&end_entity).map_err(AuthError::Certificate)?;
        self.verify_chain(&end_entity, &parsed, &intermediates, at).map_err(AuthError::Certificate)?;
        if !parsed.names(presented.identity) {
            return Err(AuthError::IdentityNotInCertificate {
                identity: presented.identity.clone(),
                subject: parsed.subject().map(Identity::DistinguishedName),
            });
        }
        let key = parsed.public_key().map_err(|_| AuthError::UnsupportedKey)?;
        Ok(VerifiedKey { key, sha1: self.0.sha1, not_after: parsed.not_after() })
    }

    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        parsed: &ParsedCertificate,
        intermediates: &[CertificateDer<'_>],
        at: SystemTime,
    ) -> Result<(), CertificateError> {
        let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let lists: Vec<&CertRevocationList<'_>> = self.0.revocation_lists.iter().map(Arc::as_ref).collect();
        let revocation = match RevocationOptionsBuilder::new(&lists) {
            Ok(builder) if self.0.revocation == Revocation::Strict => {
                Some(builder.with_expiration_policy(ExpirationPolicy::Enforce).build())
            }
            Ok(builder) => Some(builder.with_status_policy(UnknownStatusPolicy::Allow).build()),
            Err(_) if self.0.revocation == Revocation::Strict => {
                return Err(CertificateError::RevocationUnknown);
            }
            Err(_) => None,
        };
        let algorithms = [webpki::ALL_VERIFICATION_ALGS, &[P521_SHA384, P521_SHA512]].concat();
        let certificate = EndEntityCert::try_from(end_entity)?;
        let path = certificate.verify_for_usage(
            &algorithms,
            &self.0.anchors,
            intermediates,
            UnixTime::since_unix_epoch(since_epoch),
            IkePurpose,
            revocation,
            None,
        )?;
        // What webpki leaves to the caller: key usages, and the anchor's own term.
        let issuers_may_issue = path
            .intermediate_certificates()
            .all(|issuer| ParsedCertificate::from_der(&issuer.der()).is_ok_and(|issuer| issuer.may_issue()));
        if !parsed.may_sign() || !issuers_may_issue {
            return Err(CertificateError::KeyUsage);
        }
        let anchor = self.0.anchors.iter().position(|anchor| std::ptr::eq(anchor, path.anchor()));
        let in_force = anchor
            .and_then(|position| self.0.validities.get(position))
            .is_some_and(|(not_before, not_after)| *not_before <= at && at <= *not_after);
        if in_force { Ok(()) } else { Err(CertificateError::AuthorityExpired) }
    }
}

/// The peer's own certificate, and the others.
fn chain<'a>(presented: &Presented<'a>) -> Result<(CertificateDer<'a>, Vec<CertificateDer<'a>>), AuthError> {
    let all = presented.certificates;
    let octets = all.iter().map(|certificate| certificate.data.len()).fold(0, usize::saturating_add);
    if all.len() > MOST_CERTIFICATES || octets > MOST_OCTETS {
        return Err(AuthError::ChainTooLarge { certificates: all.len(), octets });
    }
    let mut chain = all
        .iter()
        .filter(|certificate| certificate.encoding == CertificateEncoding::X509Signature as u8)
        .map(|certificate| CertificateDer::from(certificate.data));
    let Some(end_entity) = chain.next() else {
        let by_url = all.iter().any(|certificate| HASH_AND_URL.contains(&certificate.encoding));
        return Err(if by_url { AuthError::CertificateByUrl } else { AuthError::CertificateMissing });
    };
    Ok((end_entity, chain.collect()))
}

/// RFC 4945 §5.1.3.12, and what authorities issue in the field: certificates of TLS servers and clients.
struct IkePurpose;

impl IkePurpose {
    /// id-kp-ipsecIKE, anyExtendedKeyUsage, id-kp-serverAuth, id-kp-clientAuth.
    const ALLOWED: [&'static [u8]; 4] = [
        &[0x2b, 6, 1, 5, 5, 7, 3, 17],
        &[0x55, 0x1d, 0x25, 0],
        &[0x2b, 6, 1, 5, 5, 7, 3, 1],
        &[0x2b, 6, 1, 5, 5, 7, 3, 2],
    ];
}

impl webpki::ExtendedKeyUsageValidator for IkePurpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut limited = false;
        for purpose in purposes {
            limited = true;
            let purpose = purpose?;
            if Self::ALLOWED.iter().any(|allowed| purpose == KeyPurposeId::new(allowed)) {
                return Ok(());
            }
        }
        if limited { Err(webpki::Error::EmptyEkuExtension) } else { Ok(()) }
    }
}
