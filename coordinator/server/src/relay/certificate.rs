//! The certificate of a relay's TLS port: its key comes out of the secret, so that all relays of a network have one
//! key, and the coordinator knows its fingerprint without asking them.

use std::sync::Arc;

use hkdf::Hkdf;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::Sha256;
use tokio_rustls::rustls::{self, ServerConfig, crypto::ring::default_provider};
use twinmesh_control::{Fingerprint, TlsError, relay_fingerprint};
use zeroize::Zeroizing;

use super::credential::RelaySecret;

/// What the key is for (RFC 5869 §3.2).
const PURPOSE: &[u8] = b"twinmesh relay tls 1";
/// DER of an Ed25519 private key up to the key itself (RFC 8410 §7).
const ED25519_PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// No certificate can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    #[error("the relay's certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the relay's certificate: {0}")]
    Rustls(#[from] rustls::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl RelaySecret {
    /// The fingerprint of the key that relays with this secret show.
    pub fn fingerprint(&self) -> Result<Fingerprint, CertificateError> {
        let (certificate, _) = self.certificate()?;
        Ok(relay_fingerprint(&certificate)?)
    }

    /// The relay's side of TLS.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let (certificate, key) = self.certificate()?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Arc::new(config))
    }

    fn certificate(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), CertificateError> {
        let mut pkcs8 = Zeroizing::new([0; ED25519_PKCS8_PREFIX.len() + 32]);
        let (prefix, seed) = pkcs8.split_at_mut(ED25519_PKCS8_PREFIX.len());
        prefix.copy_from_slice(&ED25519_PKCS8_PREFIX);
        // HKDF gives as much as 255 hashes.
        let _ = Hkdf::<Sha256>::new(None, self.bytes()).expand(PURPOSE, seed);
        let key = PrivatePkcs8KeyDer::from(pkcs8.to_vec());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519)?;
        // Nodes look at the key only, so it has no name and does not end.
        let certificate = CertificateParams::default().self_signed(&pair)?;
        Ok((certificate.into(), key.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> RelaySecret {
        RelaySecret::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    #[test]
    fn relays_with_one_secret_show_one_key_and_others_another() {
        let one = secret("a secret of the network").fingerprint().unwrap();
        assert_eq!(secret("a secret of the network").fingerprint().unwrap(), one);
        assert_ne!(secret("a secret of another").fingerprint().unwrap(), one);
        secret("a secret of the network").server_config().unwrap();
    }

    /// A coordinator and relays of different versions must agree.
    #[test]
    fn the_key_of_a_secret_stays_what_it_is() {
        let fingerprint = secret("a secret of the network").fingerprint().unwrap();
        assert_eq!(
            fingerprint.to_string(),
            "cf7b0141694f12997394ca8d4207c0bfc2723eb1b08ca4ba7dd26dc2542d3f88"
        );
    }
}
