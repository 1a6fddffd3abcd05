//! Modular exponentiation groups (RFC 3526, RFC 7296 appendix B), in constant time.

use crypto_bigint::modular::runtime_mod::{DynResidue, DynResidueParams};
use crypto_bigint::{Encoding, U512, U1024, U1536, U2048, U3072, U4096, Uint};
use zeroize::Zeroizing;

use super::primes;
use crate::crypto::algorithm::Group;

/// The private exponent. 512 bits are more than twice the strength of any of the groups (RFC 3526 §8).
pub(super) struct Modp(Zeroizing<U512>);

impl Modp {
    pub(super) fn generate(group: Group, random: &mut dyn FnMut(&mut [u8])) -> (Vec<u8>, Self) {
        let mut bytes = Zeroizing::new([0; U512::BYTES]);
        random(&mut *bytes);
        let modp = Self(Zeroizing::new(U512::from_be_slice(&*bytes)));
        let mut generator = vec![0; group.public_len()];
        if let Some(last) = generator.last_mut() {
            *last = 2;
        }
        let public = modp.power(group, &generator).expect("2 is in range in every group");
        (public.to_vec(), modp)
    }

    /// `None` for what is not between 2 and the prime less 2: of small order (RFC 6989 §2.1).
    pub(super) fn agree(&self, group: Group, peer: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.power(group, peer)
    }

    /// `base` is as long as the group says. The result has zeros on the left up to that length too.
    fn power(&self, group: Group, base: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match group {
            Group::Modp1024 => power::<{ U1024::LIMBS }>(primes::MODP_1024, base, &self.0),
            Group::Modp1536 => power::<{ U1536::LIMBS }>(primes::MODP_1536, base, &self.0),
            Group::Modp2048 => power::<{ U2048::LIMBS }>(primes::MODP_2048, base, &self.0),
            Group::Modp3072 => power::<{ U3072::LIMBS }>(primes::MODP_3072, base, &self.0),
            Group::Modp4096 => power::<{ U4096::LIMBS }>(primes::MODP_4096, base, &self.0),
            Group::X25519 | Group::Ecp256 | Group::Ecp384 | Group::Ecp521 | Group::MlKem768 => None,
        }
    }
}

fn power<const LIMBS: usize>(prime: &str, base: &[u8], exponent: &U512) -> Option<Zeroizing<Vec<u8>>>
where
    Uint<LIMBS>: Encoding,
{
    let prime = Uint::<LIMBS>::from_be_hex(prime);
    let base = Uint::<LIMBS>::from_be_slice(base);
    let top = prime.wrapping_sub(&Uint::ONE);
    if base <= Uint::ONE || base >= top {
        return None;
    }
    let mut residue = DynResidue::new(&base, DynResidueParams::new(&prime)).pow(exponent);
    let result = Zeroizing::new(residue.retrieve());
    zeroize::Zeroize::zeroize(&mut residue);
    Some(Zeroizing::new(result.to_be_bytes().as_ref().to_vec()))
}
