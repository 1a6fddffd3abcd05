//! What the engine tells of its messages.

use twinmesh_ike::trace::{Discarded, Trace, Traced, Tracing};
use twinmesh_ike::wire::ExchangeType;
use twinmesh_ike::{Command, EngineConfig};

use crate::pair::{Datagram, Pair, connection, flip, left_address, psk, right_address};

const MESSAGES: Tracing = Tracing { messages: true, keys: false };

fn traced(tracing: Tracing) -> Pair {
    let mut pair = Pair::new(connection());
    pair.left.engine.set_tracing(tracing);
    pair.right.engine.set_tracing(tracing);
    pair
}

/// In one word each.
fn told(traces: &[Trace]) -> Vec<String> {
    let word = |trace: &Trace| match &trace.what {
        Traced::Sent(message) => format!("sent {} {}", message.header.exchange, message.header.message_id),
        Traced::Received(message) => {
            format!("received {} {}", message.header.exchange, message.header.message_id)
        }
        Traced::Retransmitted(header) => format!("again {}", header.exchange),
        Traced::AnsweredAgain(header) => format!("answered again {}", header.exchange),
        Traced::Fragment { number, total, .. } => format!("fragment {number}/{total}"),
        Traced::Dropped { reason, .. } => format!("dropped: {reason}"),
        Traced::Keys(_) => "keys".to_owned(),
    };
    traces.iter().map(word).collect()
}

#[test]
fn without_tracing_nothing_is_told() {
    let pair = Pair::established(connection());
    assert!(pair.left.traces.is_empty() && pair.right.traces.is_empty());
}

#[test]
fn a_handshake_is_told_from_both_ends_with_its_connection() {
    let mut pair = traced(MESSAGES);
    pair.initiate();
    pair.run_secs(1);
    let left = ["sent IKE_SA_INIT 0", "received IKE_SA_INIT 0", "sent IKE_AUTH 1", "received IKE_AUTH 1"];
    assert_eq!(told(&pair.left.traces), left);
    let right = ["received IKE_SA_INIT 0", "sent IKE_SA_INIT 0", "received IKE_AUTH 1", "sent IKE_AUTH 1"];
    assert_eq!(told(&pair.right.traces), right);
    assert!(pair.left.traces.iter().all(|trace| trace.connection.as_deref() == Some("site")));
    let known: Vec<bool> = pair.right.traces.iter().map(|trace| trace.connection.is_some()).collect();
    assert_eq!(known, [false, false, true, true], "who asks is known from IKE_AUTH on");
    for node in [&pair.left, &pair.right] {
        assert!(node.traces.iter().all(|trace| trace.ike_sa == Some(node.ike[0])));
    }
}

#[test]
fn repetitions_are_told_as_such() {
    let mut pair = traced(MESSAGES);
    pair.initiate();
    pair.run_secs(1);
    pair.left.traces.clear();
    pair.right.traces.clear();
    // The answer gets lost.
    let delete = Command::TerminateConnection { connection: "site".into() };
    pair.left_does(delete);
    pair.link.loss = 100;
    pair.run_secs(3);
    pair.link.loss = 0;
    pair.run_secs(5);
    let left = told(&pair.left.traces);
    assert_eq!(left, ["sent INFORMATIONAL 2", "again INFORMATIONAL", "received INFORMATIONAL 2"]);
    let right = told(&pair.right.traces);
    assert_eq!(right, ["received INFORMATIONAL 2", "sent INFORMATIONAL 2", "answered again INFORMATIONAL"]);
}

#[test]
fn what_is_dropped_is_told_with_its_reason() {
    let mut pair = traced(MESSAGES);
    pair.initiate();
    pair.run_secs(1);
    let request = pair.wire[2].clone();
    let reason = |pair: &mut Pair, bytes: Vec<u8>| {
        pair.right.traces.clear();
        pair.inject(Datagram { from: left_address(), to: right_address(), bytes });
        pair.run_secs(1);
        match pair.right.traces.pop().map(|trace| trace.what) {
            Some(Traced::Dropped { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let changed = |at: usize, byte: u8| {
        let mut bytes = request.bytes.clone();
        bytes[at] = byte;
        bytes
    };
    assert!(matches!(reason(&mut pair, b"garbage".to_vec()), Discarded::Malformed(_)));
    assert!(matches!(reason(&mut pair, changed(8, !request.bytes[8])), Discarded::UnknownSpi(_)));
    assert_eq!(reason(&mut pair, changed(0, !request.bytes[0])), Discarded::OtherSpi);
    let mut swapped = changed(19, 0x00);
    swapped[..16].rotate_left(8);
    assert_eq!(reason(&mut pair, swapped), Discarded::Reflected);
    assert_eq!(reason(&mut pair, changed(19, 0x28)), Discarded::NotAwaited);
    assert_eq!(reason(&mut pair, changed(23, 9)), Discarded::OutsideWindow);
    assert_eq!(reason(&mut pair, changed(23, 2)), Discarded::Forged);
    assert_eq!(reason(&mut pair, changed(40, !request.bytes[40])), Discarded::Repetition);
}

#[test]
fn fragments_are_told_one_by_one_and_their_message_once() {
    let config = EngineConfig { fragment_size: 250, ..EngineConfig::default() };
    let mut pair = Pair::of(connection(), flip(&connection()), config, 1);
    pair.right.engine.set_tracing(MESSAGES);
    pair.initiate();
    pair.run_secs(1);
    let right = told(&pair.right.traces);
    assert_eq!(right[2..], ["fragment 1/2", "received IKE_AUTH 1", "sent IKE_AUTH 1"]);
}

#[test]
fn keys_are_told_only_if_asked_for_and_once_for_each_ike_sa() {
    let keys = Tracing { messages: false, keys: true };
    let mut pair = traced(keys);
    pair.initiate();
    pair.run_secs(1);
    let ike_sa = pair.left_ike();
    pair.left_does(Command::RekeyIke { ike_sa });
    pair.run_secs(170);
    for node in [&mut pair.left, &mut pair.right] {
        assert_eq!(told(&node.traces), ["keys", "keys"]);
        let now = node.engine.keys();
        assert_eq!(told(&now), ["keys"], "the old IKE SA is gone");
        assert_eq!(now[0].connection.as_deref(), Some("site"));
        assert!(!format!("{now:?}").contains("[1") && !format!("{now:?}").contains("encryption"));
    }
    let (Traced::Keys(left), Traced::Keys(right)) = (&pair.left.traces[0].what, &pair.right.traces[0].what)
    else {
        panic!("keys");
    };
    assert_eq!((&left.encryption, &left.integrity), (&right.encryption, &right.integrity));
    // Who asks later gets those of today by `keys`, and others as they come.
    pair.left.engine.set_tracing(Tracing::default());
    pair.left.engine.set_tracing(keys);
    pair.left.traces.clear();
    let ike_sa = pair.left_ike();
    pair.left_does(Command::CheckLiveness { ike_sa });
    pair.run_secs(1);
    assert!(pair.left.traces.is_empty());
}

#[test]
fn a_failed_attempt_is_told_to_its_end() {
    let mut right = flip(&connection());
    right.credentials = psk("another secret of some length");
    let mut pair = Pair::of(connection(), right, EngineConfig::default(), 1);
    pair.left.engine.set_tracing(MESSAGES);
    pair.initiate();
    pair.run_secs(1);
    let last = pair.left.traces.last().unwrap();
    assert_eq!(last.connection.as_deref(), Some("site"));
    let Traced::Received(message) = &last.what else { panic!("{last:?}") };
    assert_eq!(message.header.exchange, ExchangeType::IkeAuth);
}

/// Every message of a node's trace, a line for each payload.
fn shown(traces: &[Trace]) -> Vec<String> {
    let mut lines = Vec::new();
    for Trace { local, remote, what, .. } in traces {
        let (Traced::Sent(message) | Traced::Received(message)) = what else { panic!("{what:?}") };
        let sent = matches!(what, Traced::Sent(_));
        let ends = if sent { (*local, *remote) } else { (*remote, *local) };
        lines.push(message.header.exchange.to_string());
        for payload in message.describe(ends.0, ends.1) {
            lines.push(format!("{} {}", payload.name, payload.text).trim().to_owned());
            lines.extend(payload.details);
        }
    }
    lines
}

#[test]
fn a_whole_handshake_is_decoded() {
    let mut pair = traced(MESSAGES);
    pair.initiate();
    pair.run_secs(1);
    let [inbound, outbound] =
        pair.left.esp.values().next().map(|esp| [esp.inbound.0, esp.outbound.0]).unwrap();
    let expected = format!(
        "IKE_SA_INIT
SA 1 IKE aes128gcm16-prfsha256-x25519
KE x25519, 32 bytes
Ni 32 bytes
N(NAT_DETECTION_SOURCE_IP) 192.0.2.1:500, as this datagram has it: no NAT before the sender
N(NAT_DETECTION_DESTINATION_IP) 198.51.100.1:500, as this datagram has it: no NAT before the receiver
N(IKEV2_FRAGMENTATION_SUPPORTED)
N(SIGNATURE_HASH_ALGORITHMS) SHA2-256, SHA2-384, SHA2-512, Identity
IKE_SA_INIT
SA 1 IKE aes128gcm16-prfsha256-x25519
KE x25519, 32 bytes
Nr 32 bytes
N(NAT_DETECTION_SOURCE_IP) 198.51.100.1:500, as this datagram has it: no NAT before the sender
N(NAT_DETECTION_DESTINATION_IP) 192.0.2.1:500, as this datagram has it: no NAT before the receiver
N(IKEV2_FRAGMENTATION_SUPPORTED)
N(SIGNATURE_HASH_ALGORITHMS) SHA2-256, SHA2-384, SHA2-512, Identity
N(CHILDLESS_IKEV2_SUPPORTED)
IKE_AUTH
IDi ID_FQDN left.example.org
N(INITIAL_CONTACT)
IDr ID_FQDN right.example.org
AUTH Shared Key Message Integrity Code, 32 bytes
SA 1 ESP aes128gcm16, SPI {inbound:08x}
TSi 10.1.1.0/24
TSr 10.2.1.0/24
IKE_AUTH
IDr ID_FQDN right.example.org
AUTH Shared Key Message Integrity Code, 32 bytes
SA 1 ESP aes128gcm16, SPI {outbound:08x}
TSi 10.1.1.0/24
TSr 10.2.1.0/24"
    );
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(shown(&pair.left.traces), expected);
    let right = shown(&pair.right.traces);
    assert_eq!(right, expected, "both ends tell the same");
}
