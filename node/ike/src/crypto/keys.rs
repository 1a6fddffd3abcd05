//! SKEYSEED, the keys of an IKE SA, and those of its children (RFC 7296 §2.14, §2.17, §2.18).

use zeroize::Zeroizing;

use super::algorithm::Prf;
use super::key_exchange::SharedSecret;
use super::suite::Suite;

/// What the keys of an IKE SA are drawn from; wiped when dropped, never printed.
pub struct SkeySeed(Zeroizing<Vec<u8>>);

/// A key of an IKE SA; wiped when dropped, never printed.
pub type Key = Zeroizing<Vec<u8>>;

/// The keys of an IKE SA, named as in RFC 7296 §2.14.
pub struct SaKeys {
    pub d: Key,
    pub ai: Key,
    pub ar: Key,
    pub ei: Key,
    pub er: Key,
    pub pi: Key,
    pub pr: Key,
}

impl SkeySeed {
    /// After IKE_SA_INIT: prf(Ni | Nr, g^ir) (§2.14).
    pub fn initial(prf: Prf, shared: &SharedSecret, ni: &[u8], nr: &[u8]) -> Self {
        let key = Zeroizing::new([ni, nr].concat());
        Self(prf.compute(&key, &[shared.as_bytes()]))
    }

    /// With the SK_d that came before: after a rekey of the IKE SA (§2.18) `old` is the function and the SK_d of the old
    /// SA; after an additional key exchange in IKE_INTERMEDIATE, those of the SA at hand (RFC 9370 §2.2.2).
    ///
    /// The first of `shared` is the key exchange of the KE payload, others are additional ones of the same rekey, in
    /// order (RFC 9370 §2.2.4).
    pub fn next(old: Prf, sk_d: &[u8], shared: &[&SharedSecret], ni: &[u8], nr: &[u8]) -> Self {
        Self(old.compute(sk_d, &mixed(shared, ni, nr)))
    }

    /// Cut from prf+(SKEYSEED, Ni | Nr | SPIi | SPIr) (§2.14).
    pub fn keys(&self, suite: Suite, ni: &[u8], nr: &[u8], spi_i: [u8; 8], spi_r: [u8; 8]) -> SaKeys {
        let (prf, integrity, encryption) =
            (suite.prf().output_len(), suite.integrity_key_len(), suite.encryption().key_len());
        let len = 3 * prf + 2 * integrity + 2 * encryption;
        let stream = suite.prf().expand(&self.0, &[ni, nr, &spi_i, &spi_r], len);
        let mut rest = stream.iter().copied();
        let mut cut = |len: usize| Zeroizing::new(rest.by_ref().take(len).collect::<Vec<u8>>());
        SaKeys {
            d: cut(prf),
            ai: cut(integrity),
            ar: cut(integrity),
            ei: cut(encryption),
            er: cut(encryption),
            pi: cut(prf),
            pr: cut(prf),
        }
    }
}

impl SaKeys {
    /// With a postquantum preshared key: SK_d, SK_pi and SK_pr go through prf+(PPK, …), the others stay (RFC 8784 §3).
    #[must_use]
    pub fn with_ppk(&self, prf: Prf, ppk: &[u8]) -> Self {
        let mix = |key: &Key| prf.expand(ppk, &[key], prf.output_len());
        Self {
            d: mix(&self.d),
            ai: self.ai.clone(),
            ar: self.ar.clone(),
            ei: self.ei.clone(),
            er: self.er.clone(),
            pi: mix(&self.pi),
            pr: mix(&self.pr),
        }
    }

    /// KEYMAT of a child, the initiator's direction first: prf+(SK_d, g^ir | Ni | Nr), of which the exchange's
    /// initiator sends with the first half (§2.17). `shared` is empty without a key exchange of its own; additional ones
    /// follow the first (RFC 9370 §2.2.4).
    pub fn child_keymat(
        &self,
        prf: Prf,
        shared: &[&SharedSecret],
        ni: &[u8],
        nr: &[u8],
        len: usize,
    ) -> Zeroizing<Vec<u8>> {
        prf.expand(&self.d, &mixed(shared, ni, nr), len)
    }
}

/// SK(0) | Ni | Nr | SK(1) | … (RFC 9370 §2.2.4).
fn mixed<'a>(shared: &[&'a SharedSecret], ni: &'a [u8], nr: &'a [u8]) -> Vec<&'a [u8]> {
    let mut secrets = shared.iter().map(|secret| secret.as_bytes());
    let first = secrets.next();
    first.into_iter().chain([ni, nr]).chain(secrets).collect()
}

#[cfg(test)]
mod tests;
