use twinmesh_ike::wire::{
    Encrypted, Identification, Message, MessageWriter, NotifyType, Payload, PayloadType, Payloads, Proposal,
    ProtocolId, SaSpi, SecurityAssociation, TrafficSelector, TrafficSelectors, Transform, TransformType,
    WireErrorKind, WriteError,
};

use super::{header, message, message_of, payloads, set_length};

fn refused(kind: PayloadType, body: &[u8]) -> WireErrorKind {
    let datagram = message_of(kind, body);
    let error = payloads(&datagram).unwrap_err();
    assert_eq!(error.payload, Some(kind));
    assert!(error.offset >= 32 && error.offset <= datagram.len());
    error.kind
}

#[test]
fn a_header_that_is_wrong_says_how() {
    let good = message(&[]);
    let with = |place: usize, byte: u8| {
        let mut datagram = good.clone();
        datagram[place] = byte;
        Message::parse(&datagram).map(|_| ()).map_err(|error| (error.payload, error.kind))
    };
    assert_eq!(with(17, 0x10), Err((None, WireErrorKind::UnsupportedVersion(1))));
    assert_eq!(with(17, 0x30), Err((None, WireErrorKind::UnsupportedVersion(3))));
    assert_eq!(with(17, 0x2f), Ok(()), "RFC 7296 §2.5: a minor version is no reason");
    assert_eq!(with(19, 0xff), Ok(()), "RFC 7296 §3.1: unknown flags are ignored");
    assert_eq!(with(27, 27), Err((None, WireErrorKind::LengthMismatch(27))));
    assert_eq!(with(24, 0xff), Err((None, WireErrorKind::LengthMismatch(0xff00_001c))));
    let mut zero = good.clone();
    zero[..8].fill(0);
    assert_eq!(Message::parse(&zero).unwrap_err().kind, WireErrorKind::ZeroInitiatorSpi);
}

#[test]
fn a_newer_major_version_is_answered_with_ours() {
    let mut datagram = message(&[]);
    datagram[17] = 0x30;
    let error = Message::parse(&datagram).unwrap_err();
    assert_eq!(error.notification(), (NotifyType::InvalidMajorVersion, Some(2)));
    assert_eq!(error.to_string(), "IKE header at byte 18: major version 3 is not supported");
}

#[test]
fn trap_17_an_unknown_critical_payload_is_named() {
    for kind in [1, 32, 49, 50, 54, 200, 255] {
        let mut datagram = message_of(PayloadType::from(kind), b"body");
        assert_eq!(
            payloads(&datagram),
            Ok(vec![Payload::Unknown { kind: PayloadType::Other(kind), body: b"body" }])
        );
        datagram[29] = 0x80;
        let error = payloads(&datagram).unwrap_err();
        assert_eq!(error.kind, WireErrorKind::UnsupportedCriticalPayload);
        assert_eq!(error.notification(), (NotifyType::UnsupportedCriticalPayload, Some(kind)));
    }
}

#[test]
fn the_critical_bit_of_a_known_payload_is_ignored_as_are_reserved_bits() {
    let mut datagram = message_of(PayloadType::VendorId, b"body");
    for flags in [0x80, 0x7f, 0xff] {
        datagram[29] = flags;
        assert_eq!(payloads(&datagram), Ok(vec![Payload::VendorId(b"body")]));
    }
}

/// CVE-2026-25075 of strongSwan, fifteen years old: a length below its own header.
#[test]
fn a_length_below_its_header_is_refused() {
    for length in 0..4 {
        let mut datagram = message_of(PayloadType::VendorId, &[0; 8]);
        datagram[31] = length;
        assert_eq!(payloads(&datagram).unwrap_err().kind, WireErrorKind::LengthBelowHeader);
    }
    let proposal = |length| [0, 0, 0, length, 1, 1, 0, 0];
    for length in 0..8 {
        assert_eq!(
            refused(PayloadType::SecurityAssociation, &proposal(length)),
            WireErrorKind::LengthBelowHeader
        );
        let transform = [0, 0, 0, 16, 1, 1, 0, 1, 0, 0, 0, length, 1, 0, 0, 12];
        assert_eq!(refused(PayloadType::SecurityAssociation, &transform), WireErrorKind::LengthBelowHeader);
    }
    for length in 0..4 {
        let selector = [1, 0, 0, 0, 7, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            refused(PayloadType::TrafficSelectorsInitiator, &selector),
            WireErrorKind::LengthBelowHeader
        );
    }
}

#[test]
fn nothing_follows_an_encrypted_payload_and_none_lies_within_another() {
    let sealed = Payload::Encrypted(Encrypted { first: PayloadType::Notify, body: &[1; 20], range: 0..0 });
    let mut datagram = message(std::slice::from_ref(&sealed));
    assert_eq!(payloads(&datagram).unwrap().len(), 1, "the next payload is inside");
    datagram.extend_from_slice(&[0, 0, 0, 4]);
    set_length(&mut datagram);
    assert_eq!(payloads(&datagram).unwrap_err().kind, WireErrorKind::TrailingBytes);
    for kind in [PayloadType::Encrypted, PayloadType::EncryptedFragment] {
        let inside = Payloads::inner(kind, &[0, 0, 0, 12, 0, 1, 0, 1, 0, 0, 0, 0]).collect::<Vec<_>>();
        assert_eq!(inside.len(), 1);
        assert_eq!(inside[0].as_ref().unwrap_err().kind, WireErrorKind::UnexpectedPayload);
    }
}

#[test]
fn fragments_are_counted_from_one() {
    for (number, total) in [(0, 0), (0, 3), (1, 0), (4, 3)] {
        let body = [0, number, 0, total, 9];
        assert_eq!(
            refused(PayloadType::EncryptedFragment, &body),
            WireErrorKind::InvalidFragment { number: number.into(), total: total.into() }
        );
    }
}

#[test]
fn a_loop_of_notifies_ends() {
    let notify = [41, 0, 0, 8, 0, 0, 0x40, 0];
    let many = notify.repeat(10_000);
    let read: Vec<_> = Payloads::inner(PayloadType::Notify, &many).collect();
    assert_eq!(read.len(), 129);
    assert_eq!(read.last().unwrap().as_ref().unwrap_err().kind, WireErrorKind::TooManyPayloads);
}

#[test]
fn nonces_have_16_to_256_bytes() {
    for length in [0, 15, 257, 1000] {
        assert_eq!(refused(PayloadType::Nonce, &vec![1; length]), WireErrorKind::InvalidNonceLength(length));
    }
    for length in [16, 256] {
        assert!(payloads(&message_of(PayloadType::Nonce, &vec![1; length])).is_ok());
    }
}

#[test]
fn the_spi_of_a_proposal_fits_its_protocol() {
    let proposal = |protocol: u8, size: u8| {
        let mut body = vec![0, 0, 0, 8 + size, 1, protocol, size, 0];
        body.resize(8 + usize::from(size), 7);
        payloads(&message_of(PayloadType::SecurityAssociation, &body)).map(|_| ()).map_err(|error| error.kind)
    };
    for (protocol, size) in [(1, 0), (1, 8), (2, 4), (3, 4), (4, 2), (9, 17)] {
        assert_eq!(proposal(protocol, size), Ok(()));
    }
    for (protocol, size) in [(1, 4), (2, 0), (3, 0), (3, 3), (3, 8)] {
        assert_eq!(proposal(protocol, size), Err(WireErrorKind::InvalidSpiSize(size)));
    }
}

#[test]
fn the_number_of_transforms_and_of_proposals_holds() {
    let sa = |body: &[u8]| refused(PayloadType::SecurityAssociation, body);
    let transform = |marker| [marker, 0, 0, 8, 4, 0, 0, 31];
    let proposal = |marker, length, count| [marker, 0, 0, length, 1, 1, 0, count];
    assert_eq!(sa(&[]), WireErrorKind::Truncated);
    assert_eq!(sa(&[proposal(0, 16, 0), transform(0)].concat()), WireErrorKind::TrailingBytes);
    assert_eq!(sa(&[proposal(0, 16, 2), transform(3)].concat()), WireErrorKind::Truncated);
    assert_eq!(sa(&[proposal(0, 16, 1), transform(3)].concat()), WireErrorKind::CountMismatch);
    assert_eq!(sa(&[proposal(0, 24, 2), transform(0), transform(0)].concat()), WireErrorKind::CountMismatch);
    assert_eq!(sa(&[proposal(2, 16, 1), transform(0)].concat()), WireErrorKind::CountMismatch);
    assert_eq!(sa(&[proposal(0, 8, 0), proposal(0, 8, 0)].concat()), WireErrorKind::CountMismatch);
}

#[test]
fn a_transform_with_an_unknown_attribute_equals_none_of_ours() {
    let read = |attributes: &[u8]| {
        let length = u8::try_from(8 + attributes.len()).unwrap();
        let body =
            [&[0, 0, 0, 8 + length, 1, 1, 0, 1][..], &[0, 0, 0, length, 1, 0, 0, 12], attributes].concat();
        let datagram = message_of(PayloadType::SecurityAssociation, &body);
        let read = payloads(&datagram).unwrap();
        let [Payload::SecurityAssociation(list)] = read.as_slice() else { panic!("{read:?}") };
        list.proposals().next().unwrap().transforms[0]
    };
    let ours = Transform::new(TransformType::Encryption, 12).with_key_length(128);
    assert_eq!(read(&[0x80, 14, 0, 128]), ours);
    let twice = [0x80, 14, 0, 128, 0x80, 14, 1, 0];
    let unknown_short = [0x80, 14, 0, 128, 0x80, 15, 1, 0];
    let unknown_long = [0x80, 14, 0, 128, 0, 15, 0, 2, 1, 1];
    let key_length_in_the_long_form = [0x80, 14, 0, 128, 0, 14, 0, 2, 1, 1];
    for attributes in
        [&twice[..], &unknown_short, &unknown_long, &key_length_in_the_long_form, &[0, 15, 0, 0]]
    {
        assert!(read(attributes).unknown_attribute);
        assert_ne!(read(attributes), ours);
    }
}

/// CVE-2023-23009 of Libreswan: selectors of bad type or length.
#[test]
fn selectors_of_bad_length_or_order_are_refused_and_unknown_types_passed_over() {
    let ts = |body: &[u8]| refused(PayloadType::TrafficSelectorsResponder, body);
    assert_eq!(ts(&[0, 0, 0, 0]), WireErrorKind::EmptyList);
    assert_eq!(ts(&[1, 0, 0, 0, 7, 0, 0, 8, 0, 0, 0, 0]), WireErrorKind::InvalidSelectorLength);
    let mut selector = [1, 0, 0, 0, 7, 0, 0, 16, 0, 0, 255, 255, 10, 0, 0, 1, 10, 0, 0, 2];
    assert!(payloads(&message_of(PayloadType::TrafficSelectorsResponder, &selector)).is_ok());
    selector[4] = 8;
    assert_eq!(ts(&selector), WireErrorKind::InvalidSelectorLength);
    selector[4] = 7;
    selector[19] = 0;
    assert_eq!(ts(&selector), WireErrorKind::InvalidRange);
    selector[0] = 2;
    selector[19] = 2;
    assert_eq!(ts(&selector), WireErrorKind::Truncated);
    selector[0] = 1;
    assert_eq!(ts(&[&selector[..], &[0]].concat()), WireErrorKind::CountMismatch);

    let with_unknown = [&[3, 0, 0, 0][..], &[9, 0, 0, 4], &selector[4..], &[10, 0, 0, 6, 1, 2]].concat();
    let datagram = message_of(PayloadType::TrafficSelectorsResponder, &with_unknown);
    let read = payloads(&datagram).unwrap();
    let [Payload::TrafficSelectorsResponder(list)] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!(list.selectors().count(), 1);
}

#[test]
fn a_delete_counts_its_spis() {
    let delete = |body: &[u8]| refused(PayloadType::Delete, body);
    assert_eq!(delete(&[1, 8, 0, 0]), WireErrorKind::InvalidSpiSize(8));
    assert_eq!(delete(&[3, 0, 0, 1]), WireErrorKind::InvalidSpiSize(0));
    assert_eq!(delete(&[1, 0, 0, 0, 9]), WireErrorKind::CountMismatch);
    assert_eq!(delete(&[3, 4, 0, 2, 1, 1, 1, 1]), WireErrorKind::CountMismatch);
    assert_eq!(delete(&[3, 4, 0, 0, 1, 1, 1, 1]), WireErrorKind::CountMismatch);
    assert_eq!(delete(&[9, 255, 255, 255, 1]), WireErrorKind::CountMismatch);
    let of_another_protocol = message_of(PayloadType::Delete, &[4, 2, 0, 2, 1, 2, 3, 4]);
    let read = payloads(&of_another_protocol).unwrap();
    let [Payload::Delete(list)] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!(list.child_spis().count(), 0, "two CPIs are no SPI");
}

#[test]
fn a_configuration_attribute_that_ends_too_early_is_refused() {
    let configuration = |body: &[u8]| refused(PayloadType::Configuration, body);
    assert_eq!(configuration(&[1, 0, 0]), WireErrorKind::Truncated);
    assert_eq!(configuration(&[1, 0, 0, 0, 0, 1, 0]), WireErrorKind::Truncated);
    assert_eq!(configuration(&[1, 0, 0, 0, 0, 1, 0, 4, 10, 0, 0]), WireErrorKind::Truncated);
    assert!(payloads(&message_of(PayloadType::Configuration, &[1, 0, 0, 0])).is_ok());
}

#[test]
fn the_reserved_bytes_of_an_identity_are_kept_for_auth() {
    let datagram = message_of(PayloadType::IdInitiator, &[2, 7, 8, 9, b'a']);
    let read = payloads(&datagram).unwrap();
    let [Payload::IdInitiator(id)] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!(id.body(), [2, 7, 8, 9, b'a']);
    assert_ne!(*id, Identification::new(id.kind, b"a"));
}

#[test]
fn what_does_not_fit_its_length_field_is_not_written() {
    let mut writer = MessageWriter::new(header());
    writer.push(&Payload::VendorId(&vec![0; 65_532]));
    writer.push(&Payload::VendorId(&[]));
    assert_eq!(writer.finish(), Err(WriteError::PayloadTooLong), "the first error is kept");
    assert_eq!(message(&[Payload::VendorId(&vec![0; 65_531])]).len(), 28 + 65_535);

    let transforms = vec![Transform::new(TransformType::Prf, 5); 256];
    let proposal = Proposal { number: 1, protocol: ProtocolId::Ike, spi: SaSpi::Empty, transforms };
    assert_eq!(SecurityAssociation::new(&[proposal]), Err(WriteError::ListTooLong));
    let selector = TrafficSelector {
        protocol: 0,
        first_port: 0,
        last_port: 0,
        first: [0, 0, 0, 0].into(),
        last: [0, 0, 0, 0, 0, 0, 0, 0].into(),
    };
    assert_eq!(TrafficSelectors::new(&[selector]), Err(WriteError::MixedFamilies));
    assert_eq!(TrafficSelectors::new(&[selector; 256]), Err(WriteError::ListTooLong));

    let sealed = Payload::Encrypted(Encrypted { first: PayloadType::Notify, body: &[], range: 0..0 });
    let writer = MessageWriter::new(header()).payload(&sealed).payload(&sealed);
    assert_eq!(writer.finish(), Err(WriteError::AfterEncrypted));
}
