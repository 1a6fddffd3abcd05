use super::*;
use crate::wire::{
    CertificateRequest, ChainWriter, ConfigurationAttribute, ConfigurationType, Encrypted, ExchangeType,
    Flags, IdType, IkeSpi, KeyExchange, Message, MessageId, MessageWriter, Notify, NotifyType, PayloadType,
    Proposal, SaSpi, SecurityAssociation, Transform, TransformType,
};

const HEADER: Header = Header {
    initiator_spi: IkeSpi([1; 8]),
    responder_spi: IkeSpi::ZERO,
    exchange: ExchangeType::IkeSaInit,
    flags: Flags { initiator: true, response: false, version: false },
    message_id: MessageId(0),
};

fn ends() -> (SocketAddr, SocketAddr) {
    ("192.0.2.1:500".parse().unwrap(), "198.51.100.1:500".parse().unwrap())
}

/// The words of one payload, its details after bars.
fn words(payload: &Payload<'_>) -> String {
    let mut writer = MessageWriter::new(HEADER);
    writer.push(payload);
    let bytes = writer.finish().unwrap();
    let message = TracedMessage::clear(&Message::parse(&bytes).unwrap());
    let (source, destination) = ends();
    let [PayloadText { name, text, details }] = message.describe(source, destination).try_into().unwrap();
    let text = if text.is_empty() { name } else { format!("{name} {text}") };
    std::iter::once(text).chain(details).collect::<Vec<_>>().join(" | ")
}

fn notify(kind: NotifyType, data: &[u8]) -> String {
    words(&Payload::Notify(Notify::new(kind, data)))
}

#[test]
fn notifications_are_shown_with_their_data() {
    for (kind, data, text) in [
        (NotifyType::InitialContact, &[][..], "N(INITIAL_CONTACT)"),
        (NotifyType::InvalidKePayload, &[0, 19], "N(INVALID_KE_PAYLOAD) wants ecp256"),
        (NotifyType::Cookie, &[7; 33], "N(COOKIE) 33 bytes"),
        (
            NotifyType::UnsupportedCriticalPayload,
            &[49],
            "N(UNSUPPORTED_CRITICAL_PAYLOAD) payload PayloadType(49)",
        ),
        (
            NotifyType::SignatureHashAlgorithms,
            &[0, 2, 0, 3, 0, 5],
            "N(SIGNATURE_HASH_ALGORITHMS) SHA2-256, SHA2-384, Identity",
        ),
        (NotifyType::AdditionalIp4Address, &[192, 0, 2, 9], "N(ADDITIONAL_IP4_ADDRESS) 192.0.2.9"),
        (NotifyType::SetWindowSize, &[0, 0, 0, 8], "N(SET_WINDOW_SIZE) 8"),
        (NotifyType::PpkIdentity, b"\x02branch-7", "N(PPK_IDENTITY) \"branch-7\""),
        (NotifyType::Other(40_000), &[0xab, 1], "N(NotifyType(40000)) 2 bytes, ab01"),
        // Of the wrong length: as it is.
        (NotifyType::InvalidKePayload, &[1], "N(INVALID_KE_PAYLOAD) 1 byte, 01"),
    ] {
        assert_eq!(notify(kind, data), text);
    }
    let rekey = Notify::child(ProtocolId::Esp, 0xc000_0001, NotifyType::RekeySa);
    assert_eq!(words(&Payload::Notify(rekey)), "N(REKEY_SA) ESP c0000001");
}

#[test]
fn nat_detection_is_compared_with_the_datagram() {
    let (source, destination) = ends();
    let hash = |end| crate::session::detection_hash(HEADER.initiator_spi, HEADER.responder_spi, end);
    let same = notify(NotifyType::NatDetectionSourceIp, &hash(source));
    assert!(same.ends_with("192.0.2.1:500, as this datagram has it: no NAT before the sender"), "{same}");
    let other = notify(NotifyType::NatDetectionSourceIp, &hash(destination));
    assert!(other.ends_with("the sender is behind a NAT, or claims to be"), "{other}");
    let same = notify(NotifyType::NatDetectionDestinationIp, &hash(destination));
    assert!(same.ends_with("no NAT before the receiver"), "{same}");
    let other = notify(NotifyType::NatDetectionDestinationIp, &hash(source));
    assert!(other.ends_with("not 198.51.100.1:500: the receiver is behind a NAT"), "{other}");
}

#[test]
fn proposals_stand_in_strongswans_notation() {
    let mut strange = Transform::new(TransformType::Encryption, 23).with_key_length(256);
    let mut offer = Proposal {
        number: 1,
        protocol: ProtocolId::Esp,
        spi: SaSpi::Child(0xc000_0001),
        transforms: vec![
            Transform::new(TransformType::Encryption, 20).with_key_length(128),
            Transform::new(TransformType::KeyExchange, 31),
            Transform::new(TransformType::SequenceNumbers, 1),
        ],
    };
    let sa =
        |offers: &[Proposal]| words(&Payload::SecurityAssociation(SecurityAssociation::new(offers).unwrap()));
    assert_eq!(sa(&[offer.clone()]), "SA 1 ESP aes128gcm16-x25519-esn, SPI c0000001");
    strange.unknown_attribute = true;
    let second = Proposal { number: 2, transforms: vec![strange], ..offer.clone() };
    offer.spi = SaSpi::Child(1);
    assert_eq!(
        sa(&[offer.clone(), second.clone()]),
        "SA 2 proposals | 1 ESP aes128gcm16-x25519-esn, SPI 00000001 | 2 ESP camellia_256, SPI c0000001"
    );
    assert!(proposal(&second).contains("(with an attribute unknown here)"));
}

#[test]
fn every_other_payload_has_its_words() {
    let attributes = [
        ConfigurationAttribute { kind: 1, value: &[10, 1, 0, 7] },
        ConfigurationAttribute { kind: 3, value: &[] },
        ConfigurationAttribute { kind: 77, value: b"text" },
    ];
    let id = |kind, data| Payload::IdInitiator(Identification::new(kind, data));
    let auth = |method, data| Payload::Authentication(Authentication { method, data });
    let ed25519 = [&[7][..], &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70], &[0; 64]].concat();
    let authorities = [[0xaa; 20], [0xbb; 20]].concat();
    for (payload, text) in [
        (Payload::KeyExchange(KeyExchange { group: 31, public: &[0; 32] }), "KE x25519, 32 bytes"),
        (Payload::KeyExchange(KeyExchange { group: 9, public: &[0; 1] }), "KE ke:9, 1 byte"),
        (Payload::Nonce(&[0; 32]), "Ni 32 bytes"),
        (id(IdType::Fqdn, b"gw.example.net"), "IDi ID_FQDN gw.example.net"),
        (id(IdType::Fqdn, b"gw\n"), "IDi ID_FQDN (a name that is not printable text) 3 bytes, 67770a"),
        (
            auth(AuthMethod::SharedKeyMessageIntegrityCode, &[0; 32]),
            "AUTH Shared Key Message Integrity Code, 32 bytes",
        ),
        (auth(AuthMethod::DigitalSignature, &ed25519), "AUTH Digital Signature (Ed25519), 72 bytes"),
        (auth(AuthMethod::DigitalSignature, &[9, 1]), "AUTH Digital Signature, 2 bytes"),
        (
            Payload::CertificateRequest(CertificateRequest {
                encoding: crate::wire::CertificateEncoding::X509Signature,
                authorities: &authorities,
            }),
            "CERTREQ X.509 Certificate - Signature of 2 authorities | an authority whose key has the SHA-1 hash \
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | an authority whose key has the SHA-1 hash \
             bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        ),
        (Payload::Delete(Delete::ike()), "D this IKE SA and its children"),
        (
            Payload::Delete(Delete::children(ProtocolId::Esp, &[1, 2]).unwrap()),
            "D 2 SAs | ESP 00000001 | ESP 00000002",
        ),
        (Payload::VendorId(b"strongSwan"), "V \"strongSwan\""),
        (
            Payload::VendorId(&[0xff; 40]),
            "V 40 bytes, ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff…",
        ),
        (Payload::Eap(&[1, 2]), "EAP 2 bytes"),
        (
            Payload::Unknown { kind: PayloadType::Other(200), body: &[0; 3] },
            "PayloadType(200) unknown here and skipped, 3 bytes",
        ),
        (
            Payload::Configuration(Configuration::new(ConfigurationType::Request, &attributes).unwrap()),
            "CP CFG_REQUEST | INTERNAL_IP4_ADDRESS 10.1.0.7 | INTERNAL_IP4_DNS | attribute 77 \"text\"",
        ),
    ] {
        assert_eq!(words(&payload), text);
    }
    let selector = crate::wire::TrafficSelector {
        protocol: 0,
        first_port: 0,
        last_port: u16::MAX,
        first: "10.1.0.0".parse().unwrap(),
        last: "10.1.255.255".parse().unwrap(),
    };
    let both = [selector, crate::wire::TrafficSelector { last: "10.1.0.9".parse().unwrap(), ..selector }];
    let selectors = TrafficSelectors::new(&both).unwrap();
    assert_eq!(words(&Payload::TrafficSelectorsResponder(selectors)), "TSr 10.1.0.0/16, 10.1.0.0-10.1.0.9");
}

#[test]
fn what_cannot_be_read_is_said_after_what_can() {
    let mut chain = ChainWriter::new();
    chain.push(&Payload::Nonce(&[0; 32]));
    chain.push(&Payload::Encrypted(Encrypted { first: PayloadType::Notify, body: &[0; 9], range: 0..9 }));
    let chain = chain.finish().unwrap();
    let message = TracedMessage::sealed(HEADER, chain.first, &chain.bytes, &[vec![0; 70], vec![0; 30]]);
    assert_eq!((message.length, message.datagrams), (Some(100), 2));
    let (source, destination) = ends();
    let words = message.describe(source, destination);
    assert_eq!(words[0], line("Ni", "32 bytes"));
    assert_eq!(
        words[1],
        line("not readable from here on", "payload SK at byte 40: not allowed at this place")
    );
    assert_eq!(words.len(), 2);
}
