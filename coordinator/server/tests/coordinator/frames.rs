//! Nodes that speak wrongly: their connection ends, and nobody else's.

use serde_json::json;
use twinmesh_control::{
    Ack, CoordinatorMessage, FrameError, MAX_GREETING_FRAME, MAX_NODE_FRAME, NodeMessage, RefusalCode,
    Revision, encode,
};

use crate::support::{Hub, Node, Session};

/// The refusal's words; then the connection is over.
async fn blamed(mut session: Session) -> String {
    let refusal = session.refusal().await;
    assert_eq!(refusal.code, RefusalCode::ProtocolViolation, "{}", refusal.message);
    session.closed().await;
    refusal.message
}

/// The other node's connection was untouched.
async fn still_served(hub: &Hub, other: &mut Session) {
    let (_node, joined) = hub.joined("later").await;
    assert_eq!(other.news().await.0, ["later"]);
    hub.remove(joined.id).await;
    assert_eq!(other.news().await.1, [joined.id]);
}

#[tokio::test]
async fn malformed_frames_end_the_connection_that_sent_them_and_no_other() {
    let hub = Hub::start().await;
    let (bad, _) = hub.joined("bad").await;
    let (_good, mut good) = hub.joined("good").await;
    let frames: [&[u8]; 5] = [
        &[0, 0, 0, 0],
        &[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        // Nested arrays without end.
        &[&[0, 0, 1, 0], [0x81; 256].as_slice()].concat(),
        // A byte string that claims to have 2^63 bytes.
        &[0, 0, 0, 15, 0x82, 0x63, b'a', b'c', b'k', 0x5b, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0],
        // `ack` with a body that is no map.
        &[0, 0, 0, 7, 0x82, 0x63, b'a', b'c', b'k', 0x41, 0x01],
    ];
    for frame in frames {
        let mut session = bad.back(None).await;
        session.snapshot().await;
        session.say_bytes(frame).await;
        blamed(session).await;
        let mut stranger = bad.connect().await;
        stranger.say_bytes(frame).await;
        blamed(stranger).await;
        still_served(&hub, &mut good).await;
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_before_it_arrives() {
    let hub = Hub::start().await;
    let (bad, _) = hub.joined("bad").await;
    // Of a stranger less is read.
    let stranger = bad.connect().await;
    let mut node = bad.back(None).await;
    node.snapshot().await;
    for (mut session, limit) in [(stranger, MAX_GREETING_FRAME), (node, MAX_NODE_FRAME)] {
        let length = limit + 1;
        session.say_bytes(&u32::try_from(length).unwrap().to_be_bytes()).await;
        assert_eq!(blamed(session).await, FrameError::TooLong { length, limit }.to_string());
    }
}

#[tokio::test]
async fn a_frame_cut_short_is_told_from_a_stream_that_ends() {
    let hub = Hub::start().await;
    let (node, _) = hub.joined("alpha").await;
    let frame = encode(&NodeMessage::from(Ack { revision: Revision(1) }));
    for cut in 1..frame.len() {
        let mut session = node.back(None).await;
        session.snapshot().await;
        session.say_bytes(&frame[..cut]).await;
        session.outgoing.finish().unwrap();
        assert!(blamed(session).await.contains("ends within a message"));
    }
    let mut session = node.back(None).await;
    session.snapshot().await;
    session.say_bytes(&frame).await;
    session.outgoing.finish().unwrap();
    assert_eq!(session.hear().await, None);
}

#[tokio::test]
async fn a_message_of_the_future_is_skipped() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    alpha.say(NodeMessage::Unknown("teleport".to_owned())).await;
    still_served(&hub, &mut alpha).await;
}

#[tokio::test]
async fn a_first_message_that_is_no_greeting_and_a_second_greeting_are_refused() {
    let hub = Hub::start().await;
    let token = hub.token(json!({})).await;
    let node = Node::new(&hub, &token);
    let mut session = node.connect().await;
    session.say(Ack { revision: Revision(1) }).await;
    blamed(session).await;
    let mut session = node.enrolled(&token, "alpha").await;
    session.say(node.hello(None)).await;
    blamed(session).await;
}

#[tokio::test]
async fn a_node_opens_one_stream_and_no_more() {
    let hub = Hub::start().await;
    let (_alpha, alpha) = hub.joined("alpha").await;
    // The handshake said how many: whether there is leave is known at once.
    let second = tokio::time::timeout(std::time::Duration::ZERO, alpha.connection.open_bi()).await;
    assert!(second.is_err());
    assert!(alpha.connection.close_reason().is_none());
}

#[tokio::test]
async fn a_big_report_within_the_limit_is_read_in_whole() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    alpha.news().await;
    let filler = "f".repeat(MAX_NODE_FRAME - 200);
    beta.report(&[("192.0.2.9:4500", "host"), ("192.0.2.10:4500", &filler)]).await;
    let Some(CoordinatorMessage::Delta(delta)) = alpha.hear().await else { panic!("no delta") };
    assert_eq!(delta.changed[0].endpoints.len(), 1);
}
