//! Traps and lessons of IPSEC.md that only a peer with the right keys can set: a scripted responder does.

use twinmesh_ike::wire::{
    ChainWriter, ExchangeType, Notify, NotifyType, Payload, ProtocolId, SaSpi, TrafficSelector,
    TrafficSelectors,
};
use twinmesh_ike::{Command, IkeError, OutboundStart};

use crate::pair::{connection, voice};
use crate::scripted::{Asked, Scripted, notify, proposal};

fn create(child: &str) -> Command {
    Command::CreateChild { connection: "site".into(), child: child.into(), trigger: None }
}

fn side(site: u8, first: u8, last: u8) -> TrafficSelectors<'static> {
    let selector = TrafficSelector {
        protocol: 0,
        first_port: 0,
        last_port: u16::MAX,
        first: [10, site, 1, first].into(),
        last: [10, site, 1, last].into(),
    };
    TrafficSelectors::new(&[selector]).unwrap()
}

/// The responder's wish for a child, with a notify in front.
fn wish(notify: Notify<'_>, spi: u32) -> twinmesh_ike::wire::Chain {
    ChainWriter::new()
        .payload(&Payload::Notify(notify))
        .payload(&Payload::SecurityAssociation(proposal(spi)))
        .payload(&Payload::Nonce(&[6; 32]))
        .payload(&Payload::TrafficSelectorsInitiator(side(2, 0, 255)))
        .payload(&Payload::TrafficSelectorsResponder(side(1, 0, 255)))
        .finish()
        .unwrap()
}

fn told(answer: &Asked, kind: NotifyType) -> bool {
    answer.payloads().iter().any(|it| matches!(it, Payload::Notify(notify) if notify.kind == kind))
}

#[test]
fn trap_5_a_rekeyed_child_can_receive_before_the_peer_is_answered() {
    let mut scripted = Scripted::established(connection());
    scripted.log.clear();
    let rekey = wish(Notify::child(ProtocolId::Esp, 0x1000, NotifyType::RekeySa), 0x1001);
    scripted.ask(ExchangeType::CreateChildSa, &rekey).expect("an answer");
    assert_eq!(scripted.log, ["child", "message"]);
    let new = &scripted.children[1];
    assert_eq!((new.spis.outbound, new.rekeyed), (0x1001, Some(scripted.children[0].child_sa)));
    // What goes out takes the old one until the peer has shown that it has the new one (trap 29).
    assert_eq!(new.outbound, OutboundStart::AfterPeer);
    assert_eq!(scripted.deleted_children, 0);
}

#[test]
fn trap_29_a_rekey_asks_for_the_narrowed_selectors() {
    let mut scripted = Scripted::new(connection());
    scripted.answer_init();
    let asked = scripted.asked();
    assert_eq!(asked.selectors(), "10.1.1.0-10.1.1.255[0] === 10.2.1.0-10.2.1.255[0]");
    scripted.answer_auth(&asked, |_, answer| {
        answer.push(&Payload::SecurityAssociation(proposal(0x1000)));
        answer.push(&Payload::TrafficSelectorsInitiator(side(1, 0, 63)));
        answer.push(&Payload::TrafficSelectorsResponder(side(2, 64, 127)));
    });
    let child_sa = scripted.children[0].child_sa;
    scripted.does(Command::RekeyChild { child_sa });
    let asked = scripted.asked();
    assert_eq!(asked.selectors(), "10.1.1.0-10.1.1.63[0] === 10.2.1.64-10.2.1.127[0]");
}

#[test]
fn trap_17_an_unknown_error_in_an_answer_is_a_failure_and_an_unknown_status_is_none() {
    let mut scripted = Scripted::new(connection());
    scripted.answer_init();
    let asked = scripted.asked();
    scripted.answer_auth(&asked, |asked, answer| {
        answer.push(&Payload::Notify(Notify::new(NotifyType::Other(40_959), &[1])));
        asked.accept(0x1000, answer);
    });
    assert_eq!((scripted.established, scripted.children.len(), scripted.failures.len()), (1, 1, 0));

    let child_sa = scripted.children[0].child_sa;
    scripted.does(Command::RekeyChild { child_sa });
    let asked = scripted.asked();
    scripted.answer(&asked, ExchangeType::CreateChildSa, &notify(NotifyType::Other(8191)));
    assert!(matches!(
        scripted.failures[..],
        [ref one] if matches!(one.error, IkeError::Refused { notify: NotifyType::Other(8191), .. })
    ));
    assert_eq!(scripted.deleted_children, 0, "the child in use stays");
}

#[test]
fn trap_18_a_delete_names_the_senders_spi_and_unknown_ones_are_ignored() {
    let mut scripted = Scripted::established(connection());
    let own = scripted.children[0].spis.inbound;
    for foreign in [0xdead_beef, own] {
        let answer = scripted.delete(&[foreign]).expect("an answer");
        assert!(answer.payloads().is_empty());
    }
    assert_eq!(scripted.deleted_children, 0);
    let answer = scripted.delete(&[0x1000]).expect("an answer");
    let [Payload::Delete(delete)] = &answer.payloads()[..] else { panic!("no DELETE in the answer") };
    assert_eq!(delete.child_spis().collect::<Vec<_>>(), [own]);
    assert_eq!(scripted.deleted_children, 1);
}

#[test]
fn trap_31_a_child_deleted_before_its_making_is_answered_is_gone() {
    let mut left = connection();
    left.children.push(voice());
    let mut scripted = Scripted::new(left);
    scripted.answer_init();
    let asked = scripted.asked();
    scripted.answer_auth(&asked, |asked, answer| asked.accept(0x1000, answer));
    let asked = scripted.asked();
    scripted.delete(&[0x2000]).expect("an answer");
    let mut answer = ChainWriter::new();
    asked.accept(0x2000, &mut answer);
    scripted.answer(&asked, ExchangeType::CreateChildSa, &answer.finish().unwrap());
    assert_eq!((scripted.children.len(), scripted.deleted_children), (2, 1));
    scripted.does(create("voice"));
    assert_eq!(scripted.asked().header.exchange, ExchangeType::CreateChildSa, "it may be asked for again");
}

/// CVE-2021-45079.
#[test]
fn a_success_of_eap_is_no_authentication() {
    let mut scripted = Scripted::new(connection());
    scripted.answer_init();
    let asked = scripted.asked();
    let id = twinmesh_ike::wire::Identification::new(twinmesh_ike::wire::IdType::Fqdn, b"right.example.org");
    let success = ChainWriter::new()
        .payload(&Payload::IdResponder(id))
        .payload(&Payload::Eap(&[3, 1, 0, 4]))
        .finish()
        .unwrap();
    scripted.answer(&asked, ExchangeType::IkeAuth, &success);
    assert_eq!((scripted.established, scripted.children.len()), (0, 0));
    let missing = IkeError::Missing { exchange: ExchangeType::IkeAuth, payload: "AUTH" };
    assert!(matches!(scripted.failures[..], [ref one] if one.error == missing));
}

/// CVE-2023-38710.
#[test]
fn a_rekey_of_a_bad_protocol_or_of_no_spi_is_refused() {
    let mut scripted = Scripted::established(connection());
    let plain = Notify::new(NotifyType::RekeySa, &[]);
    let ike = Notify {
        protocol: ProtocolId::Ike,
        spi: SaSpi::Ike(twinmesh_ike::wire::IkeSpi([1; 8])),
        ..plain.clone()
    };
    for bad in [plain, ike] {
        let answer = scripted.ask(ExchangeType::CreateChildSa, &wish(bad, 0x1001)).expect("an answer");
        assert!(told(&answer, NotifyType::InvalidSyntax));
    }
    let unknown = Notify::child(ProtocolId::Esp, 0x7777, NotifyType::RekeySa);
    let answer = scripted.ask(ExchangeType::CreateChildSa, &wish(unknown, 0x1001)).expect("an answer");
    assert!(told(&answer, NotifyType::ChildSaNotFound));
    assert_eq!((scripted.children.len(), scripted.deleted_children), (1, 0));
}
