//! The HTTP API: who may call, what wrong requests get, and that the OpenAPI document tells the truth.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use twinmesh_control::WireguardKey;

use crate::support::{Hub, within};

/// Method and path of everything that the router serves, as its source has it.
fn served() -> BTreeSet<String> {
    let source = include_str!("../../src/http/mod.rs");
    let routes = source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")?.split_once("\", "));
    let mut served = BTreeSet::new();
    for (path, handlers) in routes {
        for method in ["get", "post", "put", "patch", "delete"] {
            if handlers.starts_with(&format!("{method}(")) || handlers.contains(&format!(".{method}(")) {
                served.insert(format!("{method} {path}"));
            }
        }
    }
    served
}

#[tokio::test]
async fn the_openapi_document_lists_what_is_served_and_who_may_call_it() {
    let hub = Hub::start().await;
    let document = hub.api.anonymous().get("/api/v1/openapi.json").await;
    assert_eq!(document.status, 200);
    let mut listed = BTreeSet::new();
    for (path, methods) in document.body["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            listed.insert(format!("{method} {path}"));
            for (status, response) in operation["responses"].as_object().unwrap() {
                if !status.starts_with('2') {
                    let schema = &response["content"]["application/problem+json"]["schema"];
                    assert_eq!(schema["$ref"], "#/components/schemas/ProblemBody", "{path} {status}");
                }
            }
            let open = operation["security"].as_array().is_none_or(Vec::is_empty);
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let place = path.replace("{node}", "1").replace("{token}", "1").replace("{peer}", "1");
            let answer = hub.api.anonymous().send(method, &place, "{}").await;
            assert_eq!(answer.status == 401, !open, "{path}: {answer:?}");
        }
    }
    assert_eq!(listed, served());
    assert!(listed.len() >= 16, "{listed:?}");
}

#[tokio::test]
async fn health_and_readiness_are_open_to_all() {
    let hub = Hub::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(hub.api.anonymous().get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn without_the_right_bearer_token_there_is_nothing_to_see() {
    let hub = Hub::start().await;
    let strangers = ["", "x", "tmjoin-AAAA"].map(|token| hub.api.with_token(token));
    for api in strangers.iter().chain([&hub.api.anonymous()]) {
        for path in ["/api/v1/nodes", "/api/v1/tokens", "/api/v1/nodes/1", "/api/v1/peers/1/configuration"] {
            api.get(path).await.is_problem(401, "unauthenticated");
        }
        // Not even whether the body would do.
        api.post("/api/v1/tokens", &json!({ "nonsense": 1 })).await.is_problem(401, "unauthenticated");
    }
    assert_eq!(hub.api.get("/api/v1/tokens").await.body, json!({ "tokens": [] }));
}

#[tokio::test]
async fn the_first_password_opens_a_session_that_ends_when_it_is_ended() {
    let hub = Hub::start().await;
    let password = hub.password.clone().unwrap();
    let sign_in = async |name: &str, password: &str| {
        let body = json!({ "name": name, "password": password });
        hub.api.anonymous().post("/api/v1/sessions", &body).await
    };
    sign_in("admin", "wrong").await.is_problem(401, "unauthenticated");
    sign_in("nobody", &password).await.is_problem(401, "unauthenticated");
    let session = sign_in("admin", &password).await;
    assert_eq!(session.status, 201);
    let api = hub.api.with_token(session.body["token"].as_str().unwrap());
    assert_eq!(api.get("/api/v1/nodes").await.status, 200);
    assert_eq!(api.delete("/api/v1/sessions/current").await.status, 204);
    api.get("/api/v1/nodes").await.is_problem(401, "unauthenticated");
    let hub = hub.restart().await;
    assert_eq!(hub.password, None);
}

#[tokio::test]
async fn requests_that_cannot_be_read_get_a_problem_document_each() {
    let hub = Hub::start().await;
    let api = &hub.api;
    let post = async |body: &str| api.send(Method::POST, "/api/v1/tokens", body).await;
    post("{").await.is_problem(400, "malformed");
    post("").await.is_problem(400, "malformed");
    post("{} {}").await.is_problem(400, "malformed");
    post("[1]").await.is_problem(422, "invalid");
    let unknown = post(r#"{"reusable": true, "colour": "red"}"#).await;
    assert!(unknown.is_problem(422, "invalid").contains("colour"));
    let text = api.send_as("text/plain", Method::POST, "/api/v1/tokens", "{}").await;
    text.is_problem(415, "not-json");
    let big = format!(r#"{{"description": "{}"}}"#, "a".repeat(70_000));
    post(&big).await.is_problem(413, "too-large");
    api.get("/api/v1/nowhere").await.is_problem(404, "not-found");
    api.send(Method::PUT, "/api/v1/tokens", "{}").await.is_problem(405, "method-not-allowed");
    api.get("/api/v1/nodes/%ff").await.is_problem(400, "malformed");
    api.get("/api/v1/nodes/nobody").await.is_problem(404, "not-found");
    api.delete("/api/v1/tokens/99").await.is_problem(404, "not-found");
    api.delete("/api/v1/tokens/x").await.is_problem(404, "not-found");
    api.get("/api/v1/peers/x/configuration?colour=red").await.is_problem(400, "malformed");
    assert_eq!(api.get("/api/v1/tokens").await.body["tokens"], json!([]));
}

#[tokio::test]
async fn every_wrong_field_of_a_token_is_named() {
    let hub = Hub::start().await;
    let tags: Vec<String> = (0..65).map(|number| format!("t{number}")).collect();
    for (request, field) in [
        (json!({ "expires_in_s": 0 }), "expires_in_s"),
        (json!({ "expires_in_s": 1_000_000_000 }), "expires_in_s"),
        (json!({ "expires_in_s": 60, "never_expires": true }), "expires_in_s"),
        (json!({ "tags": ["web", "no tag"] }), "tags[1]"),
        (json!({ "tags": tags }), "tags"),
        (json!({ "description": "a".repeat(201) }), "description"),
        (json!({ "description": "\u{1b}[2J" }), "description"),
    ] {
        let refused = hub.api.post("/api/v1/tokens", &request).await;
        refused.is_problem(422, "invalid");
        assert_eq!(refused.body["errors"][0]["field"], field, "{request}");
    }
    let both = hub.api.post("/api/v1/tokens", &json!({ "expires_in_s": 0, "tags": ["-"] })).await;
    assert_eq!(both.body["errors"].as_array().unwrap().len(), 2);
}

fn peer(name: &str, key: u8, allowed_ips: &[&str]) -> Value {
    json!({ "name": name, "wireguard_key": WireguardKey([key; 32]).to_string(), "allowed_ips": allowed_ips })
}

#[tokio::test]
async fn a_peers_name_key_and_prefixes_are_its_own() {
    let hub = Hub::start().await;
    let add = async |peer: Value| hub.api.post("/api/v1/peers", &peer).await;
    assert_eq!(add(peer("router", 1, &["198.51.100.0/24"])).await.status, 201);
    add(peer("ROUTER", 2, &[])).await.is_problem(409, "name-taken");
    add(peer("phone", 1, &[])).await.is_problem(409, "key-taken");
    let taken = add(peer("phone", 2, &["192.0.2.0/24", "198.51.100.7/24"])).await;
    assert!(taken.is_problem(409, "prefix-taken").contains("router"));
    for wrong in ["0.0.0.0/0", "::/0", "100.64.0.0/16", "100.0.0.0/8", "fc00::/7", "x"] {
        let refused = add(peer("phone", 2, &[wrong])).await;
        refused.is_problem(422, "invalid");
        assert_eq!(refused.body["errors"][0]["field"], "allowed_ips[0]", "{wrong}");
    }
    add(json!({ "name": "phone", "wireguard_key": "short" })).await.is_problem(422, "invalid");
    // What was refused left nothing behind, no name, no address, no prefix.
    let added = add(peer("phone", 2, &["192.0.2.0/24"])).await;
    assert_eq!((added.status, &added.body["addresses"][0]), (201, &json!("100.64.0.2")));
    assert_eq!(hub.api.delete("/api/v1/nodes/router").await.status, 204);
    assert_eq!(add(peer("router", 1, &["198.51.100.0/24"])).await.status, 201);
}

#[tokio::test]
async fn a_node_that_calls_itself_by_anothers_number_does_not_stand_in_for_it() {
    let hub = Hub::start().await;
    let (_alpha, alpha) = hub.joined("alpha").await;
    let (_mimic, _session) = hub.joined(&alpha.id.to_string()).await;
    assert_eq!(hub.api.get(&format!("/api/v1/nodes/{}", alpha.id)).await.body["name"], "alpha");
}

#[tokio::test]
async fn a_request_that_is_no_http_ends_that_connection_only() {
    let hub = Hub::start().await;
    let mut stream = tokio::net::TcpStream::connect(hub.api.address).await.unwrap();
    stream.write_all(b"\x16\x03\x01 no http\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    within("the connection's end", stream.read_to_end(&mut answer)).await.ok();
    assert!(!answer.starts_with(b"HTTP/1.1 2"));
    assert_eq!(hub.api.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn what_is_shown_once_is_stored_nowhere() {
    let hub = Hub::start().await;
    let made = hub.api.post("/api/v1/tokens", &json!({ "description": "rack 4" })).await;
    let secret = made.body["secret"].as_str().unwrap();
    assert_eq!(
        made.body["command"],
        format!(
            "twinmesh up --coordinator {} --token {secret}",
            made.body["command"].as_str().unwrap().split(' ').nth(3).unwrap()
        )
    );
    let listed = hub.api.get("/api/v1/tokens").await.body.to_string();
    assert!(listed.contains("rack 4") && !listed.contains(secret));
    let (token, password) = (secret.strip_prefix("tmjoin-").unwrap(), hub.password.as_deref().unwrap());
    for side in ["", "-wal"] {
        let stored = std::fs::read(format!("{}{side}", hub.database().display())).unwrap();
        for secret in [token, password] {
            assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}
