//! Frames of the control channel under round trips, truncation, garbage and a newer peer.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use twinmesh_control::{
    Ack, CoordinatorMessage, Endpoint, EndpointKind, Enrol, FailedProtocol, FailureCode, Fingerprint,
    FrameError, FrameReader, Generation, Hello, IdentityKey, JoinToken, MAX_NODE_FRAME, MapDelta,
    NatBehaviour, NatClass, NatFiltering, NatReport, Network, NetworkMap, NodeId, NodeMessage, OwnNode,
    PathKind, PathReport, Peer, PeerKind, Preference, Protocol, Reason, Refusal, RelayAccess, RelayPassword,
    Relays, Report, Revision, TunnelReport, WireguardKey, decode, encode,
};

fn key() -> impl Strategy<Value = WireguardKey> {
    any::<[u8; 32]>().prop_map(WireguardKey)
}

/// Without scope and flow label: they mean something on one host only and do not travel.
fn socket_address() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (socket_address(), "host|reflexive|mapped|configured|relayed|telepathic")
        .prop_map(|(address, kind)| Endpoint { address, kind: EndpointKind::from(kind) })
}

fn peer() -> impl Strategy<Value = Peer> {
    let identity = option::of(any::<[u8; 32]>().prop_map(IdentityKey));
    let choice = ("wireguard|esp|none|carrier-pigeon", any::<bool>(), vec("[a-z-]{1,12}", 0..3));
    let places = (vec(any::<IpAddr>(), 0..3), vec(endpoint(), 0..4));
    (any::<u64>(), "[a-z]{1,12}", key(), identity, choice, places).prop_map(
        |(id, name, wireguard_key, identity, (protocol, compliance, codes), (addresses, endpoints))| Peer {
            id: NodeId(id),
            name,
            kind: PeerKind::Agent,
            wireguard_key,
            identity,
            protocol: Protocol::from(protocol),
            compliance,
            reasons: codes
                .into_iter()
                .map(|code| Reason { code: code.into(), text: "so it is".to_owned() })
                .collect(),
            allowed_ips: addresses.iter().copied().map(Into::into).collect(),
            generation: Generation(id),
            addresses,
            endpoints,
            nat: nat(id),
            tags: vec!["web".to_owned()],
        },
    )
}

fn preference() -> impl Strategy<Value = Preference> {
    "auto|wireguard|esp|carrier-pigeon".prop_map(Preference::from)
}

fn features() -> impl Strategy<Value = BTreeSet<String>> {
    btree_set("[a-z]{1,8}", 0..3)
}

fn nat(number: u64) -> NatReport {
    let behaviour = NatBehaviour {
        class: NatClass::from(
            if number.is_multiple_of(2) { "udp-blocked" } else { "of-tomorrow" }.to_owned(),
        ),
        filtering: number.is_multiple_of(3).then_some(NatFiltering::AddressDependent),
        hairpin: number.is_multiple_of(5).then_some(true),
    };
    NatReport { ipv4: (!number.is_multiple_of(7)).then_some(behaviour), ipv6: None }
}

fn node_message() -> impl Strategy<Value = NodeMessage> {
    let hello = (any::<u16>(), features(), preference(), key(), option::of(any::<u64>())).prop_map(
        |(protocol, features, preference, wireguard_key, revision)| {
            NodeMessage::Hello(Hello {
                protocol,
                version: "1.2.3".to_owned(),
                features,
                preference,
                wireguard_key,
                revision: revision.map(Revision),
            })
        },
    );
    let enrol = (any::<u16>(), features(), preference(), "[a-z]{1,20}", key()).prop_map(
        |(protocol, features, preference, hostname, wireguard_key)| {
            let token = JoinToken::generate(Fingerprint([1; 32])).unwrap().secret;
            NodeMessage::Enrol(Enrol {
                protocol,
                version: "1.2.3".to_owned(),
                features,
                preference,
                token,
                hostname,
                wireguard_key,
            })
        },
    );
    let report = (vec(endpoint(), 0..5), any::<u64>(), option::of(socket_address())).prop_map(
        |(endpoints, number, endpoint)| {
            let failed = FailedProtocol {
                protocol: Protocol::Wireguard,
                generation: Generation(number),
                code: FailureCode::from(
                    if number.is_multiple_of(2) { "no-handshake" } else { "of-tomorrow" }.to_owned(),
                ),
                text: "192.0.2.1 does not answer".to_owned(),
            };
            let path = endpoint.map(|remote| PathReport {
                relayed: number.is_multiple_of(2),
                remote,
                kind: PathKind::PeerReflexive,
                rtt_us: number.is_multiple_of(3).then_some(number),
                mtu: number.is_multiple_of(5).then_some(1280),
            });
            let tunnel = TunnelReport {
                peer: NodeId(number),
                protocol: Protocol::Esp,
                generation: Generation(number),
                endpoint,
                path,
                failed: number.is_multiple_of(3).then_some(failed).into_iter().collect(),
                handshake_age: Some(number),
                received: number,
                sent: 0,
            };
            let nat = nat(number);
            NodeMessage::Report(Report { endpoints, tunnels: vec![tunnel], nat })
        },
    );
    let ack = any::<u64>().prop_map(|revision| NodeMessage::Ack(Ack { revision: Revision(revision) }));
    prop_oneof![hello, enrol, report, ack]
}

fn coordinator_message() -> impl Strategy<Value = CoordinatorMessage> {
    let snapshot = (any::<u64>(), vec(peer(), 0..5)).prop_map(|(revision, peers)| {
        CoordinatorMessage::Snapshot(NetworkMap {
            revision: Revision(revision),
            network: Network {
                name: "default".to_owned(),
                ipv4: "100.64.0.0/10".parse().unwrap(),
                ipv6: "fd00:1:2::/48".parse().unwrap(),
            },
            own: OwnNode { id: NodeId(1), name: "own".to_owned(), addresses: vec![], tags: vec![] },
            peers: peers.into_iter().map(|peer| (peer.id, peer)).collect::<BTreeMap<_, _>>(),
        })
    });
    let delta = (any::<u64>(), any::<u64>(), vec(peer(), 0..3), vec(any::<u64>(), 0..3)).prop_map(
        |(from, to, changed, removed)| {
            CoordinatorMessage::Delta(MapDelta {
                from: Revision(from),
                to: Revision(to),
                own: None,
                changed,
                removed: removed.into_iter().map(NodeId).collect(),
            })
        },
    );
    let refused = "[a-z-]{1,20}".prop_map(|code| {
        CoordinatorMessage::Refused(Refusal { code: code.into(), message: "no".to_owned() })
    });
    let key = option::of(any::<[u8; 32]>().prop_map(Fingerprint));
    let relays = (socket_address(), "udp|tls|carrier-pigeon", key, "[0-9:.,]{1,40}", any::<u64>()).prop_map(
        |(address, transport, fingerprint, username, valid_for)| {
            let (transport, password) = (transport.into(), RelayPassword("c2VjcmV0".to_owned()));
            let relay = RelayAccess { address, transport, fingerprint, username, password, valid_for };
            CoordinatorMessage::Relays(Relays { relays: vec![relay] })
        },
    );
    prop_oneof![snapshot, delta, refused, relays]
}

proptest! {
    #[test]
    fn a_nodes_messages_arrive_as_sent_in_pieces_of_any_size(
        messages in vec(node_message(), 1..5), piece in 1_usize..200,
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(encode).collect();
        let mut reader = FrameReader::default();
        let mut arrived = Vec::new();
        for bytes in stream.chunks(piece) {
            reader.push(bytes);
            while let Some(message) = reader.next_message::<NodeMessage>().unwrap() {
                arrived.push(message);
            }
        }
        prop_assert_eq!(arrived, messages);
    }

    #[test]
    fn a_coordinators_messages_arrive_as_sent(message in coordinator_message()) {
        prop_assert_eq!(decode::<CoordinatorMessage>(&encode(&message)[4..]).unwrap(), message);
    }

    #[test]
    fn a_frame_cut_short_or_drawn_out_is_refused(message in node_message(), cut in any::<prop::sample::Index>()) {
        let frame = encode(&message).split_off(4);
        prop_assert!(decode::<NodeMessage>(&frame[..cut.index(frame.len())]).is_err());
        let longer = [frame.as_slice(), &[0]].concat();
        prop_assert!(decode::<NodeMessage>(&longer).is_err());
    }

    #[test]
    fn garbage_is_an_error_or_a_message_never_a_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = decode::<NodeMessage>(&bytes);
        let _ = decode::<CoordinatorMessage>(&bytes);
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        while let Ok(Some(_)) = reader.next_message::<NodeMessage>() {}
    }

    #[test]
    fn a_flipped_byte_is_an_error_or_a_message_never_a_panic(
        message in coordinator_message(), place in any::<prop::sample::Index>(), bits in 1_u8..,
    ) {
        let mut frame = encode(&message).split_off(4);
        let place = place.index(frame.len());
        frame[place] ^= bits;
        let _ = decode::<CoordinatorMessage>(&frame);
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_bytes_arrive() {
    let mut reader = FrameReader::default();
    reader.push(&u32::MAX.to_be_bytes());
    let error = reader.next_message::<NodeMessage>().unwrap_err();
    assert_eq!(error, FrameError::TooLong { length: u32::MAX as usize, limit: MAX_NODE_FRAME });
}

#[test]
fn a_stream_that_ends_within_a_message_is_seen_to() {
    let frame = encode(&NodeMessage::Ack(Ack { revision: Revision(7) }));
    for cut in 1..frame.len() {
        let mut reader = FrameReader::default();
        reader.push(&frame[..cut]);
        assert_eq!(reader.next_message::<NodeMessage>(), Ok(None));
        assert!(reader.is_mid_message(), "{cut}");
        reader.push(&frame[cut..]);
        assert!(reader.next_message::<NodeMessage>().unwrap().is_some());
        assert!(!reader.is_mid_message(), "{cut}");
    }
}

fn frame(kind: &str, body: &ciborium::Value) -> Vec<u8> {
    let mut inner = Vec::new();
    ciborium::into_writer(body, &mut inner).unwrap();
    let mut outer = Vec::new();
    ciborium::into_writer(&(kind, serde_bytes::Bytes::new(&inner)), &mut outer).unwrap();
    outer
}

#[test]
fn a_message_of_the_future_is_named_and_skipped() {
    let body = ciborium::Value::Array(vec![1.into(), 2.into()]);
    let message = decode::<NodeMessage>(&frame("teleport", &body)).unwrap();
    assert_eq!(message, NodeMessage::Unknown("teleport".to_owned()));
}

#[test]
fn a_field_of_the_future_is_ignored() {
    let body = ciborium::Value::Map(vec![
        ("colour".into(), ciborium::Value::Map(vec![("red".into(), 1.into())])),
        ("revision".into(), 7.into()),
    ]);
    let message = decode::<NodeMessage>(&frame("ack", &body)).unwrap();
    assert_eq!(message, NodeMessage::Ack(Ack { revision: Revision(7) }));
}

/// What a program says that knows nothing of a choice of protocols.
fn map_of(fields: &[(&str, ciborium::Value)]) -> ciborium::Value {
    ciborium::Value::Map(fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

#[test]
fn an_older_node_wishes_for_nothing_and_an_older_coordinator_means_wireguard() {
    let key = ciborium::Value::Bytes(vec![7; 32]);
    let hello =
        map_of(&[("protocol", 1.into()), ("version", "0.1.0".into()), ("wireguard_key", key.clone())]);
    let Ok(NodeMessage::Hello(hello)) = decode(&frame("hello", &hello)) else { panic!("no hello") };
    assert_eq!((hello.preference, hello.features), (Preference::Auto, BTreeSet::new()));

    let nothing = ciborium::Value::Array(vec![]);
    let peer = map_of(&[
        ("id", 2.into()),
        ("name", "beta".into()),
        ("kind", "agent".into()),
        ("wireguard_key", key),
        ("addresses", nothing.clone()),
        ("allowed_ips", nothing),
    ]);
    let delta =
        map_of(&[("from", 1.into()), ("to", 2.into()), ("changed", ciborium::Value::Array(vec![peer]))]);
    let Ok(CoordinatorMessage::Delta(delta)) = decode(&frame("delta", &delta)) else { panic!("no delta") };
    let peer = &delta.changed[0];
    assert_eq!((&peer.identity, &peer.protocol, peer.reasons.len()), (&None, &Protocol::Wireguard, 0));
    assert_eq!((peer.generation, &peer.nat), (Generation(0), &NatReport::default()));

    let tunnel = map_of(&[
        ("peer", 2.into()),
        ("endpoint", ciborium::Value::Null),
        ("handshake_age", ciborium::Value::Null),
        ("received", 0.into()),
        ("sent", 0.into()),
    ]);
    let report = map_of(&[
        ("endpoints", ciborium::Value::Array(vec![])),
        ("tunnels", ciborium::Value::Array(vec![tunnel])),
    ]);
    let Ok(NodeMessage::Report(report)) = decode(&frame("report", &report)) else { panic!("no report") };
    let tunnel = &report.tunnels[0];
    assert_eq!((tunnel.generation, &tunnel.path, tunnel.failed.len()), (Generation(0), &None, 0));
}

#[test]
fn a_report_of_a_thousand_tunnels_with_all_there_is_to_say_fits_a_frame() {
    let failed = |protocol| FailedProtocol {
        protocol,
        generation: Generation(u64::MAX),
        code: FailureCode::NotUpInTime,
        text: "x".repeat(200),
    };
    let remote = SocketAddr::from(([0xffff; 8], 65_535));
    let tunnel = TunnelReport {
        peer: NodeId(u64::MAX),
        protocol: Protocol::Wireguard,
        generation: Generation(u64::MAX),
        endpoint: Some(remote),
        path: Some(PathReport {
            relayed: true,
            remote,
            kind: PathKind::PeerReflexive,
            rtt_us: Some(u64::MAX),
            mtu: Some(u16::MAX),
        }),
        failed: vec![failed(Protocol::Wireguard), failed(Protocol::Esp)],
        handshake_age: Some(u64::MAX),
        received: u64::MAX,
        sent: u64::MAX,
    };
    let report = Report { tunnels: vec![tunnel; 1000], ..Report::default() };
    let mut reader = FrameReader::default();
    reader.push(&encode(&NodeMessage::Report(report.clone())));
    assert_eq!(reader.next_message(), Ok(Some(NodeMessage::Report(report))));
}

#[test]
fn a_missing_field_is_named_with_its_message() {
    let error = decode::<NodeMessage>(&frame("ack", &ciborium::Value::Map(vec![]))).unwrap_err();
    assert!(error.to_string().contains("`ack`") && error.to_string().contains("revision"), "{error}");
}
