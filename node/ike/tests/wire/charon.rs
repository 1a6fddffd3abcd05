//! What strongSwan's charon sent, beside what charon itself said that it was.

use twinmesh_ike::wire::{
    ChainWriter, ConfigurationType, ExchangeType, IdType, Message, MessageWriter, NotifyType, Payload,
    PayloadType, Payloads, ProtocolId, SaSpi, Transform, TransformType,
};

const SESSION: &str = include_str!("charon.txt");

struct Recorded {
    title: &'static str,
    bytes: Vec<u8>,
}

impl Recorded {
    /// The payloads as charon abbreviates them, without what stands in parentheses.
    fn names(&self) -> Vec<&'static str> {
        let (_, list) = self.title.split_once("[ ").unwrap();
        let list = list.strip_suffix(']').unwrap();
        let outside = list.split('(').filter_map(|part| part.rsplit(')').next());
        outside.flat_map(str::split_whitespace).collect()
    }

    fn payloads(&self) -> Vec<Payload<'_>> {
        if self.title.starts_with("IKE_SA_INIT") {
            return super::payloads(&self.bytes).unwrap();
        }
        let first = match self.names()[0] {
            "IDi" => PayloadType::IdInitiator,
            "IDr" => PayloadType::IdResponder,
            "SA" => PayloadType::SecurityAssociation,
            "N" => PayloadType::Notify,
            "D" => PayloadType::Delete,
            other => panic!("{other} is nowhere the first"),
        };
        Payloads::inner(first, &self.bytes).collect::<Result<_, _>>().unwrap()
    }
}

fn session() -> Vec<Recorded> {
    let lines: Vec<_> = SESSION.lines().filter(|line| !line.starts_with('#')).collect();
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    let bytes =
        |hex: &str| hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect();
    lines.chunks(2).map(|pair| Recorded { title: pair[0], bytes: bytes(pair[1]) }).collect()
}

fn of(title: &str) -> Recorded {
    session().into_iter().find(|recorded| recorded.title.starts_with(title)).unwrap()
}

fn abbreviation(payload: &Payload<'_>) -> &'static str {
    if let Payload::Configuration(payload) = payload {
        return if payload.kind == ConfigurationType::Request { "CPRQ" } else { "CPRP" };
    }
    match payload.kind().name().unwrap() {
        "Ni, Nr" => "No",
        name => name,
    }
}

#[test]
fn payloads_are_those_that_charon_named() {
    assert!(session().len() >= 10);
    for recorded in session() {
        let read: Vec<_> = recorded.payloads().iter().map(abbreviation).collect();
        assert_eq!(read, recorded.names(), "{}", recorded.title);
    }
}

#[test]
fn what_charon_wrote_is_written_again_to_the_bit() {
    for recorded in session() {
        let payloads = recorded.payloads();
        let again = if recorded.title.starts_with("IKE_SA_INIT") {
            let header = Message::parse(&recorded.bytes).unwrap().header;
            assert_eq!(header.exchange, ExchangeType::IkeSaInit);
            assert_eq!(header.flags.initiator, !header.flags.response);
            payloads.iter().fold(MessageWriter::new(header), MessageWriter::payload).finish().unwrap()
        } else {
            payloads.iter().fold(ChainWriter::new(), ChainWriter::payload).finish().unwrap().bytes
        };
        assert_eq!(again, recorded.bytes, "{}", recorded.title);
    }
}

#[test]
fn the_proposals_are_those_of_its_configuration() {
    let recorded = of("IKE_SA_INIT request");
    let payloads = recorded.payloads();
    let Payload::SecurityAssociation(list) = &payloads[0] else { panic!("{payloads:?}") };
    let proposals: Vec<_> = list.proposals().collect();
    // aes128gcm16-prfsha256-x25519
    let encryption = Transform::new(TransformType::Encryption, 20).with_key_length(128);
    let prf = Transform::new(TransformType::Prf, 5);
    let x25519 = Transform::new(TransformType::KeyExchange, 31);
    assert_eq!(proposals[0].transforms, [encryption, prf, x25519]);
    assert_eq!((proposals[0].number, proposals[0].protocol), (1, ProtocolId::Ike));
    // aes256-sha256-modp2048
    assert_eq!(proposals[1].transforms.len(), 4);
    assert_eq!(proposals[1].of_type(TransformType::Integrity).next().unwrap().id, 12);
    let Payload::KeyExchange(exchange) = payloads[1] else { panic!("{payloads:?}") };
    assert_eq!((exchange.group, exchange.public.len()), (31, 32));
}

#[test]
fn identities_and_selectors_are_those_of_its_configuration() {
    let recorded = of("IKE_AUTH request");
    let payloads = recorded.payloads();
    let Payload::IdInitiator(id) = payloads[0] else { panic!("{payloads:?}") };
    assert_eq!((id.kind, id.data), (IdType::Fqdn, b"a.example".as_slice()));
    let Payload::TrafficSelectorsResponder(selectors) = &payloads[7] else { panic!("{payloads:?}") };
    let read: Vec<_> = selectors
        .selectors()
        .map(|ts| format!("{} {}-{} {}-{}", ts.protocol, ts.first_port, ts.last_port, ts.first, ts.last))
        .collect();
    let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    assert_eq!(read, ["6 80-80 0.0.0.0-255.255.255.255".to_owned(), format!("0 0-65535 ::-{all}")]);
}

#[test]
fn trap_18_a_rekey_names_the_child_that_a_delete_then_names() {
    let (rekey, delete) = (of("CREATE_CHILD_SA request"), of("INFORMATIONAL request"));
    let payloads = rekey.payloads();
    let Payload::Notify(notify) = &payloads[0] else { panic!("{payloads:?}") };
    assert_eq!((notify.kind, notify.protocol), (NotifyType::RekeySa, ProtocolId::Esp));
    let SaSpi::Child(old) = notify.spi else { panic!("{notify:?}") };
    let payloads = delete.payloads();
    let Payload::Delete(delete) = &payloads[0] else { panic!("{payloads:?}") };
    assert_eq!(delete.child_spis().collect::<Vec<_>>(), [old]);
}
