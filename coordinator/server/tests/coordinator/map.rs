//! What connected nodes are told when something changes, and what those are told that come back.

use std::time::Instant;

use serde_json::json;
use twinmesh_control::{
    CoordinatorMessage, EndpointKind, Generation, Leave, NodeId, NodeMessage, Protocol, RefusalCode, Report,
    TunnelReport, WireguardKey,
};

use crate::support::{Hub, until};

#[tokio::test]
async fn a_node_that_joins_is_one_delta_for_its_peers_and_one_snapshot_for_itself() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    assert_eq!(alpha.news().await, (vec!["beta".to_owned()], vec![]));
    let names: Vec<_> = beta.map.as_ref().unwrap().peers.values().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["alpha"]);
    let (_gamma, gamma) = hub.joined("gamma").await;
    for session in [&mut alpha, &mut beta] {
        assert_eq!(session.news().await, (vec!["gamma".to_owned()], vec![]));
    }
    assert_eq!(gamma.map.unwrap().peers.len(), 2);
}

#[tokio::test]
async fn endpoints_that_a_node_reports_reach_its_peers_and_not_the_node_itself() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    alpha.news().await;
    beta.report(&[("192.0.2.2:4500", "host"), ("198.51.100.2:4500", "reflexive")]).await;
    let delta = alpha.delta().await;
    let [peer] = <[_; 1]>::try_from(delta.changed).unwrap();
    let endpoints: Vec<_> =
        peer.endpoints.iter().map(|endpoint| (endpoint.address.to_string(), endpoint.kind.clone())).collect();
    assert_eq!(
        endpoints,
        [
            ("198.51.100.2:4500".to_owned(), EndpointKind::Reflexive),
            ("192.0.2.2:4500".to_owned(), EndpointKind::Host),
        ]
    );
    // The same again is no change: the next thing that both hear of is the next node.
    beta.report(&[("198.51.100.2:4500", "reflexive"), ("192.0.2.2:4500", "host")]).await;
    hub.joined("gamma").await;
    for session in [&mut alpha, &mut beta] {
        assert_eq!(session.news().await, (vec!["gamma".to_owned()], vec![]));
    }
}

#[tokio::test]
async fn an_absurd_number_of_endpoints_is_cut_to_what_peers_can_try() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    alpha.news().await;
    let texts: Vec<String> =
        (0..3000).map(|number| format!("10.0.{}.{}:4500", number / 200, number % 200 + 1)).collect();
    let mut endpoints: Vec<_> = texts.iter().map(|text| (text.as_str(), "host")).collect();
    endpoints.push(("198.51.100.2:4500", "reflexive"));
    endpoints.push(("127.0.0.1:22", "host"));
    beta.report(&endpoints).await;
    let kept = &alpha.delta().await.changed[0].endpoints;
    assert_eq!(kept.len(), 32);
    assert!(kept.iter().any(|endpoint| endpoint.kind == EndpointKind::Reflexive));
    assert!(kept.iter().all(|endpoint| !endpoint.address.ip().is_loopback()));
}

#[tokio::test]
async fn a_node_that_is_removed_is_told_at_once_and_so_are_its_peers() {
    let hub = Hub::start().await;
    let (node, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    alpha.news().await;
    let started = Instant::now();
    hub.remove(alpha.id).await;
    assert!(matches!(alpha.hear().await, Some(CoordinatorMessage::Revoked(_))));
    assert_eq!(beta.news().await, (vec![], vec![alpha.id]));
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    alpha.closed().await;
    let mut again = node.connect().await;
    again.say(node.hello(Some(alpha.revision()))).await;
    assert_eq!(again.refusal().await.code, RefusalCode::NodeUnknown);
    hub.api.get("/api/v1/nodes/alpha").await.is_problem(404, "not-found");
}

#[tokio::test]
async fn a_node_that_leaves_is_gone_for_its_peers() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    alpha.say(Leave {}).await;
    alpha.closed().await;
    assert_eq!(beta.news().await, (vec![], vec![alpha.id]));
    assert_eq!(hub.nodes().await.len(), 1);
}

#[tokio::test]
async fn a_node_that_comes_back_is_told_only_what_it_missed() {
    let hub = Hub::start().await;
    let (node, alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    let (_gamma, gamma) = hub.joined("gamma").await;
    let map = alpha.map.clone();
    drop(alpha);
    beta.news().await;
    beta.report(&[("192.0.2.2:4500", "host")]).await;
    until("the report", async || {
        let beta = hub.api.get("/api/v1/nodes/beta").await;
        (!beta.body["endpoints"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    hub.remove(gamma.id).await;

    let mut back = node.back(map.as_ref().map(|map| map.revision)).await;
    back.map = map;
    assert_eq!(back.news().await, (vec!["beta".to_owned()], vec![gamma.id]));
    let mut fresh = node.back(None).await;
    assert_eq!(back.map.as_ref(), Some(fresh.snapshot().await));
}

#[tokio::test]
async fn a_node_that_missed_nothing_is_told_nothing_also_after_a_restart_of_the_coordinator() {
    let hub = Hub::start().await;
    let (node, alpha) = hub.joined("alpha").await;
    let (map, have) = (alpha.map.clone(), alpha.revision());
    drop(alpha);
    let hub = hub.restart().await;
    let node = node.moved_to(&hub);
    let mut back = node.back(Some(have)).await;
    back.map = map;
    hub.joined("beta").await;
    assert_eq!(back.news().await, (vec!["beta".to_owned()], vec![]));
}

#[tokio::test]
async fn a_revision_that_never_was_is_answered_with_the_whole_map() {
    let hub = Hub::start().await;
    let (node, _session) = hub.joined("alpha").await;
    for revision in [0, 9_999, u64::MAX] {
        node.back(Some(twinmesh_control::Revision(revision))).await.snapshot().await;
    }
}

#[tokio::test]
async fn a_node_with_a_new_wireguard_key_is_one_delta_for_its_peers() {
    let hub = Hub::start().await;
    let (node, alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    let node = node.with_key(WireguardKey([9; 32]));
    node.back(Some(alpha.revision())).await;
    let delta = beta.delta().await;
    assert_eq!((delta.changed[0].id, delta.changed[0].wireguard_key), (alpha.id, WireguardKey([9; 32])));
}

#[tokio::test]
async fn an_unmanaged_peer_is_a_delta_for_agents_with_its_key_and_prefixes() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let key = WireguardKey([5; 32]).to_string();
    let peer = json!({ "name": "router", "wireguard_key": key, "endpoint": "203.0.113.7:51820", "allowed_ips": ["198.51.100.0/24"] });
    assert_eq!(hub.api.post("/api/v1/peers", &peer).await.status, 201);
    let router = alpha.delta().await.changed.remove(0);
    assert_eq!(router.wireguard_key, WireguardKey([5; 32]));
    assert!(router.allowed_ips.contains(&"198.51.100.0/24".parse().unwrap()), "{router:?}");
    assert_eq!(router.endpoints[0].address.to_string(), "203.0.113.7:51820");

    let configuration = hub.api.get("/api/v1/peers/router/configuration?with=alpha").await.body;
    assert_eq!(configuration["peers"][0]["name"], "alpha");
    hub.api.get("/api/v1/peers/router/configuration?with=router").await.is_problem(404, "not-found");
    hub.api.get("/api/v1/peers/alpha/configuration").await.is_problem(404, "not-found");
}

#[tokio::test]
async fn tunnels_that_a_node_reports_are_shown_while_it_is_connected() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let tunnel = TunnelReport {
        peer: NodeId(7),
        protocol: Protocol::Esp,
        generation: Generation(0),
        endpoint: None,
        path: None,
        failed: Vec::new(),
        handshake_age: Some(3),
        received: 5,
        sent: 8,
    };
    alpha.say(NodeMessage::from(Report { tunnels: vec![tunnel; 2_000], ..Report::default() })).await;
    let shown = |node: &serde_json::Value| node["tunnels"].as_array().unwrap().len();
    until("the tunnels, of which a thousand are kept", async || {
        (shown(&hub.api.get("/api/v1/nodes/alpha").await.body) == 1_000).then_some(())
    })
    .await;
    drop(alpha);
    until("the node to be away", async || {
        let node = hub.api.get("/api/v1/nodes/alpha").await.body;
        (node["connected"] == false && shown(&node) == 0).then_some(())
    })
    .await;
}
