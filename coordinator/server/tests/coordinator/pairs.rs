//! What an administrator is told of a pair: over the API, and by `explain`.

use serde_json::{Value, json};
use twinmesh_control::{
    FailedProtocol, FailureCode, Generation, NatBehaviour, NatClass, NatReport, NodeId, PathKind, PathReport,
    Protocol, Report, TunnelReport,
};

use crate::support::{Hub, run, until};

/// A tunnel that went over from WireGuard to ESP.
fn report(peer: NodeId, generation: Generation) -> Report {
    let path = PathReport {
        relayed: false,
        remote: "198.51.100.2:4500".parse().unwrap(),
        kind: PathKind::Reflexive,
        rtt_us: Some(12_345),
        mtu: Some(1400),
    };
    let failed = FailedProtocol {
        protocol: Protocol::Wireguard,
        generation,
        code: FailureCode::NoHandshake,
        text: "WireGuard: no answer\u{1b}[2J to the handshake".to_owned(),
    };
    let tunnel = TunnelReport {
        peer,
        protocol: Protocol::Esp,
        generation,
        endpoint: Some("198.51.100.2:4500".parse().unwrap()),
        path: Some(path),
        failed: vec![failed],
        handshake_age: Some(3),
        received: 10,
        sent: 20,
    };
    let class = NatClass::EndpointIndependent;
    let ipv4 = Some(NatBehaviour { class, filtering: None, hairpin: None });
    Report { endpoints: vec![], tunnels: vec![tunnel], nat: NatReport { ipv4, ipv6: None } }
}

/// What a command on the coordinator's own host prints.
async fn command(hub: &Hub, words: &[&str]) -> String {
    let data = hub.folder.path().join("data").to_str().unwrap().to_owned();
    let words: Vec<String> =
        words.iter().map(|word| (*word).to_owned()).chain(["--data".to_owned(), data]).collect();
    let output =
        tokio::task::spawn_blocking(move || run(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_pair_is_explained_with_its_choice_its_failures_and_both_ends() {
    let hub = Hub::start().await;
    let (_alpha, alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    let generation = beta.map.as_ref().unwrap().peers[&alpha.id].generation;
    beta.say(report(alpha.id, generation)).await;
    let pair = until("the report", async || {
        let pair = hub.api.get("/api/v1/pairs/alpha/beta").await.body;
        let end = &pair["ends"][1];
        let is_told = end["tunnel"] != Value::Null && end["nat_ipv4"] != Value::Null;
        (is_told && pair["protocol"] == "esp").then_some(pair)
    })
    .await;
    assert!(pair["generation"].as_u64().unwrap() > generation.0);
    assert_eq!(pair["reasons"][0]["code"], "failed");
    let failure = &pair["failures"][0];
    assert_eq!(
        (
            &failure["protocol"],
            &failure["code"],
            &failure["reporter"],
            &failure["times"],
            &failure["avoided"]
        ),
        (&json!("wireguard"), &json!("no-handshake"), &json!("beta"), &json!(1), &json!(true))
    );
    let tunnel = &pair["ends"][1]["tunnel"];
    assert_eq!(
        tunnel["path"],
        json!({ "relayed": false, "remote": "198.51.100.2:4500", "kind": "reflexive", "rtt_us": 12345, "mtu": 1400 })
    );
    assert_eq!(pair["ends"][1]["nat_ipv4"]["class"], "endpoint-independent");
    // The other end is asked for first, and has said nothing.
    let turned = hub.api.get(&format!("/api/v1/pairs/beta/{}", alpha.id)).await.body;
    assert_eq!((&turned["ends"][0], &turned["ends"][1]), (&pair["ends"][1], &pair["ends"][0]));

    let text = command(&hub, &["explain", "alpha", "beta"]).await;
    for expected in [
        "chosen: ESP (generation ",
        "failed: WireGuard failed between the two (beta: no answer to the handshake): ESP until ",
        "WireGuard failed once, last at ",
        "direct to 198.51.100.2:4500 (reflexive), 12.3 ms, packets of 1400 bytes",
        "ESP, by its choice of generation ",
        "endpoint-independent",
        "failing      WireGuard: no answer[2J to the handshake",
    ] {
        assert!(text.contains(expected), "`{expected}` is not in:\n{text}");
    }
    let printed: Value =
        serde_json::from_str(&command(&hub, &["explain", "alpha", "beta", "--json"]).await).unwrap();
    assert_eq!(printed, pair);
    let list = command(&hub, &["node", "list"]).await;
    let row = list.lines().find(|line| line.contains("beta")).unwrap();
    assert!(row.contains("endpoint-independent") && row.contains("1 direct"), "{list}");
    let shown = command(&hub, &["node", "show", "beta"]).await;
    let row = shown.lines().find(|line| line.starts_with("alpha")).unwrap();
    assert!(
        row.contains("esp") && row.contains("direct to 198.51.100.2:4500") && row.contains("wireguard"),
        "{shown}"
    );
}

#[tokio::test]
async fn what_is_no_pair_is_refused_with_the_name() {
    let hub = Hub::start().await;
    let (_alpha, _session) = hub.joined("alpha").await;
    let missing = hub.api.get("/api/v1/pairs/alpha/omega").await;
    assert!(missing.is_problem(404, "not-found").contains("omega"));
    let same = hub.api.get("/api/v1/pairs/alpha/1").await;
    assert!(same.is_problem(422, "invalid").contains("same node"));
}
