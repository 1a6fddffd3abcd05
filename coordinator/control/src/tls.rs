//! TLS 1.3 with raw public keys (RFC 7250): the node knows the coordinator by its fingerprint, the
//! coordinator knows the node by its Ed25519 key. No certificate authority, no names, no expiry.

use std::sync::{Arc, OnceLock};

use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use crate::{ALPN, Fingerprint, IdentityKey, IdentityKeyPair};

/// A key pair or certificate that TLS cannot use.
#[derive(Debug, thiserror::Error)]
#[error("TLS: {0}")]
pub struct TlsError(#[from] pub(crate) rustls::Error);

/// The coordinator's key as pinned at enrolment.
///
/// After a failed handshake [`Self::seen`] tells which key the other side really had.
#[derive(Debug)]
pub struct PinnedCoordinator {
    expected: Fingerprint,
    seen: OnceLock<Fingerprint>,
}

impl PinnedCoordinator {
    pub fn new(expected: Fingerprint) -> Arc<Self> {
        Arc::new(Self { expected, seen: OnceLock::new() })
    }

    pub fn expected(&self) -> Fingerprint {
        self.expected
    }

    /// The key that the other side showed, if it came so far.
    pub fn seen(&self) -> Option<Fingerprint> {
        self.seen.get().copied()
    }

    /// The key that the other side showed, if it is not the pinned one.
    pub fn mismatch(&self) -> Option<Fingerprint> {
        self.seen().filter(|seen| *seen != self.expected)
    }
}

/// The node's side. One [`PinnedCoordinator`] serves one connection attempt.
pub fn client_config(
    own: &IdentityKeyPair,
    coordinator: Arc<PinnedCoordinator>,
) -> Result<rustls::ClientConfig, TlsError> {
    let provider = provider();
    let key = certified(own, &provider)?;
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(VerifyPinned(coordinator)))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // The key alone names the coordinator; its host name is nobody's business.
    config.enable_sni = false;
    Ok(config)
}

/// The coordinator's side. Any Ed25519 key is let through TLS; who it is, the caller looks up.
pub fn server_config(own: &IdentityKeyPair) -> Result<rustls::ServerConfig, TlsError> {
    let provider = provider();
    let key = certified(own, &provider)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(VerifyAnyNode))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The key that proved itself in the handshake, out of the raw public key that TLS hands over as
/// the only "certificate".
pub fn peer_identity(certificates: &[CertificateDer<'_>]) -> Option<IdentityKey> {
    match certificates {
        [only] => IdentityKey::from_spki(only).ok(),
        _ => None,
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certified(own: &IdentityKeyPair, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let private = PrivateKeyDer::Pkcs8(own.pkcs8().to_vec().into());
    let key = provider.key_provider.load_private_key(private)?;
    Ok(Arc::new(CertifiedKey::new(vec![own.public().to_spki().into()], key)))
}

fn verify_signature(
    message: &[u8],
    spki: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    verify_tls13_signature_with_raw_key(
        message,
        &SubjectPublicKeyInfoDer::from(spki.as_ref()),
        signature,
        &provider().signature_verification_algorithms,
    )
}

pub(crate) fn no_tls12() -> rustls::Error {
    rustls::Error::General("only TLS 1.3 is spoken here".to_owned())
}

#[derive(Debug)]
struct VerifyPinned(Arc<PinnedCoordinator>);

impl ServerCertVerifier for VerifyPinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = IdentityKey::from_spki(end_entity)
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .fingerprint();
        let seen = *self.0.seen.get_or_init(|| seen);
        if seen == self.0.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            let reason = format!("the coordinator's key is {seen}, not the pinned {}", self.0.expected);
            Err(rustls::Error::General(reason))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct VerifyAnyNode;

impl ClientCertVerifier for VerifyAnyNode {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        IdentityKey::from_spki(end_entity)
            .map(|_| ClientCertVerified::assertion())
            .map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
