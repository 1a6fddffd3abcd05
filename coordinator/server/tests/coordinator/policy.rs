//! The policy: what is taken, what is refused, and who hears of it.

use serde_json::{Value, json};
use twinmesh_control::{Peer, Protocol, ReasonCode};

use crate::support::{Hub, Session};

const POLICY: &str = "/api/v1/policy";

/// The next delta's only peer.
async fn told(session: &mut Session) -> Peer {
    let [peer] = <[_; 1]>::try_from(session.delta().await.changed).unwrap();
    peer
}

fn codes(peer: &Peer) -> Vec<ReasonCode> {
    peer.reasons.iter().map(|reason| reason.code.clone()).collect()
}

async fn set(hub: &Hub, policy: Value) -> Value {
    let answer = hub.api.put(POLICY, &policy).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn a_pair_changes_its_protocol_and_back_and_nobody_else_hears_of_it() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    let (_gamma, mut gamma) = hub.joined("gamma").await;
    // Two that join one after the other may be told in one.
    for session in [&mut alpha, &mut beta] {
        while session.map.as_ref().unwrap().peers.len() < 2 {
            session.delta().await;
        }
    }
    let policy = set(&hub, json!({ "pairs": [{ "nodes": ["alpha", "beta"], "protocol": "esp" }] })).await;
    assert_eq!(policy["version"], 1);
    for (session, other) in [(&mut alpha, "beta"), (&mut beta, "alpha")] {
        let peer = told(session).await;
        assert_eq!(
            (peer.name.as_str(), &peer.protocol, codes(&peer)),
            (other, &Protocol::Esp, vec![ReasonCode::Policy])
        );
        assert_eq!(peer.reasons[0].text, "the policy of this pair asks for ESP");
    }
    set(&hub, json!({ "version": 1 })).await;
    for session in [&mut alpha, &mut beta] {
        let peer = told(session).await;
        assert_eq!((&peer.protocol, codes(&peer)), (&Protocol::Wireguard, vec![ReasonCode::Default]));
    }
    // The next thing that gamma hears of is the next node.
    let (_delta, _session) = hub.joined("delta").await;
    assert_eq!(told(&mut gamma).await.name, "delta");
}

#[tokio::test]
async fn a_policy_outlives_the_coordinator_and_goes_with_its_nodes() {
    let hub = Hub::start().await;
    hub.token(json!({ "tags": ["db"] })).await;
    let (_alpha, _one) = hub.joined("alpha").await;
    let (_beta, beta) = hub.joined("beta").await;
    let written = set(
        &hub,
        json!({
            "default": { "protocol": "auto", "throughput": true },
            "tags": [{ "tag": "db", "compliance": true }],
            "pairs": [{ "nodes": ["beta", "alpha"], "throughput": false }],
        }),
    )
    .await;
    let id = beta.id;
    drop(beta);
    let hub = hub.restart().await;
    assert_eq!(hub.api.get(POLICY).await.body, written);
    hub.remove(id).await;
    let without = hub.api.get(POLICY).await.body;
    assert_eq!((&without["pairs"], &without["tags"]), (&json!([]), &written["tags"]));
    let hub = hub.restart().await;
    assert_eq!(hub.api.get(POLICY).await.body, without);
}

#[tokio::test]
async fn compliance_that_a_pair_cannot_have_stops_its_traffic_and_says_why() {
    let hub = Hub::start().await;
    let (node, alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    let older = node.older();
    let mut older = older.back(alpha.map.as_ref().map(|map| map.revision)).await;
    told(&mut beta).await;
    told(&mut older).await;
    set(&hub, json!({ "default": { "compliance": true } })).await;
    let seen = told(&mut beta).await;
    assert_eq!((&seen.protocol, seen.compliance), (&Protocol::None, true));
    assert_eq!(codes(&seen), [ReasonCode::Compliance, ReasonCode::NoEsp]);
    assert_eq!(seen.allowed_ips.len(), 2, "what it would send stays routed to twinmesh");
    // The older version would take it for WireGuard.
    let seen = told(&mut older).await;
    assert_eq!((seen.allowed_ips, seen.endpoints), (vec![], vec![]));
}

#[tokio::test]
async fn a_tag_that_a_node_gets_later_brings_its_policy() {
    let hub = Hub::start().await;
    hub.token(json!({ "tags": ["pci"] })).await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    told(&mut alpha).await;
    set(&hub, json!({ "tags": [{ "tag": "pci", "compliance": true }] })).await;
    let answer = hub.api.put("/api/v1/nodes/alpha/tags", &json!({ "tags": ["pci"] })).await;
    assert_eq!((answer.status, &answer.body["tags"]), (200, &json!(["pci"])));
    let seen = told(&mut beta).await;
    assert_eq!(
        (&seen.protocol, seen.compliance, seen.tags.as_slice()),
        (&Protocol::Esp, true, &["pci".to_owned()][..])
    );
    let delta = alpha.delta().await;
    assert_eq!(delta.own.unwrap().tags, ["pci"]);
    assert_eq!(delta.changed[0].protocol, Protocol::Esp);
}

#[tokio::test]
async fn a_policy_that_is_wrong_is_refused_with_the_entry_and_changes_nothing() {
    let hub = Hub::start().await;
    hub.token(json!({ "tags": ["db", "web"] })).await;
    let (_alpha, _one) = hub.joined("alpha").await;
    let (_beta, _other) = hub.joined("beta").await;
    hub.api.put("/api/v1/nodes/alpha/tags", &json!({ "tags": ["db", "web"] })).await;
    let pair = |fields: Value| {
        let mut entry = json!({ "nodes": ["alpha", "beta"] });
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        entry
    };
    let wireguard = json!({ "protocol": "wireguard" });
    for (policy, field, part) in [
        (json!({ "tags": [{ "tag": "nobody" }] }), "tags[0].tag", "no node and no token"),
        (json!({ "tags": [{ "tag": "no tag" }] }), "tags[0].tag", "DNS label"),
        (json!({ "tags": [{ "tag": "db" }, { "tag": "DB" }] }), "tags[1].tag", "tags[0]"),
        (json!({ "pairs": [{ "nodes": ["alpha", "gamma"] }] }), "pairs[0].nodes[1]", "no node `gamma`"),
        (json!({ "pairs": [{ "nodes": ["alpha"] }] }), "pairs[0].nodes", "two nodes"),
        (json!({ "pairs": [{ "nodes": ["alpha", "1"] }] }), "pairs[0].nodes", "different"),
        (json!({ "pairs": [pair(json!({})), { "nodes": ["beta", "alpha"] }] }), "pairs[1].nodes", "pairs[0]"),
        (json!({ "default": { "protocol": "quic" } }), "default.protocol", "none of auto"),
        (
            json!({ "default": { "protocol": "wireguard", "compliance": true } }),
            "default.protocol",
            "same entry",
        ),
        (
            json!({ "default": { "compliance": true }, "pairs": [pair(wireguard.clone())] }),
            "pairs[0].protocol",
            "the policy of the network",
        ),
        (
            json!({ "tags": [{ "tag": "db", "compliance": true }], "pairs": [pair(wireguard)] }),
            "pairs[0].protocol",
            "the tag `db`",
        ),
        (
            json!({ "tags": [{ "tag": "web", "protocol": "wireguard" }, { "tag": "db", "compliance": true }] }),
            "tags[0].protocol",
            "for `alpha` by the policy of the tag `db`",
        ),
        (
            json!({ "default": { "compliance": true }, "tags": [{ "tag": "web", "protocol": "wireguard" }] }),
            "tags[0].protocol",
            "the policy of the network",
        ),
    ] {
        let answer = hub.api.put(POLICY, &policy).await;
        let detail = answer.is_problem(422, "invalid");
        assert!(detail.contains(part), "{detail}");
        assert_eq!(answer.body["errors"][0]["field"], field, "{detail}");
        assert_eq!(answer.body["errors"].as_array().unwrap().len(), 1, "{detail}");
    }
    hub.api.put(POLICY, &json!({ "pairz": [] })).await.is_problem(422, "invalid");
    assert_eq!(hub.api.get(POLICY).await.body["version"], 0);
}

#[tokio::test]
async fn a_change_that_rests_on_an_older_version_is_refused_and_one_that_changes_nothing_is_none() {
    let hub = Hub::start().await;
    let esp = json!({ "default": { "protocol": "esp" } });
    assert_eq!(set(&hub, esp.clone()).await["version"], 1);
    assert_eq!(set(&hub, esp).await["version"], 1);
    let late = json!({ "version": 0, "default": { "protocol": "wireguard" } });
    let answer = hub.api.put(POLICY, &late).await;
    assert!(answer.is_problem(409, "policy-changed").contains("version 1"));
    assert_eq!(hub.api.get(POLICY).await.body["default"]["protocol"], "esp");
}
