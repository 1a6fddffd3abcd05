//! Who is let in, and what the others are told.

use serde_json::json;
use stun_types::attribute::{AttributeType, RawAttribute, XorMappedAddress};
use stun_types::message::{BINDING, Message, MessageWrite as _, MessageWriteExt as _, MessageWriteVec};
use tokio::net::UdpSocket;
use twinmesh_control::{Fingerprint, JoinToken, RefusalCode};

use crate::support::{Hub, Node, until, within};

#[tokio::test]
async fn a_node_that_joins_gets_addresses_of_both_families_and_the_tokens_tags() {
    let hub = Hub::start().await;
    let token = hub.token(json!({ "tags": ["web", "berlin"] })).await;
    let node = Node::new(&hub, &token);
    let session = node.enrolled(&token, "Alpha").await;
    let map = session.map.as_ref().unwrap();
    assert_eq!(
        (map.own.name.as_str(), map.own.tags.as_slice()),
        ("alpha", ["berlin", "web"].map(Into::into).as_slice())
    );
    assert_eq!(map.network.ipv4.to_string(), "100.64.0.0/10");
    assert!(map.network.ipv6.to_string().starts_with("fd") && map.network.ipv6.prefix_len() == 48);
    assert_eq!(map.own.addresses[0].to_string(), "100.64.0.1");
    assert_eq!(map.own.addresses.len(), 2);
    assert!(map.peers.is_empty());

    let [seen] = <[_; 1]>::try_from(hub.nodes().await).unwrap();
    assert_eq!((&seen["name"], &seen["connected"]), (&json!("alpha"), &json!(true)));
    assert_eq!((&seen["version"], &seen["tags"]), (&json!("1.2.3"), &json!(["berlin", "web"])));
}

#[tokio::test]
async fn a_token_of_this_coordinator_that_it_never_made_is_unknown() {
    let hub = Hub::start().await;
    let fingerprint = hub.token(json!({})).await.fingerprint;
    let forged = JoinToken::generate(fingerprint).unwrap();
    assert_eq!(Node::new(&hub, &forged).refused(&forged, "alpha").await.code, RefusalCode::TokenUnknown);
    assert!(hub.nodes().await.is_empty());
}

#[tokio::test]
async fn a_token_for_one_node_lets_no_second_one_in() {
    let hub = Hub::start().await;
    let token = hub.token(json!({})).await;
    Node::new(&hub, &token).enrolled(&token, "alpha").await;
    assert_eq!(Node::new(&hub, &token).refused(&token, "beta").await.code, RefusalCode::TokenUsed);
    assert_eq!(hub.nodes().await.len(), 1);
    assert_eq!(hub.api.get("/api/v1/tokens").await.body["tokens"][0]["state"], "used");
}

#[tokio::test]
async fn many_nodes_at_once_with_a_token_for_one_are_one_node() {
    let hub = Hub::start().await;
    let token = hub.token(json!({})).await;
    let mut attempts = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (node, token) = (Node::new(&hub, &token), token.clone());
        attempts.spawn(async move {
            let mut session = node.connect().await;
            session.say(node.enrol(&token, &format!("node-{number}"))).await;
            matches!(session.hear().await, Some(twinmesh_control::CoordinatorMessage::Welcome(_)))
        });
    }
    let joined = attempts.join_all().await.into_iter().filter(|joined| *joined).count();
    assert_eq!((joined, hub.nodes().await.len()), (1, 1));
}

#[tokio::test]
async fn a_reusable_token_lets_many_in_and_a_name_that_is_taken_gets_a_number() {
    let hub = Hub::start().await;
    let token = hub.token(json!({ "reusable": true })).await;
    for name in ["web", "web-1", "web-2"] {
        let session = Node::new(&hub, &token).enrolled(&token, "WEB").await;
        assert_eq!(session.map.unwrap().own.name, name);
    }
    assert_eq!(hub.api.get("/api/v1/tokens").await.body["tokens"][0]["uses"], 3);
}

#[tokio::test]
async fn an_expired_token_is_called_so() {
    let hub = Hub::start().await;
    let token = hub.token(json!({ "expires_in_s": 1 })).await;
    until("the token to expire", async || {
        let tokens = hub.api.get("/api/v1/tokens").await;
        (tokens.body["tokens"][0]["state"] == "expired").then_some(())
    })
    .await;
    let refusal = Node::new(&hub, &token).refused(&token, "alpha").await;
    assert_eq!(refusal.code, RefusalCode::TokenExpired);
    assert!(refusal.message.contains("expired at 20"), "{}", refusal.message);
}

#[tokio::test]
async fn a_revoked_token_is_called_so_and_who_joined_before_stays() {
    let hub = Hub::start().await;
    let token = hub.token(json!({ "reusable": true })).await;
    let node = Node::new(&hub, &token);
    node.enrolled(&token, "alpha").await;
    assert_eq!(hub.api.delete("/api/v1/tokens/1").await.status, 204);
    assert_eq!(Node::new(&hub, &token).refused(&token, "beta").await.code, RefusalCode::TokenRevoked);
    node.back(None).await;
}

#[tokio::test]
async fn a_coordinator_of_another_key_is_not_spoken_to() {
    let hub = Hub::start().await;
    let token = hub.token(json!({})).await;
    let error = Node::new(&hub, &token).try_connect(Fingerprint([7; 32])).await.err().unwrap().to_string();
    assert!(error.contains("not the pinned") || error.contains(&token.fingerprint.to_string()), "{error}");
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again_and_uses_no_second_token() {
    let hub = Hub::start().await;
    let token = hub.token(json!({})).await;
    let node = Node::new(&hub, &token);
    let first = node.enrolled(&token, "alpha").await.id;
    assert_eq!(node.enrolled(&token, "alpha").await.id, first);
    assert_eq!(hub.nodes().await.len(), 1);
}

#[tokio::test]
async fn a_wireguard_key_belongs_to_one_node() {
    let hub = Hub::start().await;
    let (alpha, _session) = hub.joined("alpha").await;
    let token = hub.token(json!({})).await;
    let thief = Node::new(&hub, &token).with_key(alpha.key);
    assert_eq!(thief.refused(&token, "thief").await.code, RefusalCode::KeyTaken);
    // The refusal used nothing up.
    let honest = Node::new(&hub, &token);
    honest.enrolled(&token, "beta").await;

    let mut hello = honest.hello(None);
    hello.wireguard_key = alpha.key;
    let mut again = honest.connect().await;
    again.say(hello).await;
    assert_eq!(again.refusal().await.code, RefusalCode::KeyTaken);
}

#[tokio::test]
async fn a_host_name_that_is_no_label_and_a_protocol_of_the_future_are_refused_by_name() {
    let hub = Hub::start().await;
    let token = hub.token(json!({})).await;
    let node = Node::new(&hub, &token);
    let long = "a".repeat(64);
    for name in ["", "two words", "a.b", "-a", "\u{1b}[2J", &long] {
        assert_eq!(node.refused(&token, name).await.code, RefusalCode::HostnameInvalid, "{name}");
    }
    let mut session = node.connect().await;
    session.say(twinmesh_control::Enrol { protocol: 2, ..node.enrol(&token, "alpha") }).await;
    let refusal = session.refusal().await;
    assert_eq!(refusal.code, RefusalCode::ProtocolUnsupported);
    assert!(refusal.message.contains("version 2"), "{}", refusal.message);
    node.enrolled(&token, "alpha").await;
}

#[tokio::test]
async fn a_node_that_never_joined_is_told_so() {
    let hub = Hub::start().await;
    let token = hub.token(json!({})).await;
    let node = Node::new(&hub, &token);
    let mut session = node.connect().await;
    session.say(node.hello(None)).await;
    assert_eq!(session.refusal().await.code, RefusalCode::NodeUnknown);
    session.closed().await;
}

#[tokio::test]
async fn a_node_is_told_where_to_ask_for_the_address_that_others_see() {
    let hub = Hub::start().await;
    let (_alpha, alpha) = hub.joined("alpha").await;
    assert_eq!(alpha.stun_port, Some(hub.stun.port()));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let request = Message::builder_request(BINDING, MessageWriteVec::new()).finish();
    let mut buffer = [0; 1500];
    // What is no request is not answered: the first answer is the one to the request.
    socket.send_to(&[0xff; 20], hub.stun).await.unwrap();
    socket.send_to(&request, hub.stun).await.unwrap();
    let length = within("the answer", socket.recv(&mut buffer)).await.unwrap();
    let answer = Message::from_bytes(&buffer[..length]).unwrap();
    let mapped = answer.attribute::<XorMappedAddress>().unwrap();
    assert_eq!(mapped.addr(answer.transaction_id()), socket.local_addr().unwrap());
}

#[tokio::test]
async fn a_node_that_asks_for_it_is_answered_from_the_second_stun_port() {
    let hub = Hub::start().await;
    let (_alpha, alpha) = hub.joined("alpha").await;
    let other = std::net::SocketAddr::new(hub.stun.ip(), alpha.stun_other_port.unwrap());
    assert_ne!(other, hub.stun);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut buffer = [0; 1500];
    for (asked, from) in [(hub.stun, other), (other, hub.stun)] {
        let mut request = Message::builder_request(BINDING, MessageWriteVec::new());
        // CHANGE-REQUEST: the port.
        request.add_attribute(&RawAttribute::new(AttributeType::new(0x0003), &[0, 0, 0, 2])).unwrap();
        socket.send_to(&request.finish(), asked).await.unwrap();
        let (length, origin) = within("the answer", socket.recv_from(&mut buffer)).await.unwrap();
        assert_eq!(origin, from);
        let answer = Message::from_bytes(&buffer[..length]).unwrap();
        let mapped = answer.attribute::<XorMappedAddress>().unwrap().addr(answer.transaction_id());
        assert_eq!(mapped, socket.local_addr().unwrap());
    }
}
