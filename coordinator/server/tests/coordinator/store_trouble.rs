//! A database that is locked, newer than the program or damaged, and a disk that is full.

use std::fs;
use std::io::Write as _;

use serde_json::json;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use twinmesh_control::{
    Endpoint, EndpointKind, Generation, Protocol, RefusalCode, Report, TunnelReport, WireguardKey,
};
use twinmesh_coordinator::store::{Store, StoreError};

use crate::support::{Hub, Node, Program, until};

pub async fn second_connection(hub: &Hub) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(hub.database());
    SqliteConnection::connect_with(&options).await.unwrap()
}

pub async fn execute(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

#[tokio::test]
async fn while_another_program_locks_the_database_changes_fail_and_the_rest_goes_on() {
    let hub = Hub::start().await;
    let (node, alpha) = hub.joined("alpha").await;
    let token = hub.token(json!({})).await;
    let mut thief = second_connection(&hub).await;
    execute(&mut thief, "BEGIN IMMEDIATE").await;

    let stranger = Node::new(&hub, &token);
    let request = json!({});
    let (refused, made) =
        tokio::join!(stranger.refused(&token, "beta"), hub.api.post("/api/v1/tokens", &request));
    assert_eq!(refused.code, RefusalCode::Unavailable);
    assert!(made.is_problem(503, "store-unavailable").contains("try again"));
    assert_eq!(hub.nodes().await.len(), 1);
    // A node that is known needs no write to have its map.
    node.back(None).await.snapshot().await;

    execute(&mut thief, "ROLLBACK").await;
    let (_, tokens) = (stranger.enrolled(&token, "beta").await, hub.api.get("/api/v1/tokens").await);
    assert_eq!(tokens.body["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(alpha.map.unwrap().own.name, "alpha");
}

#[tokio::test]
async fn endpoints_that_could_not_be_stored_reach_peers_once_they_can() {
    let hub = Hub::start().await;
    let (_alpha, mut alpha) = hub.joined("alpha").await;
    let (_beta, mut beta) = hub.joined("beta").await;
    alpha.news().await;
    let mut thief = second_connection(&hub).await;
    execute(&mut thief, "BEGIN IMMEDIATE").await;
    let address = "192.0.2.2:4500".parse().unwrap();
    let tunnel = TunnelReport {
        peer: alpha.id,
        protocol: Protocol::Wireguard,
        generation: Generation(0),
        endpoint: None,
        path: None,
        failed: Vec::new(),
        handshake_age: None,
        received: 0,
        sent: 0,
    };
    beta.say(Report {
        endpoints: vec![Endpoint { address, kind: EndpointKind::Host }],
        tunnels: vec![tunnel],
        ..Report::default()
    })
    .await;
    until("the report to arrive", async || {
        let beta = hub.api.get("/api/v1/nodes/beta").await.body;
        (beta["tunnels"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    // Stands in line behind the report, and so fails after it.
    let peer = json!({ "name": "router", "wireguard_key": WireguardKey([3; 32]) });
    hub.api.post("/api/v1/peers", &peer).await.is_problem(503, "store-unavailable");
    assert!(hub.api.get("/api/v1/nodes/beta").await.body["endpoints"].as_array().unwrap().is_empty());
    execute(&mut thief, "ROLLBACK").await;
    assert_eq!(alpha.delta().await.changed[0].endpoints.len(), 1);
}

#[test]
fn a_full_disk_is_a_problem_document_and_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve_on_small_disk(folder.path(), "2m");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let api = program.api();
        let filler = program.data.join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        // Room in the log that was there before may take some.
        let request = json!({ "description": "d".repeat(150), "tags": ["a", "b", "c"] });
        let mut made = 0;
        let refused = loop {
            let answer = api.post("/api/v1/tokens", &request).await;
            if answer.status != 201 {
                break answer;
            }
            made += 1;
            assert!(made < 10_000);
        };
        assert!(refused.is_problem(507, "disk-full").contains("make room"));
        let tokens = api.get("/api/v1/tokens").await.body;
        let tokens = tokens["tokens"].as_array().unwrap();
        assert_eq!(tokens.len(), made);
        assert!(tokens.iter().all(|token| token["tags"].as_array().unwrap().len() == 3));
        assert_eq!(api.get("/healthz").await.status, 200);

        fs::remove_file(filler).unwrap();
        drop(file);
        assert_eq!(api.post("/api/v1/tokens", &request).await.status, 201);
    });
    assert!(program.stop().success());
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("coordinator.db");
    Store::open(&file).await.unwrap().close().await;
    let options = SqliteConnectOptions::new().filename(&file);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    execute(
        &mut connection,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'the future', TRUE, x'00', 1)",
    )
    .await;
    connection.close().await.unwrap();
    let before = fs::read(&file).unwrap();
    let error = Store::open(&file).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer(9999)), "{error}");
    assert!(error.to_string().contains("newer twinmesh-coordinator"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_called_damaged_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("coordinator.db");
    let garbage = vec![7; 8192];
    fs::write(&file, &garbage).unwrap();
    let error = Store::open(&file).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    assert_eq!(fs::read(&file).unwrap(), garbage);
}
