//! Traps of IPSEC.md that a well-behaved peer never sets: a scripted responder does.

use twinmesh_ike::wire::{ExchangeType, NotifyType};
use twinmesh_ike::{Command, IkeError};

use crate::pair::{connection, voice};
use crate::scripted::{Scripted, notify};

fn create(child: &str) -> Command {
    Command::CreateChild { connection: "site".into(), child: child.into(), trigger: None }
}

#[test]
fn an_answer_of_another_exchange_is_no_answer() {
    let mut left = connection();
    left.children.push(voice());
    let mut scripted = Scripted::new(left);
    scripted.answer_init();
    let asked = scripted.asked();
    scripted.answer(&asked, ExchangeType::Informational, &notify(NotifyType::AuthenticationFailed));
    assert!(scripted.failures.is_empty() && scripted.established == 0);
    // The true one still counts.
    scripted.answer_auth(&asked, |asked, answer| asked.accept(0x1000, answer));
    assert_eq!((scripted.established, scripted.children.len()), (1, 1));

    let asked = scripted.asked();
    assert_eq!(asked.header.exchange, ExchangeType::CreateChildSa);
    scripted.answer(&asked, ExchangeType::Informational, &notify(NotifyType::NoProposalChosen));
    assert!(scripted.failures.is_empty());
    scripted.wait(4);
    let again = scripted.asked();
    assert_eq!(again.header, asked.header, "the request is repeated");
    scripted.answer(&again, ExchangeType::CreateChildSa, &notify(NotifyType::NoProposalChosen));
    assert_eq!(scripted.failures.len(), 1);
}

#[test]
fn trap_9_single_pair_required_is_answered_by_narrower_requests() {
    let packet = |left: [u8; 4], right: [u8; 4]| {
        let side = |address: [u8; 4]| twinmesh_ike::config::TrafficSelector::host(address.into());
        (side(left).with_protocol(6, 40_000, 40_000), side(right).with_protocol(6, 443, 443))
    };
    let mut scripted = Scripted::established(connection());
    let spi = [0x1000];
    scripted.delete(&spi);

    // With a packet: for its pair of addresses.
    let trigger = Some(packet([10, 1, 1, 7], [10, 2, 1, 9]));
    scripted.does(Command::CreateChild { connection: "site".into(), child: "lan".into(), trigger });
    let asked = scripted.asked();
    let whole = "10.1.1.7-10.1.1.7[6] 10.1.1.0-10.1.1.255[0] === 10.2.1.9-10.2.1.9[6] 10.2.1.0-10.2.1.255[0]";
    assert_eq!(asked.selectors(), whole);
    scripted.answer(&asked, ExchangeType::CreateChildSa, &notify(NotifyType::SinglePairRequired));
    let asked = scripted.asked();
    assert_eq!(asked.selectors(), "10.1.1.7-10.1.1.7[0] === 10.2.1.9-10.2.1.9[0]");

    // Never again and again.
    scripted.answer(&asked, ExchangeType::CreateChildSa, &notify(NotifyType::SinglePairRequired));
    assert!(scripted.sent.is_empty());
    assert!(matches!(
        scripted.failures[..],
        [ref one] if matches!(one.error, IkeError::Refused { notify: NotifyType::SinglePairRequired, .. })
    ));
}

#[test]
fn trap_9_a_peer_that_takes_single_pairs_in_ike_auth_gets_them_after_it() {
    let mut left = connection();
    let more = voice().selectors;
    left.children[0].selectors.local.extend(more.local);
    let mut scripted = Scripted::new(left);
    scripted.answer_init();
    let asked = scripted.asked();
    let refusal = twinmesh_ike::wire::Notify::new(NotifyType::SinglePairRequired, &[]);
    scripted.answer_auth(&asked, |_, answer| answer.push(&twinmesh_ike::wire::Payload::Notify(refusal)));
    for (spi, local) in [(0x2000, "10.1.1.0-10.1.1.255[0]"), (0x2001, "10.1.9.0-10.1.9.255[0]")] {
        let asked = scripted.asked();
        assert_eq!(asked.selectors(), format!("{local} === 10.2.1.0-10.2.1.255[0]"));
        let mut answer = twinmesh_ike::wire::ChainWriter::new();
        asked.accept(spi, &mut answer);
        scripted.answer(&asked, ExchangeType::CreateChildSa, &answer.finish().unwrap());
    }
    assert!(scripted.failures.is_empty(), "{:?}", scripted.failures);
    assert_eq!(scripted.children.len(), 2);
    scripted.does(create("lan"));
    assert!(scripted.sent.is_empty(), "nothing is left to ask for");
}

#[test]
fn a_higher_major_version_is_told_ours_and_nothing_is_kept() {
    let mut scripted = Scripted::established(connection());
    let request = |version: u8, flags: u8, length: u8| {
        let mut bytes =
            [&[5; 8][..], &[0; 8], &[33, version, 34, flags, 0, 0, 0, 0, 0, 0, 0, length]].concat();
        bytes.resize(length.into(), 0);
        bytes
    };
    scripted.input(&request(0x30, 0x08, 60));
    let answer = scripted.sent.pop().expect("an answer");
    // The header comes back, as a response in our version, with N(INVALID_MAJOR_VERSION).
    let expected =
        [&[5; 8][..], &[0; 8], &[41, 0x20, 34, 0x20, 0, 0, 0, 0, 0, 0, 0, 37], &[0, 0, 0, 9, 0, 0, 0, 5, 2]];
    assert_eq!(answer, expected.concat());
    assert_eq!(scripted.engine.half_open(), 0);

    // Neither answers, nor IKEv1, nor what is shorter than our answer, nor what has no initiator's SPI.
    let nobodys = [vec![0; 8], request(0x30, 0x08, 60)[8..].to_vec()].concat();
    for silent in [request(0x30, 0x20, 60), request(0x10, 0x08, 60), request(0x30, 0x08, 36), nobodys] {
        scripted.input(&silent);
        assert!(scripted.sent.is_empty());
    }
}
