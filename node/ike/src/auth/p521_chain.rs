//! Certificates signed with P-521, which `ring` does not know.

use p521::ecdsa::signature::hazmat::PrehashVerifier as _;
use p521::ecdsa::{Signature, VerifyingKey};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

use super::scheme::Sha2;

pub(crate) const P521_SHA384: &dyn SignatureVerificationAlgorithm = &EcdsaP521(Sha2::Sha384);
pub(crate) const P521_SHA512: &dyn SignatureVerificationAlgorithm = &EcdsaP521(Sha2::Sha512);

#[derive(Debug)]
struct EcdsaP521(Sha2);

impl SignatureVerificationAlgorithm for EcdsaP521 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify_prehash(self.0.digest(message).as_ref(), &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self.0 {
            Sha2::Sha256 => alg_id::ECDSA_SHA256,
            Sha2::Sha384 => alg_id::ECDSA_SHA384,
            Sha2::Sha512 => alg_id::ECDSA_SHA512,
        }
    }
}
