//! ML-KEM-768 (FIPS 203) as a key exchange: the initiator sends the encapsulation key, the responder the ciphertext.

use ml_kem::kem::{Decapsulate, DecapsulationKey, EncapsulationKey};
use ml_kem::{
    B32, Ciphertext, EncapsulateDeterministic, Encoded, EncodedSizeUser, KemCore, MlKem768, MlKem768Params,
};
use zeroize::Zeroizing;

pub(super) struct Kem(DecapsulationKey<MlKem768Params>);

impl Kem {
    pub(super) fn generate(random: &mut dyn FnMut(&mut [u8])) -> (Vec<u8>, Self) {
        let mut seeds = [Zeroizing::new([0; 32]), Zeroizing::new([0; 32])];
        for seed in &mut seeds {
            random(&mut **seed);
        }
        let [d, z] = &seeds;
        let (decapsulation, encapsulation) =
            MlKem768::generate_deterministic(&B32::from(**d), &B32::from(**z));
        (encapsulation.as_bytes().to_vec(), Self(decapsulation))
    }

    /// A ciphertext that was not made for this key gives a secret that nobody knows (implicit rejection, FIPS 203
    /// §6.3), and AUTH fails.
    pub(super) fn decapsulate(&self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let ciphertext = Ciphertext::<MlKem768>::try_from(ciphertext).ok()?;
        let mut shared = self.0.decapsulate(&ciphertext).ok()?;
        let secret = Zeroizing::new(shared.to_vec());
        zeroize::Zeroize::zeroize(shared.as_mut_slice());
        Some(secret)
    }
}

/// The ciphertext and the shared secret; `None` for a key with coefficients that are not reduced (FIPS 203 §7.2).
pub(super) fn encapsulate(
    key: &[u8],
    random: &mut dyn FnMut(&mut [u8]),
) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let encoded = Encoded::<EncapsulationKey<MlKem768Params>>::try_from(key).ok()?;
    let key = EncapsulationKey::<MlKem768Params>::from_bytes(&encoded);
    if key.as_bytes() != encoded {
        return None;
    }
    let mut seed = Zeroizing::new([0; 32]);
    random(&mut *seed);
    let (ciphertext, mut shared) = key.encapsulate_deterministic(&B32::from(*seed)).ok()?;
    let secret = Zeroizing::new(shared.to_vec());
    zeroize::Zeroize::zeroize(shared.as_mut_slice());
    Some((ciphertext.to_vec(), secret))
}
