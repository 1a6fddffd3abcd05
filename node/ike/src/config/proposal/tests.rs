use super::*;

fn ike(text: &str) -> Result<Proposal, ProposalError> {
    Proposal::parse(Protocol::Ike, text, Legacy::Refused)
}

fn esp(text: &str) -> Result<Proposal, ProposalError> {
    Proposal::parse(Protocol::Esp, text, Legacy::Refused)
}

#[test]
fn proposals_read_back_as_they_were_written() {
    for text in [
        "aes128gcm16-prfsha256-x25519",
        "aes256-aes128-sha256-sha512-modp2048-ecp256",
        "aes256-sha256-prfsha384-modp4096",
        "chacha20poly1305-prfsha512-x25519",
        "aes256gcm16-prfsha384-ecp384-ke1_mlkem768-ke1_none-ke3_x25519",
    ] {
        assert_eq!(ike(text).unwrap().to_string(), text);
    }
    for text in ["aes128gcm16", "aes256-sha256-modp2048-modpnone", "aes128gcm16-x25519-esn-noesn"] {
        assert_eq!(esp(text).unwrap().to_string(), text);
    }
}

#[test]
fn the_prf_follows_the_integrity_algorithm_where_none_is_named() {
    let prf: Vec<u16> =
        ike("aes128-sha384-ecp384").unwrap().of_kind(TransformKind::Prf).map(|prf| prf.id).collect();
    assert_eq!(prf, [6]);
}

#[test]
fn esp_without_a_word_has_short_sequence_numbers() {
    let proposal = esp("aes128gcm16").unwrap();
    assert!(proposal.of_kind(TransformKind::SequenceNumbers).eq([Transform::NO_ESN]));
}

#[test]
fn what_does_not_go_together_is_told() {
    let said = |result: Result<Proposal, ProposalError>| result.unwrap_err().to_string();
    assert!(said(ike("aes128gcm16-x25519")).contains("aes128gcm16-prfsha256"));
    assert!(said(ike("aes128-x25519")).contains("aes128-sha256"));
    assert!(said(ike("aes128gcm16-aes128-sha256-x25519")).contains("two proposals"));
    assert!(said(ike("aes128gcm16-prfsha256")).contains("key exchange"));
    assert!(said(ike("aes128gcm16-prfsha256-modp1024")).contains("allow_legacy"));
    assert!(said(ike("aes128gcm16-prfsha256-mlkem768")).contains("x25519-ke1_mlkem768"));
    assert!(said(ike("aes128gcm16-prfsha256-ke1_mlkem768")).contains("key exchange"));
    assert!(said(esp("aes128gcm16-ke1_mlkem768")).contains("ke1_none"));
    assert!(said(esp("aes128gcm16-x25519-modpnone-ke2_mlkem768")).contains("ke2_none"));
    assert!(esp("aes128gcm16-x25519-modpnone-ke2_mlkem768-ke2_none").is_ok());
    assert!(said(ike("rot13-x25519")).contains("`rot13`"));
    assert!(said(esp("x25519")).contains("encryption"));
    assert_eq!(ike(""), Err(ProposalError::Empty));
    assert_eq!(ike("aes128gcm16--x25519"), Err(ProposalError::Empty));
}

#[test]
fn weak_algorithms_need_consent() {
    let text = "aes128-sha1-modp1024";
    assert!(ike(text).is_err());
    let proposal = Proposal::parse(Protocol::Ike, text, Legacy::Allowed).unwrap();
    assert_eq!(proposal.to_string(), text);
    assert_eq!(proposal.first_key_exchange(), Some(2));
    let text = "3des-sha256-modp2048";
    assert!(ike(text).unwrap_err().to_string().contains("allow_legacy"));
    assert_eq!(Proposal::parse(Protocol::Ike, text, Legacy::Allowed).unwrap().to_string(), text);
}

#[test]
fn the_first_child_has_no_key_exchange() {
    assert_eq!(
        esp("aes128gcm16-x25519-esn").unwrap().without_key_exchange(),
        esp("aes128gcm16-esn").unwrap()
    );
}

#[test]
fn the_defaults_are_proposals() {
    assert_eq!(Proposal::defaults(Protocol::Ike).len(), 2);
    assert_eq!(Proposal::defaults(Protocol::Esp).len(), 2);
}
