use proptest::collection::vec;
use proptest::prelude::*;
use twinmesh_ike::wire::{
    ENCRYPTED_PREFIX, FRAGMENT_PREFIX, Message, NON_ESP_MARKER, Payload, PayloadType, ProtectedWriter,
    WriteError, plain_octets, strip_non_esp_marker, with_non_esp_marker,
};

use super::header;

proptest! {
    #[test]
    fn an_encrypted_message_is_read_back(sealed in vec(any::<u8>(), 0..200)) {
        let writer = ProtectedWriter::encrypted(&header(), PayloadType::Notify, sealed.len()).unwrap();
        let additional = writer.additional_data().to_vec();
        let datagram = writer.finish(&sealed).unwrap();
        prop_assert_eq!(additional, &datagram[..ENCRYPTED_PREFIX]);
        let payloads: Vec<_> = Message::parse(&datagram).unwrap().payloads().collect();
        let [Ok(Payload::Encrypted(read))] = payloads.as_slice() else { panic!("{payloads:?}") };
        prop_assert_eq!(read.first, PayloadType::Notify);
        prop_assert_eq!(read.body, &sealed);
        prop_assert_eq!(&datagram[read.range.clone()], &sealed);
    }

    #[test]
    fn a_fragment_is_read_back(sealed in vec(any::<u8>(), 0..200), total in 1_u16.., number: prop::sample::Index) {
        let number = u16::try_from(number.index(total.into())).unwrap() + 1;
        let writer =
            ProtectedWriter::fragment(&header(), PayloadType::IdInitiator, number, total, sealed.len()).unwrap();
        let additional = writer.additional_data().to_vec();
        let datagram = writer.finish(&sealed).unwrap();
        prop_assert_eq!(additional, &datagram[..FRAGMENT_PREFIX]);
        let payloads: Vec<_> = Message::parse(&datagram).unwrap().payloads().collect();
        let [Ok(Payload::EncryptedFragment(read))] = payloads.as_slice() else { panic!("{payloads:?}") };
        let first = if number == 1 { PayloadType::IdInitiator } else { PayloadType::NoNextPayload };
        prop_assert_eq!((read.first, read.number, read.total), (first, number, total));
        prop_assert_eq!(&datagram[read.range.clone()], &sealed);
        prop_assert_eq!(read.body, &sealed);
    }
}

#[test]
fn a_sealed_part_of_another_length_is_refused() {
    let writer = || ProtectedWriter::encrypted(&header(), PayloadType::Notify, 8).unwrap();
    assert_eq!(writer().finish(&[0; 7]), Err(WriteError::SealedLength));
    assert_eq!(writer().finish(&[0; 9]), Err(WriteError::SealedLength));
    let longest = |length| ProtectedWriter::encrypted(&header(), PayloadType::Notify, length);
    assert!(longest(65_531).is_ok());
    assert_eq!(longest(65_532).unwrap_err(), WriteError::PayloadTooLong);
    assert_eq!(longest(usize::MAX).unwrap_err(), WriteError::PayloadTooLong);
}

/// RFC 9242 §3.3.2.
#[test]
fn a_message_is_signed_without_encryption_and_in_one_piece_whatever_it_came_in() {
    let content = [9; 50];
    let writer = |sealed| ProtectedWriter::encrypted(&header(), PayloadType::KeyExchange, sealed).unwrap();
    let expected = writer(content.len()).finish(&content).unwrap();
    let whole = writer(78).finish(&[0; 78]).unwrap();
    let fragment = ProtectedWriter::fragment(&header(), PayloadType::KeyExchange, 2, 2, 30).unwrap();
    let fragment = fragment.finish(&[0; 30]).unwrap();
    for datagram in [whole.clone(), fragment] {
        let message = Message::parse(&datagram).unwrap();
        assert_eq!(plain_octets(&message, PayloadType::KeyExchange, &content).unwrap(), expected);
    }
    // Minor version, reserved flags and the critical bit are signed as they came.
    let mut odd = whole;
    let mut expected = expected;
    for bytes in [&mut odd, &mut expected] {
        bytes[17] = 0x21;
        bytes[19] |= 0x01;
        bytes[29] = 0x80;
    }
    let message = Message::parse(&odd).unwrap();
    assert_eq!(plain_octets(&message, PayloadType::KeyExchange, &content).unwrap(), expected);
    let long = vec![0; 65_532];
    assert_eq!(plain_octets(&message, PayloadType::Notify, &long), Err(WriteError::PayloadTooLong));
}

#[test]
fn ike_is_told_from_esp_by_four_zero_bytes() {
    let marked = with_non_esp_marker(b"message");
    assert_eq!(marked.strip_prefix(&NON_ESP_MARKER), Some(b"message".as_slice()));
    assert_eq!(strip_non_esp_marker(&marked), Some(b"message".as_slice()));
    assert_eq!(strip_non_esp_marker(&[0xff]), None, "a keepalive");
    assert_eq!(strip_non_esp_marker(&[0, 0, 1, 0, 9, 9]), None, "ESP with SPI 256");
    assert_eq!(strip_non_esp_marker(&[0, 0, 0]), None);
}
