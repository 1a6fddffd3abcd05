use std::collections::BTreeSet;

use super::*;

#[test]
fn every_suite_is_read_back_as_it_is_written() {
    let names: BTreeSet<String> = Suite::all().map(|suite| suite.to_string()).collect();
    // 13 combined modes, and 8 that need one of 5 HMACs.
    assert_eq!(names.len(), 13 + 8 * 5);
    for suite in Suite::all() {
        assert_eq!(suite.to_string().parse(), Ok(suite));
    }
}

#[test]
fn what_is_wrong_with_a_suite_is_said() {
    let error = |text: &str| text.parse::<Suite>().unwrap_err();
    assert_eq!(error(""), SuiteError::UnknownEncryption);
    assert_eq!(error("sha256"), SuiteError::UnknownEncryption);
    assert_eq!(error("aes128-sha3"), SuiteError::UnknownIntegrity);
    assert_eq!(error("aes128gcm16-modp2048"), SuiteError::UnknownIntegrity);
    assert_eq!(error("aes128-sha256-modp2048"), SuiteError::TooManyParts);
    assert_eq!(
        error("aes128").to_string(),
        "aes128 authenticates nothing: an integrity algorithm is needed, as in aes128-sha256"
    );
    assert_eq!(
        error("aes128gcm16-sha256").to_string(),
        "aes128gcm16 has its own integrity, none goes beside it"
    );
    assert_eq!(error("aes128-aes128gmac"), SuiteError::OnlyInAh(Integrity::Aes128Gmac));
}

#[test]
fn lengths_come_from_the_table() {
    let lengths = |text: &str| {
        let suite: Suite = text.parse().unwrap();
        (suite.key_len(), suite.iv_len(), suite.icv_len(), suite.block())
    };
    assert_eq!(lengths("aes128gcm16"), (20, 8, 16, 1));
    assert_eq!(lengths("aes256gcm8"), (36, 8, 8, 1));
    assert_eq!(lengths("chacha20poly1305"), (36, 8, 16, 1));
    assert_eq!(lengths("aes192gmac"), (28, 8, 16, 1));
    assert_eq!(lengths("aes256-sha512"), (96, 16, 32, 16));
    assert_eq!(lengths("aes128-sha384"), (64, 16, 24, 16));
    assert_eq!(lengths("aes128ctr-sha256"), (52, 8, 16, 1));
    assert_eq!(lengths("3des-sha1"), (44, 8, 12, 8));
    assert_eq!(lengths("null-md5"), (16, 0, 12, 1));
}

#[test]
fn a_suite_is_no_better_than_its_weaker_half() {
    let class = |text: &str| text.parse::<Suite>().unwrap().class();
    assert_eq!(class("aes128gcm16"), SuiteClass::Default);
    assert_eq!(class("aes128-sha256"), SuiteClass::Default);
    assert_eq!(class("aes128-sha1"), SuiteClass::Legacy);
    assert_eq!(class("3des-sha256"), SuiteClass::Legacy);
    assert_eq!(class("aes256-md5"), SuiteClass::Legacy);
    assert_eq!(class("null-sha256"), SuiteClass::TestOnly);
    assert_eq!(class("null-md5"), SuiteClass::TestOnly);
}
