use std::fmt;

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use x509_cert::der::asn1::{AnyRef, BitStringRef, Null, ObjectIdentifier};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::certificate::ParsedCertificate;
use super::private_key::{DIGITAL_SIGNATURE, ECDSA_P256, ECDSA_P384, ECDSA_P521, RSA_SIGNATURE};
use super::scheme::{Scheme, Sha2};
use super::{AuthError, KeyError};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// A key that a peer signs with: an RSA key of 2,048 to 8,192 bits, a point of P-256, P-384 or P-521, Ed25519.
#[derive(Clone)]
pub struct PublicKey {
    spki: Vec<u8>,
    key: Key,
}

#[derive(Clone)]
enum Key {
    /// RSAPublicKey in DER.
    Rsa(Vec<u8>),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

/// Whether old routers may sign with RSA and SHA-1 (method 1 of RFC 7296); never in method 14.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sha1Signatures {
    #[default]
    Refused,
    Accepted,
}

impl PublicKey {
    /// Algorithm or curve, for people.
    pub fn kind(&self) -> &'static str {
        match self.key {
            Key::Rsa(_) => "RSA",
            Key::P256(_) => "ECDSA P-256",
            Key::P384(_) => "ECDSA P-384",
            Key::P521(_) => "ECDSA P-521",
            Key::Ed25519(_) => "Ed25519",
        }
    }

    /// A SubjectPublicKeyInfo in DER, as a CERT payload of RFC 7670 carries it.
    pub fn from_der(spki: &[u8]) -> Result<Self, KeyError> {
        let parsed = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| KeyError::Der)?;
        let bits = parsed.subject_public_key.as_bytes().ok_or(KeyError::Der)?;
        let curve = || parsed.algorithm.parameters_oid().map_err(|_| KeyError::Algorithm);
        let key = match parsed.algorithm.oid {
            RSA_ENCRYPTION => Key::Rsa(bits.to_vec()),
            ED25519 => {
                let bytes = bits.try_into().map_err(|_| KeyError::Der)?;
                Key::Ed25519(ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Point)?)
            }
            EC_PUBLIC_KEY => match curve()? {
                SECP256R1 => {
                    Key::P256(p256::ecdsa::VerifyingKey::from_sec1_bytes(bits).map_err(|_| KeyError::Point)?)
                }
                SECP384R1 => {
                    Key::P384(p384::ecdsa::VerifyingKey::from_sec1_bytes(bits).map_err(|_| KeyError::Point)?)
                }
                SECP521R1 => {
                    Key::P521(p521::ecdsa::VerifyingKey::from_sec1_bytes(bits).map_err(|_| KeyError::Point)?)
                }
                _ => return Err(KeyError::Algorithm),
            },
            _ => return Err(KeyError::Algorithm),
        };
        Ok(Self { spki: spki.to_vec(), key })
    }

    /// `BEGIN PUBLIC KEY`, or the key of a `BEGIN CERTIFICATE`.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if let Ok(spki) = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()) {
            return Self::from_der(&spki);
        }
        let certificate =
            rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)?;
        ParsedCertificate::from_der(&certificate).map_err(|_| KeyError::Der)?.public_key()
    }

    pub fn from_ed25519(key: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| KeyError::Point)?;
        let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
        let spki = subject_public_key_info(algorithm, key.as_bytes()).ok_or(KeyError::Der)?;
        Ok(Self { spki, key: Key::Ed25519(key) })
    }

    /// The SubjectPublicKeyInfo.
    pub fn as_der(&self) -> &[u8] {
        &self.spki
    }

    /// Verifies an AUTH payload's data over the signed octets.
    pub(crate) fn verify(
        &self,
        method: u8,
        data: &[u8],
        message: &[u8],
        sha1: Sha1Signatures,
    ) -> Result<(), AuthError> {
        let valid = match (method, &self.key) {
            (DIGITAL_SIGNATURE, _) => {
                // RFC 7427 §3: the length of the AlgorithmIdentifier, itself, the signature.
                let (length, rest) = data.split_first().ok_or(AuthError::MalformedSignature)?;
                let (identifier, signature) =
                    rest.split_at_checked(usize::from(*length)).ok_or(AuthError::MalformedSignature)?;
                let scheme =
                    Scheme::from_algorithm_identifier(identifier).ok_or(AuthError::UnsupportedSignature)?;
                self.is_signature(scheme, message, signature).ok_or(AuthError::KeyOfAnotherKind { method })?
            }
            (RSA_SIGNATURE, Key::Rsa(key)) => is_pkcs1_signature(key, message, data, sha1),
            (ECDSA_P256, Key::P256(key)) => p256::ecdsa::Signature::from_slice(data).is_ok_and(|signature| {
                key.verify_prehash(Sha2::Sha256.digest(message).as_ref(), &signature).is_ok()
            }),
            (ECDSA_P384, Key::P384(key)) => p384::ecdsa::Signature::from_slice(data).is_ok_and(|signature| {
                key.verify_prehash(Sha2::Sha384.digest(message).as_ref(), &signature).is_ok()
            }),
            (ECDSA_P521, Key::P521(key)) => p521::ecdsa::Signature::from_slice(data).is_ok_and(|signature| {
                key.verify_prehash(Sha2::Sha512.digest(message).as_ref(), &signature).is_ok()
            }),
            (RSA_SIGNATURE | ECDSA_P256 | ECDSA_P384 | ECDSA_P521, _) => {
                return Err(AuthError::KeyOfAnotherKind { method });
            }
            _ => return Err(AuthError::MethodRefused { method, expected: "a signature" }),
        };
        if valid { Ok(()) } else { Err(AuthError::BadSignature) }
    }

    /// Nothing where the scheme is of another kind of key.
    fn is_signature(&self, scheme: Scheme, message: &[u8], data: &[u8]) -> Option<bool> {
        Some(match (&self.key, scheme) {
            (Key::Rsa(key), Scheme::RsaPkcs1(sha2)) => is_rsa_signature(key, pkcs1(sha2), message, data),
            (Key::Rsa(key), Scheme::RsaPss(sha2)) => is_rsa_signature(
                key,
                match sha2 {
                    Sha2::Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Sha2::Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Sha2::Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
                },
                message,
                data,
            ),
            (Key::P256(key), Scheme::Ecdsa(sha2)) => p256::ecdsa::Signature::from_der(data)
                .is_ok_and(|signature| key.verify_prehash(sha2.digest(message).as_ref(), &signature).is_ok()),
            (Key::P384(key), Scheme::Ecdsa(sha2)) => p384::ecdsa::Signature::from_der(data)
                .is_ok_and(|signature| key.verify_prehash(sha2.digest(message).as_ref(), &signature).is_ok()),
            (Key::P521(key), Scheme::Ecdsa(sha2)) => p521::ecdsa::Signature::from_der(data)
                .is_ok_and(|signature| key.verify_prehash(sha2.digest(message).as_ref(), &signature).is_ok()),
            (Key::Ed25519(key), Scheme::Ed25519) => ed25519_dalek::Signature::from_slice(data)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            _ => return None,
        })
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.key {
            Key::Rsa(_) => "PublicKey(RSA)",
            Key::P256(_) => "PublicKey(P-256)",
            Key::P384(_) => "PublicKey(P-384)",
            Key::P521(_) => "PublicKey(P-521)",
            Key::Ed25519(_) => "PublicKey(Ed25519)",
        })
    }
}

/// Method 1 names no hash outside the padding: each that is allowed is tried.
fn is_pkcs1_signature(key: &[u8], message: &[u8], data: &[u8], sha1: Sha1Signatures) -> bool {
    [Sha2::Sha256, Sha2::Sha384, Sha2::Sha512]
        .into_iter()
        .any(|sha2| is_rsa_signature(key, pkcs1(sha2), message, data))
        || sha1 == Sha1Signatures::Accepted
            && is_rsa_signature(key, &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, message, data)
}

fn pkcs1(sha2: Sha2) -> &'static dyn VerificationAlgorithm {
    match sha2 {
        Sha2::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Sha2::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Sha2::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
    }
}

fn is_rsa_signature(
    key: &[u8],
    padding: &'static dyn VerificationAlgorithm,
    message: &[u8],
    data: &[u8],
) -> bool {
    UnparsedPublicKey::new(padding, key).verify(message, data).is_ok()
}

/// From an RSAPublicKey in DER.
pub(crate) fn rsa_subject_public_key_info(key: &[u8]) -> Option<Vec<u8>> {
    let algorithm = AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::from(Null)) };
    subject_public_key_info(algorithm, key)
}

fn subject_public_key_info(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let subject_public_key = BitStringRef::from_bytes(key).ok()?;
    SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().ok()
}
