//! Where nodes say that they can be reached: what their peers are told, and what is refused.

use serde_json::json;
use twinmesh_control::{
    CoordinatorMessage, Endpoint, EndpointKind, NatBehaviour, NatClass, NatFiltering, NatReport, Peer, Report,
};
use twinmesh_coordinator::control::{OtherRelay, Speaks};

use crate::support::{Hub, Session, until};

/// The next delta's only peer.
async fn told(session: &mut Session) -> Peer {
    let [peer] = <[_; 1]>::try_from(session.delta().await.changed).unwrap();
    peer
}

fn behind(class: NatClass) -> NatReport {
    let filtering = Some(NatFiltering::AddressDependent);
    NatReport { ipv4: Some(NatBehaviour { class, filtering, hairpin: Some(false) }), ipv6: None }
}

#[tokio::test]
async fn peers_are_told_of_a_nat_once_and_it_outlives_the_coordinator() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (beta_node, mut beta) = hub.joined("beta").await;
    alpha.news().await;
    let nat = behind(NatClass::AddressAndPortDependent);
    for _ in 0..3 {
        alpha.say(Report { nat: nat.clone(), ..Report::default() }).await;
    }
    let id = alpha.id;
    assert_eq!(told(&mut beta).await.nat, nat);
    // What is said again is no news, and to the node itself it never was: both hear next of the next node.
    hub.joined("gamma").await;
    for session in [&mut alpha, &mut beta] {
        assert_eq!(told(session).await.name, "gamma");
    }
    drop((alpha, beta));
    let hub = hub.restart().await;
    let mut beta = beta_node.moved_to(&hub).back(None).await;
    assert_eq!(beta.snapshot().await.peers[&id].nat, nat);
    let shown = hub.api.get("/api/v1/nodes/alpha").await.body;
    assert_eq!(
        shown["nat_ipv4"],
        json!({ "class": "address-and-port-dependent", "filtering": "address-dependent", "hairpin": false })
    );
}

#[tokio::test]
async fn words_that_are_none_do_not_reach_peers_or_terminals() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    let bad = NatClass::from("\u{1b}[2J".to_owned());
    alpha.say(Report { nat: behind(bad), ..Report::default() }).await;
    let later = NatClass::from("of-a-later-version".to_owned());
    alpha.say(Report { nat: behind(later.clone()), ..Report::default() }).await;
    assert_eq!(told(&mut beta).await.nat, behind(later));
}

#[tokio::test]
async fn a_relayed_port_is_taken_only_at_a_relay_and_what_is_refused_is_counted() {
    let relay = OtherRelay { address: "203.0.113.5:3478".parse().unwrap(), speaks: Speaks::Udp };
    let hub = Hub::start_with(|settings| settings.other_relays = vec![relay]).await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    alpha
        .report(&[
            ("192.0.2.1:4500", "host"),
            ("203.0.113.5:50000", "relayed"),
            ("198.51.100.9:50000", "relayed"),
            ("127.0.0.1:22", "host"),
            ("100.64.0.1:4500", "host"),
        ])
        .await;
    let endpoint = |address: &str, kind| Endpoint { address: address.parse().unwrap(), kind };
    assert!(matches!(beta.hear().await, Some(CoordinatorMessage::Relays(_))));
    let expected = [
        endpoint("203.0.113.5:50000", EndpointKind::Relayed),
        endpoint("192.0.2.1:4500", EndpointKind::Host),
    ];
    assert_eq!(told(&mut beta).await.endpoints, expected);
    assert_eq!(hub.api.get("/api/v1/nodes/alpha").await.body["refused_endpoints"], 3);
}

#[tokio::test]
async fn a_node_that_says_without_end_that_it_is_elsewhere_is_believed_now_and_then() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    let before = beta.revision();
    let places = 1_u16..=200;
    for port in places.clone() {
        alpha.report(&[(format!("192.0.2.1:{port}").as_str(), "host")]).await;
    }
    let last = *places.end();
    until("the last place", async || {
        let told = told(&mut beta).await.endpoints;
        (told.first()?.address.port() == last).then_some(())
    })
    .await;
    let changes = beta.revision().0 - before.0;
    assert!((2..=20).contains(&changes), "{changes} changes");
}
