use super::*;

#[test]
fn numbers_and_names_are_read_back() {
    for &group in Group::ALL {
        assert_eq!(Group::try_from(group.number()), Ok(group));
        assert_eq!(Group::of_name(&group.to_string()), Some(group));
    }
    for &prf in Prf::ALL {
        assert_eq!(Prf::try_from(prf.number()), Ok(prf));
        assert_eq!(Prf::of_name(prf.name()), Some(prf));
    }
    for &integrity in Integrity::ALL {
        assert_eq!(Integrity::try_from(integrity.number()), Ok(integrity));
        assert_eq!(Integrity::of_name(integrity.name()), Some(integrity));
    }
    for &encryption in Encryption::ALL {
        assert_eq!(Encryption::of_transform(encryption.number(), encryption.key_bits()), Some(encryption));
        assert_eq!(Encryption::of_name(encryption.name()), Some(encryption));
    }
    assert_eq!(Group::try_from(22), Err(UnknownTransform(22)));
}

#[test]
fn aes_needs_a_key_length_and_others_have_none() {
    assert_eq!(Encryption::of_transform(20, None), None);
    assert_eq!(Encryption::of_transform(20, Some(512)), None);
    assert_eq!(Encryption::of_transform(28, Some(256)), None);
    assert_eq!(Encryption::of_transform(28, None), Some(Encryption::ChaCha20Poly1305));
    assert_eq!(Encryption::of_transform(3, Some(192)), None);
}
