//! Protocols that fail between nodes, as these report it: what both are told, and what a restart remembers.

use twinmesh_control::{
    FailedProtocol, FailureCode, Generation, NodeId, Peer, Protocol, ReasonCode, Report, TunnelReport,
};

use crate::store_trouble::{execute, second_connection};
use crate::support::{Hub, Session};

/// The next delta's only peer.
async fn told(session: &mut Session) -> Peer {
    let [peer] = <[_; 1]>::try_from(session.delta().await.changed).unwrap();
    peer
}

fn codes(peer: &Peer) -> Vec<ReasonCode> {
    peer.reasons.iter().map(|reason| reason.code.clone()).collect()
}

/// A node went over from one protocol to the other.
fn report(peer: NodeId, from: Protocol, to: Protocol, generation: Generation) -> Report {
    let text = format!("{from}: keys are agreed, but what is sent has no answer");
    let failed = FailedProtocol { protocol: from, generation, code: FailureCode::NoAnswer, text };
    let tunnel = TunnelReport {
        peer,
        protocol: to,
        generation,
        endpoint: None,
        path: None,
        failed: vec![failed],
        handshake_age: Some(1),
        received: 1,
        sent: 1,
    };
    Report { tunnels: vec![tunnel], ..Report::default() }
}

async fn three(hub: &Hub) -> [(crate::support::Node, Session); 3] {
    let mut nodes = [hub.joined("alpha").await, hub.joined("beta").await, hub.joined("gamma").await];
    for (_, session) in &mut nodes {
        while session.map.as_ref().unwrap().peers.len() < 2 {
            session.delta().await;
        }
    }
    nodes
}

#[tokio::test]
async fn a_protocol_that_fails_is_avoided_by_both_ends_and_nobody_else_hears_of_it() {
    let hub = Hub::start().await;
    let [(_alpha, mut alpha), (_beta, mut beta), (_gamma, mut gamma)] = three(&hub).await;
    let (a, b) = (alpha.id, beta.id);
    let at_first = alpha.map.as_ref().unwrap().peers[&b].generation;
    assert_eq!(beta.map.as_ref().unwrap().peers[&a].generation, at_first);

    // What it says of strangers and of itself means nothing.
    let mut failed = report(b, Protocol::Wireguard, Protocol::Esp, at_first);
    for peer in [NodeId(99), a] {
        failed.tunnels.extend(report(peer, Protocol::Wireguard, Protocol::Esp, at_first).tunnels);
    }
    alpha.say(failed).await;
    let (seen_by_alpha, seen_by_beta) = (told(&mut alpha).await, told(&mut beta).await);
    for peer in [&seen_by_alpha, &seen_by_beta] {
        assert_eq!((&peer.protocol, codes(peer)), (&Protocol::Esp, vec![ReasonCode::Failed]));
        let text =
            "WireGuard failed between the two (alpha: keys were agreed, but nothing came back): ESP until ";
        assert!(peer.reasons[0].text.starts_with(text), "{:?}", peer.reasons);
    }
    assert_eq!(seen_by_alpha.generation, seen_by_beta.generation);
    assert!(seen_by_alpha.generation > at_first);

    // The next thing that all hear of is the next node.
    let (_delta, _session) = hub.joined("delta").await;
    for session in [&mut alpha, &mut beta, &mut gamma] {
        assert_eq!(told(session).await.name, "delta");
    }
}

#[tokio::test]
async fn a_restart_keeps_generations_and_failures_and_a_failure_whose_time_is_over_is_tried_again() {
    let hub = Hub::start().await;
    let [(alpha_node, mut alpha), (beta_node, mut beta), (_gamma, gamma)] = three(&hub).await;
    let (a, b) = (alpha.id, beta.id);
    let at_first = alpha.map.as_ref().unwrap().peers[&b].generation;
    beta.say(report(a, Protocol::Wireguard, Protocol::Esp, at_first)).await;
    told(&mut alpha).await;
    let chosen = told(&mut beta).await;
    let map = alpha.map.clone().unwrap();
    drop((alpha, beta, gamma));

    let hub = hub.restart().await;
    let (alpha_node, beta_node) = (alpha_node.moved_to(&hub), beta_node.moved_to(&hub));
    let mut alpha = alpha_node.back(None).await;
    assert_eq!(alpha.snapshot().await, &map);
    drop(alpha);

    let mut database = second_connection(&hub).await;
    execute(&mut database, "UPDATE pair_failure SET until = 1000").await;
    drop(database);
    let hub = hub.restart().await;
    let (alpha_node, beta_node) = (alpha_node.moved_to(&hub), beta_node.moved_to(&hub));
    let mut alpha = alpha_node.back(Some(map.revision)).await;
    let mut beta = beta_node.back(None).await;
    // It may be the map of the moment before.
    if beta.snapshot().await.peers[&a].generation == chosen.generation {
        beta.delta().await;
    }
    alpha.map = Some(map);
    let (seen_by_alpha, seen_by_beta) = (&told(&mut alpha).await, &beta.map.as_ref().unwrap().peers[&a]);
    for peer in [seen_by_alpha, seen_by_beta] {
        assert_eq!((&peer.protocol, codes(peer)), (&Protocol::Wireguard, vec![ReasonCode::Default]));
        assert!(peer.generation > chosen.generation);
    }
    assert_eq!(seen_by_alpha.generation, seen_by_beta.generation);
}

#[tokio::test]
async fn what_the_policy_demands_is_kept_and_both_are_told_that_it_fails() {
    let hub = Hub::start().await;
    let policy = serde_json::json!({ "default": { "protocol": "esp" } });
    assert_eq!(hub.api.put("/api/v1/policy", &policy).await.status, 200);
    let [(_alpha, mut alpha), (_beta, mut beta), _gamma] = three(&hub).await;
    let (a, b) = (alpha.id, beta.id);
    let generation = beta.map.as_ref().unwrap().peers[&a].generation;
    alpha.say(report(b, Protocol::Esp, Protocol::Wireguard, generation)).await;
    for session in [&mut alpha, &mut beta] {
        let peer = told(session).await;
        assert_eq!(
            (&peer.protocol, codes(&peer)),
            (&Protocol::Esp, vec![ReasonCode::Policy, ReasonCode::FailedKept])
        );
        // The nodes go on trying it as they do.
        assert_eq!(peer.generation, generation);
    }
}
