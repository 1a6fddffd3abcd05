//! `ring` and `aes-gcm` against each other.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn ring_and_aes_gcm_make_the_same_bytes_and_open_each_others(
        suite in prop::sample::select(vec![Suite::AES_128_GCM_16, Suite::AES_256_GCM_16]),
        key in prop::collection::vec(any::<u8>(), 36),
        text in prop::collection::vec(any::<u8>(), 0..2_000),
        sequence in prop_oneof![any::<u64>(), 1..5_u64, (u64::from(u32::MAX) - 2)..(u64::from(u32::MAX) + 3)],
        esn: bool,
    ) {
        let material = KeyMaterial::new(key[..suite.key_len()].to_vec());
        let ring = Cipher::new(suite, &material).unwrap();
        let portable = Cipher::new_portable(suite, &material).unwrap();
        let mut by_ring = unsealed(suite, sequence, &text);
        let mut by_portable = by_ring.clone();
        ring.seal(sequence, esn, &mut by_ring);
        portable.seal(sequence, esn, &mut by_portable);
        prop_assert_eq!(&by_ring, &by_portable);
        prop_assert_eq!(ring.open(sequence, esn, &mut by_portable), Ok(()));
        prop_assert_eq!(portable.open(sequence, esn, &mut by_ring), Ok(()));
        prop_assert_eq!(text_of(suite, &by_ring), text);
    }

    #[test]
    fn a_short_icv_is_the_beginning_of_the_long_one(
        key in prop::collection::vec(any::<u8>(), 36),
        text in prop::collection::vec(any::<u8>(), 0..300),
        sequence: u64,
        esn: bool,
    ) {
        for bits in [128, 192, 256] {
            let [long, middle, short] = [16, 12, 8].map(|icv| {
                let suite: Suite = format!("aes{bits}gcm{icv}").parse().unwrap();
                let material = KeyMaterial::new(key[..suite.key_len()].to_vec());
                let cipher = Cipher::new(suite, &material).unwrap();
                let mut packet = unsealed(suite, sequence, &text);
                cipher.seal(sequence, esn, &mut packet);
                let sealed = packet.clone();
                assert_eq!(cipher.open(sequence, esn, &mut packet), Ok(()));
                assert_eq!(text_of(suite, &packet), text);
                sealed
            });
            prop_assert_eq!(long.strip_suffix(&long[long.len() - 4..]), Some(&middle[..]));
            prop_assert_eq!(long.strip_suffix(&long[long.len() - 8..]), Some(&short[..]));
        }
    }

    #[test]
    fn a_mac_does_not_depend_on_how_its_input_is_cut(
        input in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(0..200_usize, 0..6),
        iv: [u8; 8],
    ) {
        for &integrity in crate::suite::Integrity::ALL {
            let material = KeyMaterial::new((0..).take(integrity.key_len()).collect());
            let mac = Mac::new(integrity, &material).unwrap();
            let mut whole = vec![0; integrity.icv_len()];
            mac.compute(&[&input], iv, &mut whole);
            let mut cuts: Vec<_> = cuts.iter().map(|&cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect();
            prop_assert_eq!(mac.verify(&pieces, iv, &whole), Ok(()), "{}", integrity);
        }
    }
}
