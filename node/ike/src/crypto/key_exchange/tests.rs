mod vectors;

use super::*;

/// Different bytes each time, the same in each run.
fn counting() -> impl FnMut(&mut [u8]) {
    let mut state = 1_u32;
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            [*byte, ..] = state.to_be_bytes();
        }
    }
}

fn value_error(group: Group, peer: &[u8]) -> KeError {
    let error = KeyExchange::generate(group, &mut counting()).agree(peer).err().unwrap();
    assert_eq!(KeyExchange::respond(group, peer, &mut counting()).err(), Some(error));
    error
}

#[test]
fn both_ends_agree_in_every_group() {
    let mut random = counting();
    for &group in Group::ALL {
        let own = KeyExchange::generate(group, &mut random);
        assert_eq!((own.group(), own.public().len()), (group, group.public_len()));
        let answer = KeyExchange::respond(group, own.public(), &mut random).unwrap();
        assert_eq!(answer.public.len(), group.response_len());
        let secret = own.agree(&answer.public).unwrap();
        assert_eq!(secret.as_bytes(), answer.secret.as_bytes(), "{group}");
    }
}

#[test]
fn a_public_value_of_the_wrong_length_is_refused_by_both_ends() {
    for &group in Group::ALL {
        for given in [0, 1, group.response_len() - 1, group.response_len() + 1, 2000] {
            let own = KeyExchange::generate(group, &mut counting());
            let expected = group.response_len();
            assert_eq!(own.agree(&vec![2; given]).err(), Some(KeError::Length { group, expected, given }));
        }
        let expected = group.public_len();
        for given in [0, 1, expected - 1, expected + 1, 2000] {
            let answer = KeyExchange::respond(group, &vec![2; given], &mut counting());
            assert_eq!(answer.err(), Some(KeError::Length { group, expected, given }));
        }
    }
}

/// RFC 6989 §2.1.
#[test]
fn trap_16_modp_values_of_small_order_and_beyond_the_prime_are_refused() {
    for (group, prime) in [
        (Group::Modp1024, primes::MODP_1024),
        (Group::Modp1536, primes::MODP_1536),
        (Group::Modp2048, primes::MODP_2048),
        (Group::Modp3072, primes::MODP_3072),
        (Group::Modp4096, primes::MODP_4096),
    ] {
        let prime = crate::crypto::hex(prime);
        let with_last = |value: &[u8], last: u8| {
            let mut value = value.to_vec();
            *value.last_mut().unwrap() = last;
            value
        };
        let zeros = vec![0; prime.len()];
        // The primes end in ff, so below and above is a matter of the last byte, up to the overflow.
        for refused in [
            zeros.clone(),
            with_last(&zeros, 1),
            with_last(&prime, 0xfe),
            prime.clone(),
            vec![0xff; prime.len()],
        ] {
            assert_eq!(value_error(group, &refused), KeError::Value { group });
        }
        for taken in [with_last(&zeros, 2), with_last(&prime, 0xfd)] {
            assert!(KeyExchange::respond(group, &taken, &mut counting()).is_ok());
        }
    }
}

/// One secret in 256 begins with a zero byte; it is as long as the group says all the same (RFC 7296 §2.14).
#[test]
fn trap_26_modp_secrets_keep_their_zeros_on_the_left() {
    let group = Group::Modp1024;
    let mut random = counting();
    let padded = (0..4000).find_map(|_| {
        // The peer's value is 2, so that the secret is our own public value.
        let own = KeyExchange::generate(group, &mut random);
        let public = own.public().to_vec();
        assert_eq!(public.len(), group.public_len());
        (public[0] == 0).then(|| {
            let mut two = vec![0; group.public_len()];
            *two.last_mut().unwrap() = 2;
            assert_eq!(own.agree(&two).unwrap().as_bytes(), public);
        })
    });
    assert!(padded.is_some());
}

/// RFC 8031 §5, with the points that RFC 7748 §6.1 warns of.
#[test]
fn trap_16_x25519_points_that_give_zero_are_refused() {
    let group = Group::X25519;
    for refused in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        assert_eq!(value_error(group, &crate::crypto::hex(refused)), KeError::Value { group });
    }
}

#[test]
fn trap_16_what_is_no_point_of_the_curve_is_refused() {
    for group in [Group::Ecp256, Group::Ecp384, Group::Ecp521] {
        let own = KeyExchange::generate(group, &mut counting());
        for bit in [0, 7, 8 * group.public_len() - 1] {
            let mut public = own.public().to_vec();
            public[bit / 8] ^= 0x80 >> (bit % 8);
            assert_eq!(value_error(group, &public), KeError::Value { group }, "bit {bit}");
        }
        assert_eq!(value_error(group, &vec![0; group.public_len()]), KeError::Value { group });
        assert_eq!(value_error(group, &vec![0xff; group.public_len()]), KeError::Value { group });
    }
}

#[test]
fn an_ecp_scalar_beyond_the_order_is_drawn_again() {
    for group in [Group::Ecp256, Group::Ecp384, Group::Ecp521] {
        let mut draws = 0;
        let mut random = |bytes: &mut [u8]| {
            draws += 1;
            bytes.fill(if draws == 1 { 0xff } else { 3 });
        };
        let own = KeyExchange::generate(group, &mut random);
        assert_eq!(draws, 2);
        assert_eq!(
            own.public(),
            KeyExchange::generate(group, &mut |bytes: &mut [u8]| bytes.fill(3)).public()
        );
    }
}

/// A ciphertext changed on the way gives the two ends different secrets, without an error that tells so.
#[test]
fn a_changed_ciphertext_of_a_kem_is_rejected_in_silence() {
    let mut random = counting();
    let own = KeyExchange::generate(Group::MlKem768, &mut random);
    let mut answer = KeyExchange::respond(Group::MlKem768, own.public(), &mut random).unwrap();
    answer.public[7] ^= 1;
    assert_ne!(own.agree(&answer.public).unwrap().as_bytes(), answer.secret.as_bytes());
}

/// FIPS 203 §7.2.
#[test]
fn a_kem_key_that_is_not_reduced_is_refused() {
    let group = Group::MlKem768;
    let own = KeyExchange::generate(group, &mut counting());
    let mut public = own.public().to_vec();
    // The first coefficient becomes 4095, beyond 3329.
    public[0] = 0xff;
    public[1] |= 0x0f;
    assert_eq!(KeyExchange::respond(group, &public, &mut counting()).err(), Some(KeError::Value { group }));
}
