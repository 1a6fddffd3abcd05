//! TLS between a node and a relay: the node knows the key of the relay's certificate from the coordinator. The
//! certificate's issuer, names and time mean nothing, so a relay without a domain name can serve, and one whose
//! certificate is renewed with the same key goes on serving.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, SignatureScheme};

use crate::tls::{no_tls12, provider};
use crate::{Fingerprint, TlsError};

/// A node's side of TLS 1.3 towards the relay whose certificate has that key.
pub fn relay_client_config(relay: Fingerprint) -> Result<rustls::ClientConfig, TlsError> {
    let provider = provider();
    let verifier = VerifyKey { relay, algorithms: provider.signature_verification_algorithms };
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // The key alone names the relay.
    config.enable_sni = false;
    Ok(config)
}

/// The fingerprint of the key in a certificate, in DER.
pub fn relay_fingerprint(certificate: &CertificateDer<'_>) -> Result<Fingerprint, TlsError> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(Fingerprint::of_spki(&parsed.subject_public_key_info()))
}

#[derive(Debug)]
struct VerifyKey {
    relay: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for VerifyKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = relay_fingerprint(end_entity).map_err(|TlsError(error)| error)?;
        if seen == self.relay {
            Ok(ServerCertVerified::assertion())
        } else {
            let reason = format!("the relay's key is {seen}, not {} as the coordinator said", self.relay);
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
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
