//! The program itself: first start, restart, and the commands beside `serve`.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::{fs, str};

use serde_json::Value;
use twinmesh_control::WireguardKey;

use crate::support::{Program, run};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_first_start_makes_keys_for_its_owner_alone_and_prints_a_password_once() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    let log = program.log();
    let password =
        log.lines().find_map(|line| line.trim().strip_prefix("password")).unwrap().trim().to_owned();
    assert!(password.len() > 30 && log.matches(&password).count() == 1, "{log}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&program.data), 0o700);
    for file in fs::read_dir(&program.data).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
    }
    let made = json(&program.must(&["token", "create", "--reusable", "--tag", "web", "--json"]));
    let key = fs::read(program.data.join("identity.key")).unwrap();
    assert!(program.stop().success());

    let program = Program::serve(folder.path());
    assert!(!program.log().contains("password"), "{}", program.log());
    assert_eq!(fs::read(program.data.join("identity.key")).unwrap(), key);
    let listed = json(&program.must(&["token", "list", "--json"]));
    assert_eq!(listed["tokens"][0], made["token"]);
}

#[test]
fn a_second_server_on_one_folder_is_refused_with_the_pid_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    let data = program.data.to_str().unwrap();
    let second = run(&[
        "serve",
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--stun",
        "127.0.0.1:0",
    ]);
    assert_eq!(second.status.code(), Some(1));
    let error = str::from_utf8(&second.stderr).unwrap();
    assert!(error.contains(&format!("(pid {})", program.pid())) && error.contains(data), "{error}");
    program.must(&["node", "list"]);
}

#[test]
fn a_token_is_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    let line = program.must(&["token", "create", "--expires", "7d", "--description", "rack 4"]);
    assert!(
        line.starts_with("twinmesh up --coordinator hub.test:") && line.contains(" --token tmjoin-"),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1);
    program.must(&["token", "revoke", "1"]);
    let table = program.must(&["token", "list"]);
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with('1') && row.contains("revoked") && row.contains("rack 4"), "{table}");
    assert!(program.refused(&["token", "revoke", "9"]).contains("no token `9`"));
    assert!(program.refused(&["token", "create", "--tag", "no tag"]).contains("tags[0]"));
}

#[test]
fn a_peer_that_is_generated_gets_a_file_whose_private_key_is_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    // Nothing is made for a peer whose file cannot be shown.
    assert!(program.refused(&["peer", "add", "phone", "--generate", "--with", "alpha"]).contains("alpha"));
    assert_eq!(json(&program.must(&["node", "list", "--json"])), serde_json::json!({ "nodes": [] }));

    let file = program.must(&["peer", "add", "phone", "--generate", "--endpoint", "192.0.2.7:51820"]);
    let private = file.lines().find_map(|line| line.strip_prefix("PrivateKey = ")).unwrap();
    private.parse::<WireguardKey>().unwrap();
    assert!(file.contains("Address = 100.64.0.1, fd") && file.contains("ListenPort = 51820"), "{file}");
    let node = json(&program.must(&["node", "show", "phone", "--json"]));
    assert_eq!((&node["kind"], &node["connected"]), (&"unmanaged".into(), &Value::Null));
    assert!(program.must(&["node", "list"]).contains("phone"));
    for name in ["coordinator.db", "coordinator.db-wal"] {
        let stored = fs::read(program.data.join(name)).unwrap();
        assert!(!stored.windows(private.len()).any(|window| window == private.as_bytes()));
    }
    let again = program.must(&["peer", "configuration", "phone"]);
    assert!(again.contains("PUT-THE-PRIVATE-KEY-HERE"), "{again}");
    program.must(&["peer", "remove", "phone"]);
    assert!(program.refused(&["node", "show", "phone"]).contains("no node `phone`"));
}

#[test]
fn a_policy_is_set_by_flags_and_by_file_and_what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    for name in ["alpha", "beta"] {
        program.must(&["peer", "add", name, "--generate", "--tag", "db"]);
    }
    let set = |arguments: &[&str]| json(&program.must(&[&["policy", "set", "--json"], arguments].concat()));
    let policy = set(&["--pair", "beta,1", "--protocol", "esp"]);
    assert_eq!(policy["version"], 1);
    assert_eq!(policy["pairs"][0]["nodes"], serde_json::json!(["alpha", "beta"]));
    // What is not said stays, and the other order is the same pair.
    let policy = set(&["--pair", "alpha,beta", "--throughput", "yes"]);
    assert_eq!(policy["pairs"].as_array().unwrap().len(), 1);
    assert_eq!((&policy["pairs"][0]["protocol"], &policy["version"]), (&"esp".into(), &2.into()));
    set(&["--tag", "DB", "--compliance", "yes"]);
    set(&["--default", "--protocol", "auto"]);
    let page = program.must(&["policy", "get"]);
    for row in [
        &["default", "auto", "-", "no"],
        &["tag db", "-", "-", "yes"],
        &["pair alpha,beta", "esp", "yes", "no"],
    ] {
        assert!(
            page.lines().any(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).eq(*row)),
            "{page}"
        );
    }
    assert!(
        program.refused(&["policy", "set", "--pair", "alpha,gamma", "--protocol", "esp"]).contains("gamma")
    );
    let refused = program.refused(&["policy", "set", "--pair", "alpha,beta", "--protocol", "wireguard"]);
    assert!(refused.contains("pairs[0].protocol") && refused.contains("`db`"), "{refused}");

    let file = folder.path().join("policy.json");
    let path = file.to_str().unwrap();
    fs::write(&file, program.must(&["policy", "get", "--json"])).unwrap();
    assert_eq!(set(&[path])["version"], 4, "nothing has changed");
    set(&["--tag", "db", "--remove"]);
    assert!(program.refused(&["policy", "set", path]).contains("version 5"));
    fs::write(&file, r#"{ "tags": [{ "tag": "nobody", "protocol": "esp" }] }"#).unwrap();
    assert!(program.refused(&["policy", "set", path]).contains("tags[0].tag"));
    fs::write(&file, "{}").unwrap();
    assert_eq!(set(&[path])["pairs"], serde_json::json!([]));
    fs::write(&file, "esp").unwrap();
    assert!(program.refused(&["policy", "set", path]).contains("is no policy"));
    for wrong in [
        &["policy", "set"][..],
        &["policy", "set", "--default"],
        &["policy", "set", "--default", "--protocol", "quic"],
        &["policy", "set", "--pair", "alpha", "--protocol", "esp"],
        &["policy", "set", path, "--protocol", "esp"],
        &["policy", "set", "--default", "--tag", "db", "--protocol", "esp"],
        &["policy", "set", "--default", "--remove", "--protocol", "esp"],
    ] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_node_gets_other_tags() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    program.must(&["peer", "add", "phone", "--generate"]);
    assert!(program.must(&["node", "tag", "phone", "web", "DB"]).contains("db, web"));
    assert_eq!(
        json(&program.must(&["node", "show", "phone", "--json"]))["tags"],
        serde_json::json!(["db", "web"])
    );
    assert!(program.refused(&["node", "tag", "phone", "no tag"]).contains("tags[0]"));
    assert!(program.refused(&["node", "tag", "tablet", "web"]).contains("no node `tablet`"));
    program.must(&["node", "tag", "phone"]);
    assert_eq!(json(&program.must(&["node", "show", "phone", "--json"]))["tags"], serde_json::json!([]));
}

#[test]
fn commands_say_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let refused = |arguments: &[&str]| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let never_ran = refused(&["node", "list", "--data", nowhere.to_str().unwrap()]);
    assert!(never_ran.contains("twinmesh-coordinator serve"), "{never_ran}");
    let open = refused(&["serve", "--data", nowhere.to_str().unwrap(), "--http", "0.0.0.0:0"]);
    assert!(open.contains("--http-insecure"), "{open}");
    assert!(!nowhere.exists());

    let program = Program::serve(folder.path());
    let data = program.data.clone();
    program.stop();
    let away = refused(&["node", "list", "--data", data.to_str().unwrap()]);
    assert!(away.contains("is `twinmesh-coordinator serve` running?"), "{away}");
    for wrong in [&["token", "create", "--expires", "soon"][..], &["fly"], &["peer", "add", "x"], &[]] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn the_openapi_document_and_completions_need_no_server() {
    let openapi = json(str::from_utf8(&run(&["openapi"]).stdout).unwrap());
    assert!(openapi["paths"]["/api/v1/nodes"]["get"].is_object());
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            str::from_utf8(&run(&["completions", shell]).stdout).unwrap().contains("twinmesh-coordinator")
        );
    }
    assert!(str::from_utf8(&run(&["version"]).stdout).unwrap().starts_with("twinmesh-coordinator "));
}

#[test]
fn a_request_that_is_half_sent_does_not_keep_the_coordinator_from_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path());
    let mut stream = TcpStream::connect(program.api().address).unwrap();
    stream
        .write_all(b"POST /api/v1/sessions HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
        .unwrap();
    assert!(program.stop().success());
}
