//! Bytes written out by hand from the drawings of RFC 7296 §3.

use twinmesh_ike::wire::{
    Delete, ExchangeType, IdType, Identification, KeyExchange, Message, MessageId, Notify, NotifyType,
    Payload, Proposal, ProtocolId, SaSpi, SecurityAssociation, TrafficSelector, TrafficSelectors, Transform,
    TransformType,
};

use super::{message, payloads};

fn body(payload: &Payload<'_>) -> Vec<u8> {
    message(std::slice::from_ref(payload))[32..].to_vec()
}

#[test]
fn the_header_lies_as_drawn() {
    let datagram = message(&[Payload::Nonce(&[9; 16]), Payload::VendorId(b"v")]);
    #[rustfmt::skip]
    let expected = [
        1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0,
        40, 0x20, 34, 0x08, 0, 0, 0, 0, 0, 0, 0, 53,
        43, 0, 0, 20, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
        0, 0, 0, 5, b'v',
    ];
    assert_eq!(datagram, expected);
    let header = Message::parse(&datagram).unwrap().header;
    assert_eq!((header.exchange, header.message_id), (ExchangeType::IkeSaInit, MessageId(0)));
    assert!(header.flags.initiator && !header.flags.response);
}

#[test]
fn proposals_lie_as_drawn() {
    let proposals = [
        Proposal {
            number: 1,
            protocol: ProtocolId::Esp,
            spi: SaSpi::Child(0x8123_4567),
            transforms: vec![
                Transform::new(TransformType::Encryption, 20).with_key_length(256),
                Transform::new(TransformType::SequenceNumbers, 1),
            ],
        },
        Proposal {
            number: 2,
            protocol: ProtocolId::Ike,
            spi: SaSpi::Empty,
            transforms: vec![Transform::new(TransformType::KeyExchange, 31)],
        },
    ];
    let payload = Payload::SecurityAssociation(SecurityAssociation::new(&proposals).unwrap());
    #[rustfmt::skip]
    let expected = [
        2, 0, 0, 32, 1, 3, 4, 2, 0x81, 0x23, 0x45, 0x67,
            3, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 1, 0,
            0, 0, 0, 8, 5, 0, 0, 1,
        0, 0, 0, 16, 2, 1, 0, 1,
            0, 0, 0, 8, 4, 0, 0, 31,
    ];
    assert_eq!(body(&payload), expected);
    assert_eq!(payloads(&message(&[payload])).unwrap().len(), 1);
    assert_eq!(proposals[0].of_type(TransformType::SequenceNumbers).count(), 1);
}

#[test]
fn selectors_lie_as_drawn() {
    let v4 = TrafficSelector {
        protocol: 6,
        first_port: 80,
        last_port: 443,
        first: [10, 0, 0, 0].into(),
        last: [10, 0, 255, 255].into(),
    };
    let v6 = TrafficSelector {
        protocol: 0,
        first_port: 0,
        last_port: 65535,
        first: [0_u16; 8].into(),
        last: [0xffff_u16; 8].into(),
    };
    let payload = Payload::TrafficSelectorsInitiator(TrafficSelectors::new(&[v4, v6]).unwrap());
    let head = [2, 0, 0, 0, 7, 6, 0, 16, 0, 80, 1, 187, 10, 0, 0, 0, 10, 0, 255, 255];
    let tail = [&[8, 0, 0, 40, 0, 0, 255, 255][..], &[0; 16], &[255; 16]].concat();
    assert_eq!(body(&payload), [&head[..], &tail].concat());
}

#[test]
fn the_rest_lies_as_drawn() {
    let rekey = Notify::child(ProtocolId::Esp, 0x0102_0304, NotifyType::RekeySa);
    assert_eq!(body(&Payload::Notify(rekey)), [3, 4, 0x40, 9, 1, 2, 3, 4]);
    let cookie = Notify::new(NotifyType::Cookie, &[7, 8]);
    assert_eq!(body(&Payload::Notify(cookie)), [0, 0, 0x40, 6, 7, 8]);
    assert_eq!(body(&Payload::Delete(Delete::ike())), [1, 0, 0, 0]);
    let delete = Delete::children(ProtocolId::Esp, &[5, 6]).unwrap();
    assert_eq!(body(&Payload::Delete(delete)), [3, 4, 0, 2, 0, 0, 0, 5, 0, 0, 0, 6]);
    let exchange = KeyExchange { group: 31, public: &[1, 2, 3] };
    assert_eq!(body(&Payload::KeyExchange(exchange)), [0, 31, 0, 0, 1, 2, 3]);
    let id = Identification::new(IdType::Fqdn, b"a.b");
    assert_eq!(body(&Payload::IdInitiator(id)), [2, 0, 0, 0, b'a', b'.', b'b']);
    assert_eq!(id.body(), [2, 0, 0, 0, b'a', b'.', b'b']);
}
