//! What nodes are told of the protocols between them.

use twinmesh_control::{Peer, Preference, Protocol, ReasonCode};

use crate::support::{Hub, Session};

/// The next delta's only peer.
async fn told(session: &mut Session) -> Peer {
    let [peer] = <[_; 1]>::try_from(session.delta().await.changed).unwrap();
    peer
}

fn codes(peer: &Peer) -> Vec<ReasonCode> {
    peer.reasons.iter().map(|reason| reason.code.clone()).collect()
}

#[tokio::test]
async fn a_node_that_asks_for_esp_has_it_with_each_peer_that_can_and_both_ends_are_told_why() {
    let hub = Hub::start().await;
    let (node, alpha) = hub.joined("alpha").await;
    let (beta_node, mut beta) = hub.joined("beta").await;
    let map = beta.map.as_ref().unwrap();
    assert_eq!(map.peers[&alpha.id].protocol, Protocol::Wireguard);
    assert_eq!(map.peers[&alpha.id].identity, Some(node.identity.public()));

    let node = node.preferring(Preference::Esp);
    let mut back = node.back(alpha.map.as_ref().map(|map| map.revision)).await;
    for (session, other) in [(&mut back, &beta_node), (&mut beta, &node)] {
        let peer = told(session).await;
        assert_eq!((&peer.protocol, codes(&peer)), (&Protocol::Esp, vec![ReasonCode::PrefersEsp]));
        assert!(peer.reasons[0].text.contains("alpha"), "{:?}", peer.reasons);
        assert_eq!(peer.identity, Some(other.identity.public()));
    }
    // Third parties hear of it only as far as it concerns themselves.
    let (_gamma, gamma) = hub.joined("gamma").await;
    let peers = gamma.map.unwrap().peers;
    assert_eq!(peers[&alpha.id].protocol, Protocol::Esp);
    assert_eq!(peers[&beta.id].protocol, Protocol::Wireguard);
    assert_eq!(hub.api.get("/api/v1/nodes/alpha").await.body["preference"], "esp");
}

#[tokio::test]
async fn a_node_of_an_older_version_keeps_wireguard_and_its_peer_is_told_why() {
    let hub = Hub::start().await;
    let (node, alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    let older = node.older();
    let mut back = older.back(Some(alpha.revision())).await;
    assert_eq!(codes(&told(&mut beta).await), [ReasonCode::Default]);
    assert_eq!(told(&mut back).await.protocol, Protocol::Wireguard);

    let (_gamma, gamma) = hub.joined_preferring("gamma", Preference::Esp).await;
    let peer = &gamma.map.unwrap().peers[&alpha.id];
    assert_eq!((&peer.protocol, codes(peer)), (&Protocol::Wireguard, vec![ReasonCode::NoEsp]));
}

#[tokio::test]
async fn a_wish_outlives_the_coordinator_and_one_that_is_repeated_changes_nothing() {
    let hub = Hub::start().await;
    let (alpha_node, alpha) = hub.joined_preferring("alpha", Preference::Esp).await;
    let (beta_node, beta) = hub.joined("beta").await;
    let (map, have) = (beta.map.clone(), beta.revision());
    drop((alpha, beta));
    let hub = hub.restart().await;
    let mut beta = beta_node.moved_to(&hub).back(Some(have)).await;
    beta.map = map;
    let _alpha = alpha_node.moved_to(&hub).back(Some(have)).await;
    // The next thing that beta hears of is the next node.
    let (_gamma, gamma) = hub.joined("gamma").await;
    assert_eq!(told(&mut beta).await.name, "gamma");
    let protocols: Vec<_> = gamma.map.unwrap().peers.into_values().map(|peer| peer.protocol).collect();
    assert_eq!(protocols, [Protocol::Esp, Protocol::Wireguard]);
}
