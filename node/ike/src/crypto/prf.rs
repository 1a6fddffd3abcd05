//! prf and prf+ (RFC 7296 §2.13).

use ring::hmac;
use zeroize::Zeroizing;

use super::algorithm::Prf;

impl Prf {
    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha384 => hmac::HMAC_SHA384,
            Self::HmacSha512 => hmac::HMAC_SHA512,
            Self::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        }
    }

    /// prf(key, parts joined).
    pub fn compute(self, key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        sign(&hmac::Key::new(self.algorithm(), key), parts)
    }

    /// prf+(key, parts joined), its first `len` bytes.
    ///
    /// # Panics
    /// If more than 255 blocks are asked for, beyond which prf+ is not defined: no suite needs even a tenth.
    pub fn expand(self, key: &[u8], parts: &[&[u8]], len: usize) -> Zeroizing<Vec<u8>> {
        assert!(len <= 255 * self.output_len(), "prf+ ends after 255 blocks");
        let key = hmac::Key::new(self.algorithm(), key);
        let mut output = Zeroizing::new(Vec::with_capacity(len));
        let mut block = Zeroizing::new(Vec::new());
        for number in 1..=u8::MAX {
            if output.len() >= len {
                break;
            }
            let mut message: Vec<&[u8]> = vec![&block];
            message.extend_from_slice(parts);
            let number = [number];
            message.push(&number);
            block = sign(&key, &message);
            let wanted = block.iter().take(len.saturating_sub(output.len()));
            output.extend(wanted);
        }
        output
    }
}

fn sign(key: &hmac::Key, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    Zeroizing::new(context.sign().as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hex;

    /// RFC 4231 §4.3, and RFC 2202 §3, test case 2.
    #[test]
    fn prf_is_hmac() {
        let prf = |prf: Prf| prf.compute(b"Jefe", &[b"what do ya want ", b"for nothing?"]).to_vec();
        assert_eq!(prf(Prf::HmacSha1), hex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
        assert_eq!(
            prf(Prf::HmacSha256),
            hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        );
        assert_eq!(
            prf(Prf::HmacSha384),
            hex("af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e
                 8e2240ca5e69e2c78b3239ecfab21649")
        );
        assert_eq!(
            prf(Prf::HmacSha512),
            hex("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737")
        );
    }

    #[test]
    fn prf_plus_chains_blocks_and_cuts_the_last() {
        let prf = Prf::HmacSha256;
        let first = prf.compute(b"key", &[b"seed", &[1]]);
        let second = prf.compute(b"key", &[&first, b"seed", &[2]]);
        let expanded = prf.expand(b"key", &[b"se", b"ed"], 50);
        assert_eq!(expanded[..32], first[..]);
        assert_eq!(expanded[32..], second[..18]);
        assert_eq!(prf.expand(b"key", &[b"seed"], 0).len(), 0);
        assert_eq!(prf.expand(b"key", &[b"seed"], 255 * 32).len(), 255 * 32);
    }
}
