//! Signature schemes and their AlgorithmIdentifiers (RFC 7427 §3 and appendix A, RFC 4055, RFC 8420).

use rustls_pki_types::{AlgorithmIdentifier, alg_id};

use super::{SignatureHash, SignatureHashes};

/// SHA-1 is no part of RFC 7427 here (RFC 8247 §3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sha2 {
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    RsaPkcs1(Sha2),
    RsaPss(Sha2),
    Ecdsa(Sha2),
    Ed25519,
}

const SCHEMES: [Scheme; 10] = [
    Scheme::RsaPkcs1(Sha2::Sha256),
    Scheme::RsaPkcs1(Sha2::Sha384),
    Scheme::RsaPkcs1(Sha2::Sha512),
    Scheme::RsaPss(Sha2::Sha256),
    Scheme::RsaPss(Sha2::Sha384),
    Scheme::RsaPss(Sha2::Sha512),
    Scheme::Ecdsa(Sha2::Sha256),
    Scheme::Ecdsa(Sha2::Sha384),
    Scheme::Ecdsa(Sha2::Sha512),
    Scheme::Ed25519,
];

impl Sha2 {
    pub(crate) const fn hash(self) -> SignatureHash {
        match self {
            Self::Sha256 => SignatureHash::Sha2_256,
            Self::Sha384 => SignatureHash::Sha2_384,
            Self::Sha512 => SignatureHash::Sha2_512,
        }
    }

    pub(crate) fn digest(self, message: &[u8]) -> ring::digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &ring::digest::SHA256,
            Self::Sha384 => &ring::digest::SHA384,
            Self::Sha512 => &ring::digest::SHA512,
        };
        ring::digest::digest(algorithm, message)
    }

    /// The first of `preferred` that the peer announced.
    pub(crate) fn first_known_to(peer: SignatureHashes, preferred: &[Self]) -> Option<Self> {
        preferred.iter().copied().find(|sha2| peer.contains(sha2.hash()))
    }

    /// id-sha256, id-sha384, id-sha512.
    const fn oid(self) -> [u8; 9] {
        let last = match self {
            Self::Sha256 => 1,
            Self::Sha384 => 2,
            Self::Sha512 => 3,
        };
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last]
    }

    const fn length(self) -> u8 {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl Scheme {
    /// The DER of the AlgorithmIdentifier that we send.
    pub(crate) fn algorithm_identifier(self) -> Vec<u8> {
        der(0x30, &[self.known_identifier().as_ref()])
    }

    /// All that says the same is understood: parameters NULL or absent, a trailer field named or left out.
    pub(crate) fn from_algorithm_identifier(identifier: &[u8]) -> Option<Self> {
        SCHEMES.into_iter().find(|scheme| match scheme {
            Self::RsaPss(sha2) => pss_identifiers(*sha2).any(|known| known == identifier),
            Self::RsaPkcs1(_) => {
                let known = scheme.known_identifier();
                let without_null = known.as_ref().strip_suffix(&[5, 0]).map(|known| der(0x30, &[known]));
                scheme.algorithm_identifier() == identifier || without_null.as_deref() == Some(identifier)
            }
            Self::Ecdsa(_) | Self::Ed25519 => scheme.algorithm_identifier() == identifier,
        })
    }

    const fn known_identifier(self) -> AlgorithmIdentifier {
        match self {
            Self::RsaPkcs1(Sha2::Sha256) => alg_id::RSA_PKCS1_SHA256,
            Self::RsaPkcs1(Sha2::Sha384) => alg_id::RSA_PKCS1_SHA384,
            Self::RsaPkcs1(Sha2::Sha512) => alg_id::RSA_PKCS1_SHA512,
            Self::RsaPss(Sha2::Sha256) => alg_id::RSA_PSS_SHA256,
            Self::RsaPss(Sha2::Sha384) => alg_id::RSA_PSS_SHA384,
            Self::RsaPss(Sha2::Sha512) => alg_id::RSA_PSS_SHA512,
            Self::Ecdsa(Sha2::Sha256) => alg_id::ECDSA_SHA256,
            Self::Ecdsa(Sha2::Sha384) => alg_id::ECDSA_SHA384,
            Self::Ecdsa(Sha2::Sha512) => alg_id::ECDSA_SHA512,
            Self::Ed25519 => alg_id::ED25519,
        }
    }
}

/// RSASSA-PSS with MGF1 over the same hash and a salt of its length; nothing else is accepted.
fn pss_identifiers(sha2: Sha2) -> impl Iterator<Item = Vec<u8>> {
    const RSASSA_PSS: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    const MGF1: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
    const NULL: &[u8] = &[5, 0];
    const TRAILER: &[u8] = &[0xa3, 3, 2, 1, 1];
    (0..8u8).map(move |variant| {
        let chosen = |bit: u8, octets: &'static [u8]| if variant & bit == 0 { octets } else { &[] };
        let hash = |null: &[u8]| der(0x30, &[&der(6, &[&sha2.oid()]), null]);
        let mask = der(0x30, &[&der(6, &[&MGF1]), &hash(chosen(2, NULL))]);
        let parameters = [
            der(0xa0, &[&hash(chosen(1, NULL))]),
            der(0xa1, &[&mask]),
            der(0xa2, &[&[2, 1, sha2.length()]]),
            chosen(4, TRAILER).to_vec(),
        ]
        .concat();
        der(0x30, &[&der(6, &[&RSASSA_PSS]), &der(0x30, &[&parameters])])
    })
}

/// One element of DER with a short length: no identifier above is longer.
fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let length = u8::try_from(content.len()).ok().filter(|length| *length < 0x80);
    [&[tag, length.unwrap_or(0)], content.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(digits: &str) -> Vec<u8> {
        super::super::identity::hexadecimal(&digits.replace(' ', "")).expect("digits")
    }

    #[test]
    fn the_identifiers_of_rfc_7427_appendix_a_are_known() {
        let known = [
            ("300d 0609 2a86 4886 f70d 0101 0b05 00", Scheme::RsaPkcs1(Sha2::Sha256)),
            ("300d 0609 2a86 4886 f70d 0101 0c05 00", Scheme::RsaPkcs1(Sha2::Sha384)),
            ("300d 0609 2a86 4886 f70d 0101 0d05 00", Scheme::RsaPkcs1(Sha2::Sha512)),
            ("300a 0608 2a86 48ce 3d04 0302", Scheme::Ecdsa(Sha2::Sha256)),
            ("300a 0608 2a86 48ce 3d04 0303", Scheme::Ecdsa(Sha2::Sha384)),
            ("300a 0608 2a86 48ce 3d04 0304", Scheme::Ecdsa(Sha2::Sha512)),
            ("3005 0603 2b65 70", Scheme::Ed25519),
        ];
        for (identifier, scheme) in known {
            assert_eq!(scheme.algorithm_identifier(), octets(identifier));
        }
        let pss = "3046 0609 2a86 4886 f70d 0101 0a30 39a0 0f30 0d06 0960 8648 0165 0304 0201 0500 \
                   a11c 301a 0609 2a86 4886 f70d 0101 0830 0d06 0960 8648 0165 0304 0201 0500 \
                   a203 0201 20a3 0302 0101";
        assert_eq!(Scheme::from_algorithm_identifier(&octets(pss)), Some(Scheme::RsaPss(Sha2::Sha256)));
    }

    #[test]
    fn every_scheme_is_read_back_in_each_of_its_notations() {
        for scheme in SCHEMES {
            assert_eq!(Scheme::from_algorithm_identifier(&scheme.algorithm_identifier()), Some(scheme));
        }
        for sha2 in [Sha2::Sha256, Sha2::Sha384, Sha2::Sha512] {
            for identifier in pss_identifiers(sha2) {
                assert_eq!(Scheme::from_algorithm_identifier(&identifier), Some(Scheme::RsaPss(sha2)));
            }
        }
    }

    #[test]
    fn an_unlike_mask_or_salt_and_sha1_are_refused() {
        let pss = Scheme::RsaPss(Sha2::Sha256).algorithm_identifier();
        for position in 0..pss.len() {
            let mut changed = pss.clone();
            changed[position] ^= 1;
            assert_eq!(Scheme::from_algorithm_identifier(&changed), None, "octet {position}");
        }
        assert_eq!(Scheme::from_algorithm_identifier(&octets("300d06092a864886f70d0101050500")), None);
        assert_eq!(Scheme::from_algorithm_identifier(&octets("300906072a8648ce3d0401")), None);
        assert_eq!(Scheme::from_algorithm_identifier(&octets("300b06092a864886f70d01010a")), None);
        assert_eq!(Scheme::from_algorithm_identifier(&[]), None);
    }
}
