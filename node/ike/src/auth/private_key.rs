use std::sync::Arc;

use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::{DecodePrivateKey as _, Document, EncodePublicKey as _};
use ring::rand::SystemRandom;
use ring::signature::{self, KeyPair as _, RsaEncoding};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::public_key::rsa_subject_public_key_info;
use super::scheme::{Scheme, Sha2};
use super::{AuthData, AuthError, KeyError, PublicKey, SignatureHash, SignatureHashes};

/// RSA Digital Signature (RFC 7296 §3.8), ECDSA on three curves (RFC 4754 §7), Digital Signature (RFC 7427 §3).
pub(crate) const RSA_SIGNATURE: u8 = 1;
pub(crate) const ECDSA_P256: u8 = 9;
pub(crate) const ECDSA_P384: u8 = 10;
pub(crate) const ECDSA_P521: u8 = 11;
pub(crate) const DIGITAL_SIGNATURE: u8 = 14;

/// How RSA signs where RFC 7427 lets it choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RsaPadding {
    /// Understood by every peer.
    #[default]
    Pkcs1,
    Pss,
}

/// A key that this side signs with.
#[derive(Clone)]
pub struct PrivateKey {
    key: Arc<Key>,
    public: Arc<PublicKey>,
    rsa_padding: RsaPadding,
}

enum Key {
    Rsa(signature::RsaKeyPair),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

impl PrivateKey {
    /// PKCS#8, PKCS#1 or SEC 1 in PEM, without a passphrase.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)? {
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => {
                Self::from_rsa(signature::RsaKeyPair::from_der(der.secret_pkcs1_der()))
            }
            PrivateKeyDer::Sec1(der) => Self::from_sec1(der.secret_sec1_der()),
            _ => Err(KeyError::Algorithm),
        }
    }

    /// PKCS#8 in DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            return Self::of(Key::Ed25519(key));
        }
        if let Ok(key) = p256::SecretKey::from_pkcs8_der(der) {
            return Self::of(Key::P256(key.into()));
        }
        if let Ok(key) = p384::SecretKey::from_pkcs8_der(der) {
            return Self::of(Key::P384(key.into()));
        }
        if let Ok(key) = p521::SecretKey::from_pkcs8_der(der) {
            return Self::from_p521(&key);
        }
        Self::from_rsa(signature::RsaKeyPair::from_pkcs8(der))
    }

    /// The seed of RFC 8032 §5.1.5.
    pub fn from_ed25519_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        Self::of(Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed)))
    }

    fn from_sec1(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = p256::SecretKey::from_sec1_der(der) {
            return Self::of(Key::P256(key.into()));
        }
        if let Ok(key) = p384::SecretKey::from_sec1_der(der) {
            return Self::of(Key::P384(key.into()));
        }
        Self::from_p521(&p521::SecretKey::from_sec1_der(der).map_err(|_| KeyError::Algorithm)?)
    }

    fn from_p521(key: &p521::SecretKey) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(key.to_bytes());
        let key = p521::ecdsa::SigningKey::from_bytes(&bytes).map_err(|_| KeyError::Algorithm)?;
        Self::of(Key::P521(key))
    }

    fn from_rsa(key: Result<signature::RsaKeyPair, ring::error::KeyRejected>) -> Result<Self, KeyError> {
        Self::of(Key::Rsa(key.map_err(|_| KeyError::Algorithm)?))
    }

    fn of(key: Key) -> Result<Self, KeyError> {
        let spki = match &key {
            Key::Rsa(key) => rsa_subject_public_key_info(key.public_key().as_ref()),
            Key::P256(key) => document(p256::PublicKey::from(key.verifying_key()).to_public_key_der()),
            Key::P384(key) => document(p384::PublicKey::from(key.verifying_key()).to_public_key_der()),
            Key::P521(key) => {
                let point = p521::ecdsa::VerifyingKey::from(key).to_encoded_point(false);
                let key = p521::PublicKey::from_sec1_bytes(point.as_bytes()).map_err(|_| KeyError::Point)?;
                document(key.to_public_key_der())
            }
            Key::Ed25519(key) => document(key.verifying_key().to_public_key_der()),
        };
        let public = Arc::new(PublicKey::from_der(&spki.ok_or(KeyError::Algorithm)?)?);
        Ok(Self { key: Arc::new(key), public, rsa_padding: RsaPadding::default() })
    }

    #[must_use]
    pub fn with_rsa_padding(self, rsa_padding: RsaPadding) -> Self {
        Self { rsa_padding, ..self }
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// An AUTH of method 14 by a hash that the peer announced, else of the key's old method.
    pub(crate) fn authenticate(&self, message: &[u8], peer: SignatureHashes) -> Result<AuthData, AuthError> {
        if let Some(scheme) = self.scheme(peer) {
            let identifier = scheme.algorithm_identifier();
            let length = u8::try_from(identifier.len()).map_err(|_| AuthError::SigningFailed)?;
            let signature = self.sign(scheme, message).ok_or(AuthError::SigningFailed)?;
            let data = [&[length], identifier.as_slice(), &signature].concat();
            return Ok(AuthData { method: DIGITAL_SIGNATURE, data });
        }
        let (method, data) = match &*self.key {
            // RFC 7296 §3.8 leaves the hash of method 1 to the signer, and the padding names it. We do not sign
            // with SHA-1.
            Key::Rsa(_) => (RSA_SIGNATURE, self.sign(Scheme::RsaPkcs1(Sha2::Sha256), message)),
            Key::P256(_) => (ECDSA_P256, self.sign_ecdsa(Sha2::Sha256, message, EcdsaForm::Fixed)),
            Key::P384(_) => (ECDSA_P384, self.sign_ecdsa(Sha2::Sha384, message, EcdsaForm::Fixed)),
            Key::P521(_) => (ECDSA_P521, self.sign_ecdsa(Sha2::Sha512, message, EcdsaForm::Fixed)),
            Key::Ed25519(_) => return Err(AuthError::PeerLacksHash { hash: SignatureHash::Identity }),
        };
        Ok(AuthData { method, data: data.ok_or(AuthError::SigningFailed)? })
    }

    /// The hash of the curve's strength first; RSA up to 3,072 bits is as strong as SHA-256.
    fn scheme(&self, peer: SignatureHashes) -> Option<Scheme> {
        use Sha2::{Sha256, Sha384, Sha512};
        let known = |preferred: &[Sha2]| Sha2::first_known_to(peer, preferred);
        match &*self.key {
            Key::Rsa(key) => {
                let strong = key.public().modulus_len() > 384;
                let preferred = if strong { [Sha384, Sha512, Sha256] } else { [Sha256, Sha384, Sha512] };
                known(&preferred).map(|sha2| match self.rsa_padding {
                    RsaPadding::Pkcs1 => Scheme::RsaPkcs1(sha2),
                    RsaPadding::Pss => Scheme::RsaPss(sha2),
                })
            }
            Key::P256(_) => known(&[Sha256, Sha384, Sha512]).map(Scheme::Ecdsa),
            Key::P384(_) => known(&[Sha384, Sha512, Sha256]).map(Scheme::Ecdsa),
            Key::P521(_) => known(&[Sha512, Sha384]).map(Scheme::Ecdsa),
            Key::Ed25519(_) => peer.contains(SignatureHash::Identity).then_some(Scheme::Ed25519),
        }
    }

    fn sign(&self, scheme: Scheme, message: &[u8]) -> Option<Vec<u8>> {
        match (&*self.key, scheme) {
            (Key::Rsa(key), Scheme::RsaPkcs1(sha2)) => sign_rsa(
                key,
                match sha2 {
                    Sha2::Sha256 => &signature::RSA_PKCS1_SHA256,
                    Sha2::Sha384 => &signature::RSA_PKCS1_SHA384,
                    Sha2::Sha512 => &signature::RSA_PKCS1_SHA512,
                },
                message,
            ),
            (Key::Rsa(key), Scheme::RsaPss(sha2)) => sign_rsa(
                key,
                match sha2 {
                    Sha2::Sha256 => &signature::RSA_PSS_SHA256,
                    Sha2::Sha384 => &signature::RSA_PSS_SHA384,
                    Sha2::Sha512 => &signature::RSA_PSS_SHA512,
                },
                message,
            ),
            (_, Scheme::Ecdsa(sha2)) => self.sign_ecdsa(sha2, message, EcdsaForm::Der),
            (Key::Ed25519(key), Scheme::Ed25519) => Some(key.sign(message).to_vec()),
            _ => None,
        }
    }

    fn sign_ecdsa(&self, sha2: Sha2, message: &[u8], form: EcdsaForm) -> Option<Vec<u8>> {
        let digest = sha2.digest(message);
        macro_rules! sign {
            ($curve:ident, $key:expr) => {{
                let signature: $curve::ecdsa::Signature = $key.sign_prehash(digest.as_ref()).ok()?;
                match form {
                    EcdsaForm::Der => Some(signature.to_der().as_bytes().to_vec()),
                    EcdsaForm::Fixed => Some(signature.to_bytes().to_vec()),
                }
            }};
        }
        match &*self.key {
            Key::P256(key) => sign!(p256, key),
            Key::P384(key) => sign!(p384, key),
            Key::P521(key) => sign!(p521, key),
            Key::Rsa(_) | Key::Ed25519(_) => None,
        }
    }
}

/// An Ecdsa-Sig-Value (RFC 7427 §3, by RFC 5480), or r and s side by side (RFC 4754 §7).
#[derive(Clone, Copy)]
enum EcdsaForm {
    Der,
    Fixed,
}

fn document(der: p256::pkcs8::spki::Result<Document>) -> Option<Vec<u8>> {
    der.ok().map(Document::into_vec)
}

/// `ring` takes the salt of PSS from the system itself, as `p521` does its nonce; no other state comes of either.
fn sign_rsa(
    key: &signature::RsaKeyPair,
    padding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Option<Vec<u8>> {
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), message, &mut signature).ok()?;
    Some(signature)
}
